"""One server for the whole fault matrix, which ends with it, and a record of what each fault cost."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, LiveServer, stop_server
from tests.faults import cluster

OUT_VARIABLE = "FAULTS_OUT"
"""Names the file to which the record is written; without it nothing is written."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server of the fault matrix."""
    server = cluster.start(tmp_path_factory.mktemp("faults"))
    yield server
    stop_server(server.process)


@pytest.fixture
def server(faulty: LiveServer) -> LiveServer:
    """That server with both engines up and nobody in it."""
    faulty.wait_until(cluster.whole)
    return faulty


@pytest.fixture(scope="session")
def record() -> Iterator[dict[str, dict[str, Any]]]:
    """What each fault cost, by its name."""
    faults: dict[str, dict[str, Any]] = {}
    yield faults
    path = os.environ.get(OUT_VARIABLE)
    if path is None:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    content = {
        "command": "make test-faults",
        "commit": commit,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load_average": os.getloadavg()[0],
        "server": cluster.CONFIG["engines"][0] | {"gateways": 2},
        "faults": faults,
    }
    Path(path).write_text(json.dumps(content, indent=1) + "\n")
