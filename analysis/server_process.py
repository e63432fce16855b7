"""Starts and stops a server of its own for a measurement, and runs what is done to it.

The server is a process (`python -m serve`), never an import: what is measured is what users run.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analysis.faults import MeasurementError
from analysis.server_config import ROOT

START_PATIENCE_S = 180.0
STOP_PATIENCE_S = 30.0
REQUEST_TIMEOUT_S = 120.0
RECEIVED_HEADER = "x-received-at"


def last_words(log: Path) -> str:
    """The last line that a process wrote, for an error message."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def run_python(
    arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
) -> int:
    """Run `python ARGUMENTS` to its end, its words in `log`; returns its status.

    MeasurementError with its last line if the status is not among `fine`. Interrupted, it tells the
    process to end and waits for that: a load generator has a process of its own to stop.
    """
    with (
        log.open("w", encoding="utf-8") as sink,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            # Ctrl-C comes to the experiment, which ends the process once and in order.
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait()
        except BaseException:
            _terminate(process)
            raise
    if status not in fine:
        raise MeasurementError(f"{what} failed (status {status}, log {log}): {last_words(log)}")
    return status


@contextmanager
def running_server(
    config: Path, port: int, log: Path, command: Sequence[str] = ("-m", "serve")
) -> Iterator[str]:
    """A server from `python -m serve`, ready; gives its URL and stops it at the end.

    MeasurementError if it does not get ready, or does not stop when told to.
    """
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            [sys.executable, *command, "--config", str(config), "--port", str(port)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            # Ctrl-C comes to the demonstration, which then stops the server once and in order.
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, log)
            yield f"http://127.0.0.1:{port}"
        except BaseException:
            _stop(process, log, quietly=True)
            raise
        _stop(process, log, quietly=False)


def _wait_until_ready(process: subprocess.Popen[str], log: Path) -> None:
    """`python -m serve` prints one line when a real request would be answered."""
    began_s = time.monotonic()  # before the timer: else it might seem to have fired too early
    impatience = threading.Timer(START_PATIENCE_S, process.terminate)
    impatience.daemon = True
    impatience.start()
    try:
        assert process.stdout is not None  # opened as a pipe
        line = process.stdout.readline()
    finally:
        impatience.cancel()
    if line:
        return
    process.wait()
    if time.monotonic() - began_s >= START_PATIENCE_S:
        raise MeasurementError(
            f"the server was not ready after {START_PATIENCE_S:.0f} s (log {log})"
        )
    raise MeasurementError(f"the server did not start (log {log}): {last_words(log)}")


def _stop(process: subprocess.Popen[str], log: Path, *, quietly: bool) -> None:
    died = process.poll() is not None
    stubborn = not (died or _terminate(process))
    if process.stdout is not None:
        process.stdout.close()
    if quietly:
        return
    if stubborn:
        raise MeasurementError(
            f"the server did not stop within {STOP_PATIENCE_S:.0f} s and was killed (log {log})"
        )
    if died:
        raise MeasurementError(f"the server ended by itself (log {log}): {last_words(log)}")


def _terminate(process: subprocess.Popen[Any]) -> bool:
    """Tell a process to end; whether it did, or had to be killed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def ask_one_by_one(
    url: str,
    prompts: Sequence[str],
    first_seed: int,
    path: Path,
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Send one request after another to an idle server; each is a line of `path`.

    `fields` go into every request beside its prompt and seed. The lines have the load generator's
    form, times counted from the first request, and scheduled means sent. MeasurementError if one is
    not served.
    """
    start_s = time.time()
    lines = []
    for index, prompt in enumerate(prompts):
        asked = {**(fields or {}), "prompt": prompt, "seed": first_seed + index}
        body = json.dumps(asked).encode()
        request = urllib.request.Request(
            f"{url}/v1/images/generations", body, {"content-type": "application/json"}
        )
        sent_s = time.time()
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:
                content = json.load(answer)
                received_s = float(answer.headers[RECEIVED_HEADER])
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace").strip()
            raise MeasurementError(f"the idle server refused a request: {told}") from None
        except (OSError, ValueError, TypeError) as error:
            raise MeasurementError(f"the idle server did not answer a request ({error})") from None
        answered_s = time.time()
        lines.append(
            {
                "index": index,
                "prompt": prompt,
                "seed": first_seed + index,
                "scheduled_s": round(sent_s - start_s, 6),
                "sent_s": round(sent_s - start_s, 6),
                "received_s": round(received_s - start_s, 6),
                "answered_s": round(answered_s - start_s, 6),
                "latency_s": round(answered_s - sent_s, 6),
                "status": 200,
                "error": None,
                "image": None,
                "serving": content["data"][0]["serving"],
            }
        )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
