"""What tests of several packages share: one real server for the whole session."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, settings

# How long an example takes depends on who else uses the machine, and timings are benchmarks.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")

ROOT = Path(__file__).resolve().parent.parent
START_MAX_S = 600.0  # far more than it takes, for machines whose cores are taken
STOP_MAX_S = 15.0

TINY_CONFIG: dict[str, Any] = {
    "model": {"id": "tiny", "sizes": ["16x16", "32x32"], "steps_max": 900},
    "variants": {"full": {"source": "full"}, "turbo": {"source": "turbo", "steps_max": 4}},
    "ladder": [
        {"variant": "full", "steps": 12, "quality": "high"},
        {"variant": "full", "steps": 6, "quality": "medium"},
        {"variant": "turbo", "steps": 4, "quality": "low", "replannable": False},
    ],
    "controller": {
        "kind": "hysteresis",
        "enter": [2, 4],
        "leave": [0, 1],
        "min_hold_s": 0.2,
        "apply": "in_flight",
    },
    "dispatcher": {"max_waiting": 6},
    "engines": [{"name": "main", "variants": ["full", "turbo"], "max_batch": 2}],
}
"""Two places and six seats in the line, so that a handful of requests is an overload."""

MAKE_TINY_WEIGHTS = """
import sys
from pathlib import Path
from tests.pipelines.tiny_pipelines import save_pipeline
folder = Path(sys.argv[1])
save_pipeline(folder / "full")
save_pipeline(folder / "turbo", distilled=True)
"""


@dataclass(frozen=True)
class LiveServer:
    """A server in processes of its own, started as a user starts it."""

    url: str
    process: subprocess.Popen[str]
    ready_line: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=60)

    def status(self) -> dict[str, Any]:
        answer = self.get("/v1/status")
        answer.raise_for_status()
        status: dict[str, Any] = answer.json()
        return status

    def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], patience_s: float = 300.0
    ) -> dict[str, Any]:
        """The first status for which something holds."""
        deadline_s = time.monotonic() + patience_s
        while True:
            answer = self.get("/v1/status")
            if answer.status_code == 200 and holds(answer.json()):
                status: dict[str, Any] = answer.json()
                return status
            assert time.monotonic() < deadline_s, f"it never came to that: {answer.text}"
            time.sleep(0.02)


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(
    config: Path, log: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """`python -m serve`, in a process group of its own, as a shell would start it."""
    with log.open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "serve", "--config", str(config), *arguments],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            process_group=0,
        )


def start_server(
    config: Path, log: Path, *, environment: Mapping[str, str] | None = None
) -> LiveServer:
    """Start a server and wait for its ready line."""
    port = free_port()
    process = launch(config, log, "--port", str(port), environment=environment)
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_MAX_S)
    line = process.stdout.readline() if readable else ""
    if not line:
        stop_server(process)
        pytest.fail(f"the server did not start:\n{log.read_text()}")
    return LiveServer(f"http://127.0.0.1:{port}", process, line, log)


def stop_server(process: subprocess.Popen[str]) -> None:
    """End a server as Ctrl-C does; kill it if it does not end in time."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_MAX_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file beside tiny pipelines with random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    # In a process of its own, so that the tests of the server do not have to load torch.
    subprocess.run(
        [sys.executable, "-c", MAKE_TINY_WEIGHTS, str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY_CONFIG, sort_keys=False))
    return path


@pytest.fixture(scope="session")
def live(tiny_config: Path) -> Iterator[LiveServer]:
    """The session's one server, on a Ray cluster of its own."""
    server = start_server(tiny_config, tiny_config.with_name("server.log"))
    yield server
    stop_server(server.process)
