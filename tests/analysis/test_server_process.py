"""A server is started, asked and stopped; whatever goes wrong is one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from analysis import server_process
from analysis.faults import MeasurementError
from analysis.runs import read_requests
from analysis.server_process import (
    ask_one_by_one,
    run_python,
    running_server,
)

FAKE_SERVER = """
import json, signal, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

config, port = open(sys.argv[2]).read().strip(), int(sys.argv[4])
if config == "broken":
    sys.exit("sluice: the configuration is broken; mend it")
if config == "slow":
    signal.pause()
if config == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

class Handler(BaseHTTPRequestHandler):
    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("x-received-at", f"{time.time():.6f}")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if config == "mortal":
            server.shutdown()
        self.answer(200, {})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["prompt"] == "no":
            return self.answer(400, {"error": {"message": "not that"}})
        serving = {"variant": asked.get("model", "full"), "steps_run": 25, "queue_ms": 1.0, "service_ms": 2.0}
        self.answer(200, {"data": [{"serving": serving}]})
    def log_message(self, *words):
        pass

server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("ready", flush=True)
server.serve_forever()
if config == "mortal":
    sys.exit("sluice: died")
"""


class Place:
    """A fake server's script, and where it listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        script = folder / "server.py"
        script.write_text(FAKE_SERVER)
        self.command = (str(script),)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def config(self, text: str = "fine") -> Path:
        path = self.folder / "config"
        path.write_text(text)
        return path


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_server_is_ready_inside_and_gone_afterwards(place: Place) -> None:
    with running_server(place.config(), place.port, place.log, place.command) as url:
        assert answers(url)
    assert not answers(url)


def test_a_server_that_cannot_start_is_told_in_its_own_words(place: Place) -> None:
    broken = place.config("broken")
    with (
        pytest.raises(
            MeasurementError, match=r"did not start .*the configuration is broken; mend it"
        ),
        running_server(broken, place.port, place.log, place.command),
    ):
        pytest.fail("it cannot get ready")


def test_a_server_that_never_gets_ready_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "START_PATIENCE_S", 0.2)
    with (
        pytest.raises(MeasurementError, match="not ready after"),
        running_server(place.config("slow"), place.port, place.log, place.command),
    ):
        pytest.fail("it cannot get ready")


def test_a_server_that_does_not_stop_is_killed_and_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "STOP_PATIENCE_S", 0.2)
    with (
        pytest.raises(MeasurementError, match="did not stop"),
        running_server(place.config("stubborn"), place.port, place.log, place.command) as url,
    ):
        assert answers(url)
    assert not answers(url)


def test_an_error_inside_wins_and_the_server_is_stopped(place: Place) -> None:
    with (
        pytest.raises(MeasurementError, match="mine"),
        running_server(place.config(), place.port, place.log, place.command) as url,
    ):
        raise MeasurementError("mine")
    assert not answers(url)


def test_requests_one_by_one_are_kept_in_the_load_generators_form(place: Place) -> None:
    path = place.folder / "unloaded.jsonl"
    with running_server(place.config(), place.port, place.log, place.command) as url:
        ask_one_by_one(url, ["a red circle", "a blue square"], 7, path)
        with pytest.raises(MeasurementError, match=r"refused a request: .*not that"):
            ask_one_by_one(url, ["no"], 7, place.folder / "none.jsonl")
    with pytest.raises(MeasurementError, match="did not answer"):
        ask_one_by_one(url, ["a red circle"], 7, place.folder / "none.jsonl")
    requests = read_requests(path)
    assert [request.prompt for request in requests] == ["a red circle", "a blue square"]
    assert requests[0].service_s == pytest.approx(0.002)
    assert requests[0].latency_s is not None
    assert requests[1].scheduled_s >= requests[0].latency_s
    assert requests[0].variant == "full"


def test_requests_one_by_one_may_ask_for_more(place: Place) -> None:
    path = place.folder / "unloaded.jsonl"
    with running_server(place.config(), place.port, place.log, place.command) as url:
        ask_one_by_one(url, ["a red circle"], 7, path, {"model": "small"})
    (request,) = read_requests(path)
    assert (request.variant, request.prompt) == ("small", "a red circle")


def test_an_interrupted_command_may_end_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, done = tmp_path / "ready", tmp_path / "done"
    os.mkfifo(ready)
    code = f"""
import pathlib, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
pathlib.Path({str(ready)!r}).write_text("ready")
signal.sigwait({{signal.SIGTERM}})
pathlib.Path({str(done)!r}).write_text("in order")
"""
    wait = subprocess.Popen.wait
    waits: list[float | None] = []

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        waits.append(timeout)
        if len(waits) == 1:
            ready.read_text()  # blocks until the process is ready
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_python(["-c", code], tmp_path / "log", "waiting")
    assert done.read_text() == "in order"


def test_a_command_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_python(["-c", "print('fine')"], log, "greeting") == 0
    assert log.read_text() == "fine\n"
    with pytest.raises(MeasurementError, match=r"greeting failed \(status 1, .*not today"):
        run_python(["-c", "import sys; sys.exit('not today')"], log, "greeting")
    assert run_python(["-c", "import sys; sys.exit(1)"], log, "greeting", fine=(0, 1)) == 1
    with pytest.raises(MeasurementError, match="it said nothing"):
        run_python(["-c", "import sys; sys.exit(3)"], log, "greeting")
