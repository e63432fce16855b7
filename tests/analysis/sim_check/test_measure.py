"""The order of work of the measurement, with every process replaced by the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.faults import MeasurementError
from analysis.server_config import ConfigError, read_settings
from analysis.sim_check import sums
from analysis.sim_check.measure import LOADS, TOLD, Plan, capacity_of, measure, sessions
from analysis.sim_check.sums import read_window
from policies.costs import completion_rate_per_s
from tests.analysis.sim_check.synthetic_servers import POOL, Processes, counted
from tests.analysis.synthetic_demo import BATCH, cost_table, write_config


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    fakes = Processes()
    fakes.take_the_place_of_real_ones(monkeypatch)
    return fakes


def plan(tmp_path: Path, **changes: object) -> Plan:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\na blue square\n")
    values = {
        "out": tmp_path / "out",
        "config": write_config(tmp_path),
        "seconds": 5.0,
        "prompts": prompts,
        "port": 8123,
    }
    return Plan(**(values | changes))  # type: ignore[arg-type]


def test_every_load_runs_twice_and_in_opposite_orders() -> None:
    turns = [turn for _, its in sessions() for turn in its]
    assert [turn.round for turn in turns] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert [(t.controller, t.load) for t in turns] == [*LOADS, *reversed(LOADS)]
    assert all(turn.controller == server for server, its in sessions() for turn in its)


def test_loads_are_shares_of_the_capacity_that_was_seen_in_service(
    tmp_path: Path, processes: Processes
) -> None:
    told: list[str] = []
    folder = measure(plan(tmp_path), told.append)
    assert len(told) == TOLD
    assert processes.servers == ["static", "controlled", "static"]
    settings = read_settings(folder / "static.yaml")
    capacity = completion_rate_per_s(cost_table(), settings.ladder.best, BATCH)
    assert capacity_of(settings, {POOL: counted(cost_table())}) == pytest.approx(capacity)
    options = [dict(zip(c[3::2], c[4::2], strict=True)) for c in processes.commands]
    loads = [o for o in options if "probe" not in o["--out"]]
    rates = [float(o["--rate"]) / capacity for o in loads]
    assert rates == pytest.approx([0.6, 0.8, 1.2, 1.6, 1.6, 1.2, 0.8, 0.6], rel=1e-4)
    assert len({o["--seed"] for o in loads}) == len(loads)
    assert json.loads((folder / "sim_check.json").read_text())["capacity_per_s"] == capacity


def test_every_variant_is_probed_by_name_before_the_loads(
    tmp_path: Path, processes: Processes
) -> None:
    measure(plan(tmp_path))
    options = [dict(zip(c[3::2], c[4::2], strict=True)) for c in processes.commands]
    asked = [(o["--model"], o["--steps"]) for o in options[:2]]
    assert asked == [("shapes/full", "25"), ("shapes/turbo", "4")]
    assert all("--model" not in o for o in options[2:])


def test_the_window_of_a_run_holds_its_own_work_only(tmp_path: Path, processes: Processes) -> None:
    folder = measure(plan(tmp_path))
    window = read_window(folder / "controlled-1.6-2.costs.jsonl")
    whole = window.whole[POOL]
    assert whole.total_s == pytest.approx(counted(cost_table()).total_s)
    assert whole.step.keys() == counted(cost_table()).step.keys()


def test_pictures_that_the_server_did_not_count_end_the_measurement(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.loses_pictures = True
    monkeypatch.setattr(sums, "SETTLE_PATIENCE_S", 0.0)
    with pytest.raises(MeasurementError, match="the server counts 0 pictures"):
        measure(plan(tmp_path))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seconds": 1.0}, "--seconds must be at least"),
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"port": 0}, "--port must lie between"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        plan(tmp_path, **changes)


def test_nothing_is_overwritten(tmp_path: Path, processes: Processes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(ConfigError, match="exists already"):
        measure(plan(tmp_path))
    assert processes.commands == []
