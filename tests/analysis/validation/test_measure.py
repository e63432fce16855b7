"""The order of work of the measurement, with every process replaced by the simulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.faults import MeasurementError
from analysis.server_config import ConfigError, read_settings
from analysis.validation.measure import META_FILE, capacity_of, measure
from analysis.validation.plan import CALIBRATION_LOAD
from policies.costs import completion_rate_per_s
from tests.analysis.synthetic_demo import BATCH, cost_table
from tests.analysis.validation.conftest import SMALL, plan_in
from tests.analysis.validation.synthetic_servers import POOL, Processes, counted

NAMES = (
    "probe-static-full",
    "probe-static-turbo",
    "calibration-static-1",
    "static-0.6",
    "calibration-static-2",
    "probe-in_flight-full",
    "probe-in_flight-turbo",
    "calibration-in_flight-1",
    "in_flight-1.6",
    "calibration-in_flight-2",
)


def test_every_session_is_calibrated_before_and_after_its_loads(
    tmp_path: Path, processes: Processes
) -> None:
    told: list[str] = []
    plan = plan_in(tmp_path)
    folder = measure(plan, told.append)
    assert len(told) == plan.steps
    assert processes.servers == ["static", "in_flight"]
    options = processes.options()
    assert tuple(Path(one["--out"]).name for one in options) == NAMES
    for mode in processes.servers:
        assert (folder / f"idle-{mode}.jsonl").exists()
        assert (folder / f"{mode}.yaml").exists()
    seeds = [one["--seed"] for one in options if "--model" not in one]
    assert len(set(seeds)) == len(seeds)


def test_loads_are_shares_of_the_capacity_that_the_calibration_found(
    tmp_path: Path, processes: Processes
) -> None:
    folder = measure(plan_in(tmp_path))
    settings = read_settings(folder / "static.yaml")
    capacity = completion_rate_per_s(cost_table(), settings.ladder.best, BATCH)
    assert capacity_of(settings, {POOL: counted(cost_table())}) == pytest.approx(capacity)
    shares = {
        Path(one["--out"]).name: float(one["--rate"]) / capacity
        for one in processes.options()
        if "--model" not in one
    }
    wanted = [CALIBRATION_LOAD, 0.6, CALIBRATION_LOAD, CALIBRATION_LOAD, 1.6, CALIBRATION_LOAD]
    assert list(shares.values()) == pytest.approx(wanted, rel=1e-4)
    (static,) = [one for one in processes.options() if one["--out"].endswith("static-0.6")]
    arrivals = float(static["--rate"]) * float(static["--duration"])
    assert arrivals == pytest.approx(SMALL.requests, rel=1e-4)
    meta = json.loads((folder / META_FILE).read_text())
    assert meta["capacity_per_s"] == pytest.approx(capacity)


def test_the_first_calibration_load_makes_the_capacity_surer(
    tmp_path: Path, processes: Processes
) -> None:
    processes.slowness["calibration-static-1"] = 1.3
    folder = measure(plan_in(tmp_path))
    settings = read_settings(folder / "static.yaml")
    probed = capacity_of(settings, {POOL: counted(cost_table())})
    rates = {Path(one["--out"]).name: float(one["--rate"]) for one in processes.options()}
    assert rates["calibration-static-1"] == pytest.approx(CALIBRATION_LOAD * probed, rel=1e-4)
    # Probe and calibration count as much of everything: the mean of both speeds.
    for name, share in (("static-0.6", 0.6), ("in_flight-1.6", 1.6)):
        assert rates[name] == pytest.approx(share * probed / 1.15, rel=1e-4)


def test_every_variant_is_warmed_up_and_probed_by_name(
    tmp_path: Path, processes: Processes
) -> None:
    measure(plan_in(tmp_path))
    probes = [one for one in processes.options() if "--model" in one]
    asked = [(one["--model"], one["--steps"]) for one in probes]
    assert asked == [("shapes/full", "25"), ("shapes/turbo", "4")] * 2
    full, turbo = ({"model": f"shapes/{v}", "steps": s} for v, s in (("full", 25), ("turbo", 4)))
    assert processes.asked == [full, turbo, {}] * 2


def test_what_was_measured_stays_when_a_load_fails_and_how_to_use_it_is_told(
    tmp_path: Path, processes: Processes
) -> None:
    processes.fails_at = "in_flight-1.6"
    with pytest.raises(MeasurementError, match=r"in_flight-1.6 failed; .*validate --again out"):
        measure(plan_in(tmp_path))
    meta = json.loads((tmp_path / "out" / META_FILE).read_text())
    assert [one["name"] for one in meta["plan"]["loads"]] == ["static-0.6", "in_flight-1.6"]
    assert (tmp_path / "out" / "static-0.6" / "run.json").exists()
    assert meta["made_by"]["seed"] == 1
    assert str(tmp_path) not in json.dumps(meta)


def test_a_server_that_does_not_tell_its_costs_is_not_measured(
    tmp_path: Path, processes: Processes
) -> None:
    processes.tells_costs = False
    with pytest.raises(MeasurementError, match=r"left no costs\.jsonl"):
        measure(plan_in(tmp_path))


def test_nothing_is_overwritten(tmp_path: Path, processes: Processes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(ConfigError, match="exists already"):
        measure(plan_in(tmp_path))
    assert processes.commands == []
