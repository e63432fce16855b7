"""What the measurement asks of servers and load generators, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.faults import MeasurementError
from analysis.server_config import ConfigError
from analysis.unpredictability.design import BLOCKS, PANEL, REPETITIONS, SHUFFLED, UNCHANGED
from analysis.unpredictability.measure import SESSION_FILE, VISITS_FILE, Plan, measure
from tests.analysis.unpredictability.conftest import plan_of
from tests.analysis.unpredictability.synthetic_session import Stub


def test_each_engine_is_asked_by_its_name_and_equally_often(measured: tuple[Path, Stub]) -> None:
    folder, stub = measured
    visits = [json.loads(line) for line in (folder / VISITS_FILE).read_text().splitlines()]
    for engine in ("one", "two"):
        assert sum(v["engine"] == engine for v in visits) == BLOCKS * PANEL * REPETITIONS
        asked = sum(body["model"] == f"shapes/{engine}" for body in stub.asked)
        assert asked == (BLOCKS * REPETITIONS + 1) * PANEL


def test_the_same_request_has_the_same_prompt_and_seed(measured: tuple[Path, Stub]) -> None:
    _, stub = measured
    assert len({(body["prompt"], body["seed"]) for body in stub.asked}) == PANEL


def test_all_replays_have_the_same_gaps(measured: tuple[Path, Stub]) -> None:
    _, stub = measured
    assert len(stub.times) == 2 * BLOCKS + 1
    assert len(set(stub.times.values())) == 1


def test_unchanged_replays_send_the_same_and_shuffled_ones_another_order(
    measured: tuple[Path, Stub],
) -> None:
    _, stub = measured
    unchanged = {tuple(sent) for name, sent in stub.sent.items() if UNCHANGED in name}
    assert unchanged == {tuple(stub.sent["warm-up"])}
    shuffled = [sent for name, sent in stub.sent.items() if SHUFFLED in name]
    assert all(sorted(sent) == sorted(stub.sent["warm-up"]) for sent in shuffled)
    assert all(sent != stub.sent["warm-up"] for sent in shuffled)


def test_what_is_recorded_names_no_place_of_this_machine(measured: tuple[Path, Stub]) -> None:
    folder, _ = measured
    commands = json.loads((folder / SESSION_FILE).read_text())["commands"]
    assert commands
    assert not any(str(folder) in command for command in commands)


def test_no_block_begins_after_the_time_but_for_the_two_that_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stub().take_the_place_of_real_ones(monkeypatch)
    clock = iter(range(0, 10_000_000, 1000))
    monkeypatch.setattr(
        "analysis.unpredictability.measure.time.monotonic", lambda: float(next(clock))
    )
    told: list[str] = []
    folder = measure(plan_of(tmp_path), told.append)
    assert json.loads((folder / SESSION_FILE).read_text())["blocks"] == 2
    assert told[-1] == "block 2"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("wrong_engine", "was served by two"),
        ("refuses", "refused a request"),
        ("loses", "did not have all its"),
    ],
)
def test_a_request_that_is_not_served_as_asked_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    stub = Stub()
    setattr(stub, fault, True)
    stub.take_the_place_of_real_ones(monkeypatch)
    with pytest.raises(MeasurementError, match=message):
        measure(plan_of(tmp_path))


def test_too_short_a_measurement_is_refused() -> None:
    with pytest.raises(ConfigError, match="--seconds-max must be at least"):
        Plan(Path("runs"), seconds_max=1.0)
