"""A server of two engines and two gateways with tiny weights, the crowd that loads it, and the faults."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from serve.processes import descendants
from tests.conftest import ROOT, LiveServer, start_server

PATH = "/v1/images/generations"
PATIENCE_S = 300.0
ENGINES, BATCH = 2, 2
LONG_STEPS = 250
"""Some seconds: long enough to be met by a fault."""

CONFIG: dict[str, Any] = {
    "model": {"id": "tiny", "sizes": ["16x16"], "steps_max": 900},
    "variants": {"full": {"source": "full"}, "broken": {"source": "broken"}},
    "ladder": [
        {"variant": "full", "steps": 12, "quality": "high"},
        {"variant": "broken", "steps": 3, "quality": "low"},
    ],
    "controller": {"kind": "static", "rung": 0},
    "dispatcher": {"max_waiting": 2000},
    "engines": [
        {
            "name": "main",
            "variants": ["full", "broken"],
            "replicas": ENGINES,
            "max_batch": BATCH,
            "call_max_s": 2.0,
            "call_max_factor": 2.0,
        }
    ],
    "server": {"gateways": 2},
}

MAKE_WEIGHTS = """
import sys
from pathlib import Path
from tests.pipelines.tiny_pipelines import save_pipeline
folder = Path(sys.argv[1])
save_pipeline(folder / "full")
save_pipeline(folder / "broken", unread=True)
"""
PROBE_PAUSE_S = 0.1

UNREAD = "zq"
"""As in `tests.pipelines.tiny_pipelines`, which would load torch here."""


def start(folder: Path) -> LiveServer:
    """A server in which prompts can ask for faults."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MAKE_WEIGHTS, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    path = folder / "faults.yaml"
    path.write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    injected = Path(__file__).with_name("injected")
    faults = {"PYTHONPATH": str(injected), "FAULTS_FOLDER": str(folder)}
    return start_server(path, folder / "server.log", environment=faults)


def processes(server: LiveServer, name: str) -> list[int]:
    """The ids of the server's processes that Ray has given this name."""
    found = []
    for pid in descendants(server.process.pid):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        if name in title:
            found.append(pid)
    return sorted(found)


def engines(server: LiveServer) -> dict[str, int]:
    """Pid by id of the engines that the dispatcher knows."""
    return {one["id"]: one["pid"] for one in server.status()["engines"]}


def counters(server: LiveServer) -> dict[str, int]:
    """The counters, checked against the invariant of the queue."""
    status = server.status()
    counts: dict[str, int] = status["counters"]
    left = ("finished", "cancelled", "failed", "expired", "hopeless")
    gone = sum(counts[name] for name in left)
    assert counts["admitted"] == gone + status["waiting"] + status["running"], status
    return counts


def whole(status: dict[str, Any]) -> bool:
    """Whether both engines take jobs and nobody is in the system."""
    takers = [one for one in status["engines"] if one["takes_jobs"]]
    return len(takers) == ENGINES and status["waiting"] + status["running"] == 0


@dataclass
class Probes:
    """Asks for readiness and status again and again, and keeps what it was told, when, how fast."""

    url: str
    told: list[tuple[float, str, int, float]] = field(default_factory=list)

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60) as http:
            while True:
                for path in ("/readyz", "/v1/status"):
                    began_s = time.monotonic()
                    try:
                        code = (await http.get(path)).status_code
                    except httpx.HTTPError:
                        code = 0
                    self.told.append((began_s, path, code, time.monotonic() - began_s))
                await asyncio.sleep(PROBE_PAUSE_S)

    def codes(self, path: str = "/readyz") -> set[int]:
        return {code for _, asked, code, _ in self.told if asked == path}

    def first_s(self, code: int, since_s: float) -> float | None:
        """Seconds from since_s to the first readiness answer of this status."""
        return next(
            (
                at_s + took_s - since_s
                for at_s, path, got, took_s in self.told
                if path == "/readyz" and got == code and at_s >= since_s
            ),
            None,
        )

    def slowest_s(self, until_s: float = math.inf) -> float:
        return max(took_s for at_s, *_, took_s in self.told if at_s <= until_s)

    def summary(self) -> dict[str, Any]:
        """Seconds that an answer took. The slowest come while a new engine loads on the same cores."""
        took_s = sorted(took_s for *_, took_s in self.told)
        return {
            "probes": len(took_s),
            "probe_median_s": round(statistics.median(took_s), 4),
            "probes_within_0.1_s": round(sum(one <= 0.1 for one in took_s) / len(took_s), 4),
            "probe_slowest_s": round(took_s[-1], 3),
        }


class Crowd:
    """Requests that are on their way at the same time, and the probes beside them."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        # A connection of its own for each, so that a lost gateway takes only its own requests.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.http = httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, limits=limits)
        self.tasks: list[asyncio.Task[httpx.Response | None]] = []
        self.probes = Probes(server.url)
        self._probing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Crowd:
        self._probing = asyncio.create_task(self.probes.run())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._probing is not None
        for task in (self._probing, *self.tasks):
            task.cancel()
        await asyncio.gather(self._probing, *self.tasks, return_exceptions=True)
        await self.http.aclose()

    def send(self, prompt: str, times: int = 1, **body: Any) -> list[asyncio.Task[Any]]:
        wanted = {"prompt": prompt} | body
        tasks = [asyncio.create_task(self._post(wanted)) for _ in range(times)]
        self.tasks += tasks
        return tasks

    async def _post(self, body: dict[str, Any]) -> httpx.Response | None:
        """The answer; None for a connection that was closed without one."""
        try:
            return await self.http.post(PATH, json=body)
        except httpx.TransportError:
            return None

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        return await asyncio.to_thread(self.server.wait_until, holds, patience_s)

    async def running(self, number: int) -> dict[str, Any]:
        """Wait until so many jobs run, in engines that have reported them."""
        return await self.until(lambda status: status["running"] == number)

    async def statuses(self, tasks: Iterable[asyncio.Task[Any]] | None = None) -> Counter[int]:
        """How many answers came with each status (0: the connection was closed)."""
        answers = await asyncio.gather(*(self.tasks if tasks is None else tasks))
        return Counter(0 if answer is None else answer.status_code for answer in answers)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
