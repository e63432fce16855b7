"""One synthetic measurement, for all that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.unpredictability.measure import Plan, measure
from tests.analysis.synthetic_demo import write_config
from tests.analysis.unpredictability.synthetic_session import Stub, with_latencies

RESIDUAL_S, ENGINE_S = 0.02, 0.1


def plan_of(place: Path) -> Plan:
    """A plan with a configuration and enough prompts."""
    prompts = place / "prompts.txt"
    prompts.write_text("".join(f"prompt {number}\n" for number in range(30)))
    return Plan(place / "runs", write_config(place), port=8123, prompts=prompts, command="python x")


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stub]:
    """The raw data, and what was asked for them."""
    stub = Stub()
    with pytest.MonkeyPatch.context() as monkeypatch:
        stub.take_the_place_of_real_ones(monkeypatch)
        folder = measure(plan_of(tmp_path_factory.mktemp("unpredictability")))
    with_latencies(folder, RESIDUAL_S, ENGINE_S)
    return folder, stub
