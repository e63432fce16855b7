"""One synthetic measurement with its results, for all that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison import comparing
from analysis.comparison.comparing import Comparison
from analysis.comparison.evidence import Evidence
from analysis.comparison.profile import Profile
from analysis.validation import study
from analysis.validation.measure import measure
from analysis.validation.plan import SHORT_EXTENT, Extent, Load, Plan
from tests.analysis.synthetic_demo import write_config
from tests.analysis.validation.synthetic_servers import Processes

SLOW_RUN, SLOWNESS = "static-0.6", 1.3
SMALL: Extent = replace(
    SHORT_EXTENT,
    loads=(Load("static", 0.6), Load("in_flight", 1.6)),
    requests=80,
    calibrations_s=(6.0, 4.0),
    probe_s=2.0,
)


def plan_in(place: Path, **changes: Any) -> Plan:
    """Two loads, for simulated servers."""
    prompts = place / "prompts.txt"
    prompts.write_text("a red circle\na blue square\n")
    values: dict[str, Any] = {
        "out": place / "out",
        "extent": SMALL,
        "config": write_config(place),
        "port": 8123,
        "prompts": prompts,
        "command": "python -m analysis validate",
    }
    return Plan(**(values | changes))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """No real process is started."""
    fakes = Processes()
    fakes.take_the_place_of_real_ones(monkeypatch)
    return fakes


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw data of servers that the simulator itself has served, one run on a slower machine."""
    place = tmp_path_factory.mktemp("validation")
    fakes = Processes()
    fakes.slowness[SLOW_RUN] = SLOWNESS
    with pytest.MonkeyPatch.context() as monkeypatch:
        fakes.take_the_place_of_real_ones(monkeypatch)
        return measure(plan_in(place))


@pytest.fixture(scope="session")
def few_draws() -> Iterator[None]:
    """The costs have no spread here, so every replay is the same."""

    def compare(evidence: Evidence, profile: Profile) -> Comparison:
        return comparing.compare(evidence, profile, draws=2, replications=6)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(study, "compare", compare)
        yield


@pytest.fixture(scope="session")
def told() -> list[str]:
    """What the computation says while it works."""
    return []


@pytest.fixture(scope="session")
def results(folder: Path, few_draws: None, told: list[str]) -> dict[str, Any]:
    """The results of that measurement, with a header."""
    header = {
        "command": "python -m analysis validate",
        "commit": "abc1234",
        "machine": "a machine, 2 cores",
        "versions": {"python": "3.11"},
        "started": "2026-11-20T12:00:00+00:00",
        "took_s": 1.0,
        "load_average": 0.1,
    }
    return {"made_by": header, "name": "validation", **study.compute(folder, told.append, 1)}
