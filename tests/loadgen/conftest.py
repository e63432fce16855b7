"""Fixtures: a stub images server in a process of its own, prompts, and made-up records."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STUB = Path(__file__).with_name("stub_server.py")
StartStub = Callable[..., str]


@pytest.fixture
def start_stub() -> Iterator[StartStub]:
    """Starts stub servers (see stub_server.py) and returns their URLs; ends them after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(
        *,
        service_s: float = 0.02,
        workers: int = 64,
        stall_at_s: float = 0.0,
        stall_s: float = 0.0,
        limit: int = 0,
    ) -> str:
        numbers = [str(value) for value in (service_s, workers, stall_at_s, stall_s, limit)]
        process = subprocess.Popen(
            [sys.executable, str(STUB), *numbers], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    """A file of twenty prompts."""
    path = tmp_path / "prompts.txt"
    lines = [f"a large red circle, take {number}" for number in range(20)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
