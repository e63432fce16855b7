"""What the work of a live server's engines cost while a run lasted, asked over HTTP.

The server counts from its start; differences of snapshots are what happened between them.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO, TypeVar

from analysis.faults import MeasurementError
from analysis.server_config import ServerSettings
from pipelines.costs import CostTable
from pipelines.service_costs import CostSums, Sums
from pipelines.service_table import CALLS_MIN, to_cost_table

SUMS_FILE = "costs.jsonl"
POLL_PERIOD_S = 1.0
ASK_TIMEOUT_S = 10.0
SETTLE_PATIENCE_S = 20.0
SETTLE_PAUSE_S = 0.05

K = TypeVar("K", bound=Hashable)

PoolSums = Mapping[str, CostSums]
"""By pool of engines, those of one pool together."""


def added(one: PoolSums, other: PoolSums) -> dict[str, CostSums]:
    """Both together."""
    pools = dict.fromkeys((*one, *other))
    return {p: one.get(p, CostSums()).plus(other.get(p, CostSums())) for p in pools}


def between(earlier: PoolSums, later: PoolSums) -> dict[str, CostSums]:
    """What came in between; ValueError if an engine has been started anew."""
    return {pool: sums.since(earlier.get(pool, CostSums())) for pool, sums in later.items()}


def preferring(own: PoolSums, others: PoolSums) -> dict[str, CostSums]:
    """`own`, but for what was seen too seldom in it: there the others help out."""

    def helped(mine: Mapping[K, Sums], both: Mapping[K, Sums]) -> dict[K, Sums]:
        often = {key: one for key, one in mine.items() if one.calls >= CALLS_MIN}
        return {**both, **often}

    found = {}
    for pool, mine in own.items():
        both = mine.plus(others.get(pool, CostSums()))
        parts = (helped(mine.encode, both.encode), helped(mine.step, both.step))
        found[pool] = CostSums(*parts, helped(mine.decode, both.decode), mine.rest or both.rest)
    return found


@dataclass(frozen=True, slots=True)
class Window:
    """Snapshots of a run, the first before and the last after it, with their unix times."""

    snapshots: tuple[tuple[float, PoolSums], ...]

    @property
    def whole(self) -> dict[str, CostSums]:
        """Of the run as a whole."""
        return between(self.snapshots[0][1], self.snapshots[-1][1])

    @property
    def steady(self) -> dict[str, CostSums]:
        """Of the run as a whole, with the spread that there is within its parts alone."""
        parts = [sums for _, sums in self.parts]
        return {
            pool: CostSums(
                _within(whole.encode, [part[pool].encode for part in parts if pool in part]),
                _within(whole.step, [part[pool].step for part in parts if pool in part]),
                _within(whole.decode, [part[pool].decode for part in parts if pool in part]),
                _within(whole.rest, [part[pool].rest for part in parts if pool in part]),
            )
            for pool, whole in self.whole.items()
        }

    @property
    def parts(self) -> list[tuple[float, dict[str, CostSums]]]:
        """Of each part of it, with the time at which the part began."""
        return [(at_s, between(one, other)) for (at_s, one), (_, other) in pairwise(self.snapshots)]


def _within(whole: Mapping[K, Sums], parts: Sequence[Mapping[K, Sums]]) -> dict[K, Sums]:
    """The same calls and seconds, with the squares that leave the variance within the parts."""
    found = {}
    for key, one in whole.items():
        mine = [part[key] for part in parts if key in part]
        deviations = sum(each.squares - each.seconds**2 / each.calls for each in mine)
        squares = max(0.0, deviations) + one.seconds**2 / one.calls
        found[key] = Sums(one.calls, one.seconds, squares)
    return found


def tables_of(settings: ServerSettings, sums: PoolSums) -> dict[str, CostTable]:
    """A cost table for each pool; ValueError for one that did too little."""
    return {
        pool.name: to_cost_table(
            sums.get(pool.name, CostSums()),
            size=(settings.width, settings.height),
            max_batch=pool.max_batch,
            machine="",  # the results' header tells both
            commit="",
            threads=pool.threads,
            dtype=settings.dtypes[pool.variants[0]],
            device=pool.device,
        )
        for pool in settings.pools
    }


def ask_sums(url: str) -> dict[str, CostSums]:
    """The sums of a server's engines since its start; MeasurementError if it does not tell them."""
    found: dict[str, CostSums] = {}
    try:
        with urllib.request.urlopen(f"{url}/v1/costs", timeout=ASK_TIMEOUT_S) as answer:
            engines: dict[str, Any] = json.load(answer)
        for engine in engines.values():
            found = added(found, {str(engine["pool"]): CostSums.from_plain(engine["sums"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MeasurementError(f"the server does not tell what its work costs ({error})") from None
    return found


class KeptSums:
    """Asks a server for its sums and writes each answer as a line of a file."""

    def __init__(self, url: str, sink: TextIO) -> None:
        self._url = url
        self._sink = sink
        self._first = self.keep()

    def keep(self) -> dict[str, CostSums]:
        """Ask now."""
        sums = ask_sums(self._url)
        plain = {pool: one.to_plain() for pool, one in sums.items()}
        self._sink.write(json.dumps({"unix_s": round(time.time(), 6), "pools": plain}) + "\n")
        return sums

    def wait_for(self, pictures: int) -> None:
        """Return when the sums hold so many pictures since the first: reports come a little later.

        MeasurementError if they do not.
        """
        due_s = time.monotonic() + SETTLE_PATIENCE_S
        while True:
            window = between(self._first, ask_sums(self._url))
            decodings = [item for sums in window.values() for item in sums.decode.items()]
            counted = sum(key[-1] * one.calls for key, one in decodings)
            if counted >= pictures:
                return
            if time.monotonic() > due_s:
                raise MeasurementError(
                    f"the server counts {counted} pictures and {pictures} were served; look at its log"
                )
            time.sleep(SETTLE_PAUSE_S)


@contextmanager
def polled_sums(url: str, path: Path) -> Iterator[KeptSums]:
    """Write the server's sums to `path` before, about once a second during, and after the block.

    MeasurementError if the server does not tell them before or after; in between a failed poll is left
    out: its absence shows in the data.
    """
    over = threading.Event()
    with path.open("w", encoding="utf-8") as sink:
        kept = KeptSums(url, sink)

        def poll() -> None:
            while not over.wait(POLL_PERIOD_S):
                try:
                    kept.keep()
                except MeasurementError:
                    continue

        thread = threading.Thread(target=poll, name="costs", daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            over.set()
            thread.join()
        kept.keep()


def read_window(path: Path) -> Window:
    """The snapshots that were kept; MeasurementError if there are none that can be used."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        snapshots = tuple(
            (float(line["unix_s"]), {p: CostSums.from_plain(o) for p, o in line["pools"].items()})
            for line in lines
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise MeasurementError(f"{path} cannot be used ({error}); measure again") from None
    if len(snapshots) < 2:
        raise MeasurementError(
            f"{path} holds no snapshots from before and after a run; measure again"
        )
    return Window(snapshots)
