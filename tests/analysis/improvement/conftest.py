"""One synthetic measurement with its results, for all that only look at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.improvement.measure import measure
from analysis.improvement.plan import Plan
from analysis.improvement.study import study
from tests.analysis.improvement.synthetic_servers import VARIANTS, Processes
from tests.analysis.synthetic_demo import write_config

TOLD: list[str] = []


def plan_in(place: Path, **changes: Any) -> Plan:
    """Three short rounds on simulated servers."""
    prompts = place / "prompts.txt"
    prompts.write_text("".join(f"prompt {number}\n" for number in range(40)))
    values: dict[str, Any] = {
        "out": place / "runs",
        "config": write_config(place, variants=VARIANTS),
        "rounds": 3,
        "seconds": 8.0,
        "prompts": prompts,
        "command": "python -m analysis improvement",
    }
    return Plan(**(values | changes))


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Processes]:
    """The raw data of servers that the simulator itself has served, and what was asked for them."""
    processes = Processes()
    with pytest.MonkeyPatch.context() as monkeypatch:
        processes.take_the_place_of_real_ones(monkeypatch)
        plan = plan_in(tmp_path_factory.mktemp("improvement"))
        return measure(plan, TOLD.append), processes


@pytest.fixture(scope="session")
def results(measured: tuple[Path, Processes]) -> dict[str, Any]:
    """The document, as it is read again from JSON."""
    found = study(measured[0], replications=2, simulated_s=6.0)
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain
