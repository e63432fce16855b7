"""One synthetic run with the sums of its engines, and its estimates, for all that only look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.estimation.estimating import estimate, plain, read_material
from analysis.server_config import read_settings
from pipelines.service_costs import CostSums, Sums
from tests.analysis.synthetic_demo import STARTED_UNIX_S, settings, world, write_run

RATE_PER_S, SECONDS = 6.0, 40.0
FIXED_S, PER_JOB_S = 0.010, 0.005


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a static server with four places; `static.yaml` lies beside it."""
    folder = tmp_path_factory.mktemp("estimation")
    server = world(folder, "static")
    assert settings(folder, "static").max_batch == 4
    write_run(folder / "run", server, RATE_PER_S, SECONDS, 1)
    lines = (folder / "run" / "requests.jsonl").read_text().splitlines()
    write_sums(folder / "run", len(lines))
    return folder / "run"


def write_sums(folder: Path, pictures: int) -> None:
    """Sums of one engine, once a second, whose steps take 10 ms and 5 ms a job, with some noise."""
    rng = np.random.default_rng(1)
    sums = CostSums(decode={("full", 64, 64, 1): Sums(1, 0.01, 0.0001)})
    lines = [
        {"unix_s": STARTED_UNIX_S, "engines": {"e": {"pool": "main", "sums": sums.to_plain()}}}
    ]
    done = np.linspace(0, pictures, int(SECONDS) + 1).astype(int)
    for second in range(1, int(SECONDS) + 1):
        pace = 1 + 0.02 * rng.standard_normal()
        step = {}
        for jobs in (1, 2, 3, 4):
            noise = 1 + 0.01 * rng.standard_normal()
            mean_s = (FIXED_S + PER_JOB_S * jobs) * pace * noise
            step["full", 64, 64, jobs, jobs] = Sums(10, 10 * mean_s, 10 * mean_s**2)
        decoded = int(done[second] - done[second - 1])
        decode = {("full", 64, 64, 1): Sums(decoded, 0.01 * decoded, 0.0001 * decoded)}
        sums = sums.plus(CostSums(step=step, decode=decode))
        engines = {"e": {"pool": "main", "sums": sums.to_plain()}}
        lines.append({"unix_s": STARTED_UNIX_S + second, "engines": engines})
    (folder / "costs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="session")
def results(run_folder: Path) -> dict[str, Any]:
    """Its estimates, as read back from JSON."""
    material = read_material(run_folder, read_settings(run_folder.parent / "static.yaml"))
    found: dict[str, Any] = json.loads(
        json.dumps(plain(estimate(material, power_draws=5)), allow_nan=False)
    )
    return found
