"""A server that answers at once and says how long it took, and a load generator that only writes.

Latencies follow the model of the study with known effects: those of the HTTP requests are real and
tiny, so that they are replaced in the file; those of replays are made.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.unpredictability import measure

SERVICE_MS = 300.0


class Stub:
    """Server and load generator; `wrong_engine` answers from the other engine, `refuses` with 429,
    `loses` leaves a replay's last request unanswered."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.sent: dict[str, list[str]] = {}
        self.times: dict[str, str] = {}
        self.wrong_engine = self.refuses = self.loses = False
        self.rng = np.random.default_rng(1)

    @contextmanager
    def running_server(self, config: Path, port: int, log: Path) -> Iterator[str]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                asked = json.loads(self.rfile.read(length))
                stub.asked.append(asked)
                engine = "two" if stub.wrong_engine else asked["model"].split("/")[1]
                serving = {"variant": engine, "service_ms": SERVICE_MS}
                body = json.dumps({"data": [{"serving": serving}]}).encode()
                self.send_response(429 if stub.refuses else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def run_python(
        self, arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
    ) -> int:
        options = dict(zip(arguments[3::2], arguments[4::2], strict=True))
        out = Path(options["--out"])
        lines = Path(options["--prompts"]).read_text().splitlines()
        order = np.random.default_rng(int(options["--seed"])).permutation(len(lines))
        self.sent[out.name] = [lines[index] for index in order]
        self.times[out.name] = Path(options["--times"]).read_text()
        times_s = [float(line) for line in self.times[out.name].splitlines()]
        out.mkdir()
        slow = self.rng.normal(0, 0.03)
        records = []
        for index, (time_s, prompt) in enumerate(zip(times_s, self.sent[out.name], strict=True)):
            lost = self.loses and index == len(lines) - 1
            latency_s = 0.5 + 0.1 * index + slow + self.rng.normal(0, 0.05)
            serving = {"variant": "one", "steps_run": 25, "queue_ms": 1.0, "service_ms": SERVICE_MS}
            record = {
                "index": index,
                "prompt": prompt,
                "scheduled_s": time_s,
                "received_s": time_s,
                "answered_s": None if lost else time_s + latency_s,
                "latency_s": None if lost else latency_s,
                "status": None if lost else 200,
                "image": None,
                "serving": None if lost else serving,
            }
            records.append(json.dumps(record) + "\n")
        (out / "requests.jsonl").write_text("".join(records))
        return 0

    def take_the_place_of_real_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("run_python", "running_server"):
            monkeypatch.setattr(measure, name, getattr(self, name))


def with_latencies(folder: Path, residual_s: float, engine_s: float) -> None:
    """Replace the latencies of the visits: 0.5 s, `engine_s` more on the second engine, and noise."""
    rng = np.random.default_rng(2)
    path = folder / measure.VISITS_FILE
    lines = []
    for line in path.read_text().splitlines():
        visit = json.loads(line)
        visit["latency_s"] = 0.5 + engine_s * (visit["engine"] == "two")
        visit["latency_s"] += rng.normal(0, residual_s)
        lines.append(json.dumps(visit) + "\n")
    path.write_text("".join(lines))
