"""One synthetic measurement with its check, for all that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.sim_check import check as checking
from analysis.sim_check.check import Check, check
from analysis.sim_check.measure import Plan, measure
from tests.analysis.sim_check.synthetic_servers import Processes
from tests.analysis.synthetic_demo import write_config

SLOW_RUN, SLOWNESS = "static-0.6-2", 1.3
SECONDS = 12.0


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw data of servers that the simulator itself has served, one run on a slower machine."""
    place = tmp_path_factory.mktemp("sim-check")
    fakes = Processes()
    fakes.slowness[SLOW_RUN] = SLOWNESS
    prompts = place / "prompts.txt"
    prompts.write_text("a red circle\na blue square\n")
    plan = Plan(
        place / "runs",
        write_config(place),
        SECONDS,
        port=8123,
        prompts=prompts,
        command=f"python -m analysis sim-check --seconds {SECONDS:g}",
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        fakes.take_the_place_of_real_ones(monkeypatch)
        return measure(plan)


@pytest.fixture(scope="session")
def few_draws() -> Iterator[None]:
    """The costs have no spread here, so every replay is the same."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(checking, "DRAWS", dict.fromkeys(checking.DRAWS, 1))
        monkeypatch.setattr(checking, "LAG_DRAWS", 1)
        yield


@pytest.fixture(scope="session")
def told() -> list[str]:
    """What the check says while it works."""
    return []


@pytest.fixture(scope="session")
def checked(folder: Path, few_draws: None, told: list[str]) -> Check:
    """The check of that measurement."""
    return check(folder, told.append)
