"""What a server tells of itself while a run lasts: its queue's state and what its engines' work costs.

A Sluice server shows both, `/v1/status` and `/v1/costs`; of any other nothing is kept, which is no
error. The sums of costs count from the server's start, so a run's own are the differences of two
snapshots. Asked from the parent process by a thread, never from where requests are sent.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COSTS_FILE = "costs.jsonl"
STATUS_FILE = "status.jsonl"
PERIOD_S = 1.0
ASK_TIMEOUT_S = 10.0
# Engines report what they did a little after the answers are out.
SETTLE_PATIENCE_S = 20.0
SETTLE_PAUSE_S = 0.05

# Around environment variables that name a proxy: the load itself goes straight to the server, too.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotOffered(Exception):
    """The server has no such page, or something else there: it is not a Sluice server."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer; ``unix_s`` is the middle of the exchange, ``answer_s`` how long it took."""

    unix_s: float
    answer_s: float
    content: dict[str, Any]


def ask(url: str) -> Reading:
    """The JSON object at ``url``.

    Raises NotOffered, and OSError or http.client.HTTPException if there is no answer this time.
    """
    began_s = time.time()
    try:
        with _OPENER.open(url, timeout=ASK_TIMEOUT_S) as answer:
            content = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500:
            raise NotOffered from None
        raise OSError(f"status {error.code}") from None
    except ValueError:
        raise NotOffered from None
    ended_s = time.time()
    if not isinstance(content, dict):
        raise NotOffered
    unix_s, answer_s = (began_s + ended_s) / 2, ended_s - began_s
    return Reading(round(unix_s, 6), round(answer_s, 6), content)


def pictures_in(engines: dict[str, Any]) -> int:
    """Pictures that the engines of an answer of ``/v1/costs`` have decoded since their start.

    A row of an engine's ``decode`` sums ends in: pictures a call, calls, seconds, their squares.
    Raises NotOffered if this is something else.
    """
    try:
        rows = [row for engine in engines.values() for row in engine["sums"]["decode"]]
        pictures = sum(int(row[-4]) * int(row[-3]) for row in rows)
    except (KeyError, IndexError, TypeError, ValueError):
        raise NotOffered from None
    if not engines:
        raise NotOffered
    return pictures


class ServerFigures:
    """Asks the server while the block lasts, and keeps what it tells in a run's folder.

    ``costs.jsonl`` holds lines of ``unix_s`` and the ``engines`` as they answered, ``status.jsonl``
    lines of ``unix_s``, ``answer_s``, ``waiting``, ``running``, ``rung`` and ``counters``. A question
    without an answer is left out: its absence shows in the data.
    """

    def __init__(self, url: str, folder: Path, period_s: float = PERIOD_S) -> None:
        self._url = url
        self._costs = folder / COSTS_FILE
        self._status = folder / STATUS_FILE
        self._period_s = period_s
        self._snapshots: list[tuple[float, int, str]] = []
        self._tells_costs = self._tells_status = True
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_asking, name="figures", daemon=True)

    def __enter__(self) -> ServerFigures:
        self._ask_both()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def settle(self, started_unix_s: float, served: int) -> str | None:
        """After the block: wait until the sums hold the ``served`` pictures of the run that started
        then, and make their last snapshot before its start the first.

        Returns one sentence if that cannot be had, None if it is, or the server tells no costs.
        """
        if not self._tells_costs:
            return None
        before = [n for n, (unix_s, _, _) in enumerate(self._snapshots) if unix_s <= started_unix_s]
        if not before:
            return "the server's costs are incomplete: it did not tell them before the run"
        # An earlier one may miss the end of what was done before the run.
        del self._snapshots[: before[-1]]
        self._costs.write_text("".join(line for _, _, line in self._snapshots), encoding="utf-8")
        before_it = self._snapshots[0][1]
        due_s = time.monotonic() + SETTLE_PATIENCE_S
        while self._tells_costs:
            self._ask_costs()
            counted = self._snapshots[-1][1] - before_it
            if counted >= served:
                return None
            if time.monotonic() > due_s:
                return (
                    f"the server's costs are incomplete: it counts {counted} pictures"
                    f" and {served} were served"
                )
            time.sleep(SETTLE_PAUSE_S)
        return "the server's costs are incomplete: it ceased to tell them"

    def _keep_asking(self) -> None:
        while not self._over.wait(self._period_s):
            self._ask_both()

    def _ask_both(self) -> None:
        if self._tells_costs:
            self._ask_costs()
        if self._tells_status:
            self._ask_status()

    def _ask_costs(self) -> None:
        try:
            answer = ask(f"{self._url}/v1/costs")
            pictures = pictures_in(answer.content)
        except NotOffered:
            self._tells_costs = False
            return
        except (OSError, http.client.HTTPException):
            return
        kept = {"unix_s": answer.unix_s, "engines": answer.content}
        line = json.dumps(kept) + "\n"
        self._snapshots.append((answer.unix_s, pictures, line))
        _append(self._costs, line)

    def _ask_status(self) -> None:
        try:
            answer = ask(f"{self._url}/v1/status")
            names = ("waiting", "running", "rung", "counters")
            told = {name: answer.content[name] for name in names}
        except (NotOffered, KeyError):
            self._tells_status = False
            return
        except (OSError, http.client.HTTPException):
            return
        kept = {"unix_s": answer.unix_s, "answer_s": answer.answer_s, **told}
        _append(self._status, json.dumps(kept) + "\n")


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as sink:
        sink.write(line)
