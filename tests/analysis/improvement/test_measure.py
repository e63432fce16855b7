"""What is asked of servers, load generator and judge, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.faults import MeasurementError
from analysis.improvement.measure import AGAIN, BESIDE, META_FILE, NEW, measure
from analysis.improvement.plan import LOADS, SYSTEMS
from analysis.server_config import ConfigError
from tests.analysis.improvement.conftest import TOLD, plan_in
from tests.analysis.improvement.synthetic_servers import Processes


def test_all_systems_are_up_at_once_and_each_load_meets_its_own(
    measured: tuple[Path, Processes],
) -> None:
    _, processes = measured
    assert processes.most_up == len(SYSTEMS)
    assert not processes.up
    for load in processes.loads:
        name = Path(load["--out"]).name
        if name.split("-")[0] in SYSTEMS:
            assert load["config"] == name.split("-")[0]


def test_the_pairs_of_a_round_have_the_same_arrivals_and_save_their_pictures(
    measured: tuple[Path, Processes],
) -> None:
    _, processes = measured
    told = {Path(load["--out"]).name: load for load in processes.loads}
    for share in LOADS:
        for number in (1, 2, 3):
            mine = [told[f"{system}-{share:g}-{number}"] for system in SYSTEMS]
            for option in ("--seed", "--rate", "--duration", "--prompts", "--arrivals"):
                assert len({load[option] for load in mine}) == 1
            assert all(load["saved"] == "True" for load in mine)
    first, second = told["static-1.5-1"], told["static-1.5-2"]
    assert first["--seed"] != second["--seed"]
    assert float(first["--rate"]) == pytest.approx(
        float(told["static-0.8-1"]["--rate"]) * 1.5 / 0.8, rel=1e-5
    )


def test_requests_alone_are_the_same_three_times_over(measured: tuple[Path, Processes]) -> None:
    _, processes = measured
    alone = [load for load in processes.loads if load["--arrivals"] == "deterministic"]
    assert [Path(load["--out"]).name for load in alone] == [NEW, AGAIN, BESIDE]
    for option in ("--seed", "--rate", "--prompts"):
        assert len({load[option] for load in alone}) == 1


def test_all_runs_are_judged(measured: tuple[Path, Processes]) -> None:
    folder, processes = measured
    turns = json.loads((folder / META_FILE).read_text())["turns"]
    assert len(processes.judged) == len(turns) == 3 * len(LOADS) * len(SYSTEMS)


def test_what_is_recorded_names_no_place_of_this_machine(measured: tuple[Path, Processes]) -> None:
    folder, _ = measured
    assert str(folder.parent) not in (folder / META_FILE).read_text()


def test_progress_is_told_as_often_as_announced(
    measured: tuple[Path, Processes], tmp_path: Path
) -> None:
    assert len(TOLD) == plan_in(tmp_path).steps


def test_a_judge_that_fails_costs_the_quality_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes()
    processes.judge_fails = True
    processes.take_the_place_of_real_ones(monkeypatch)
    systems = ("static", "in_flight")
    folder = measure(plan_in(tmp_path, rounds=2, seconds=4.0, systems=systems))
    meta = json.loads((folder / META_FILE).read_text())
    assert meta["problems"] == ["judging the pictures failed"]
    assert processes.most_up == 2


def test_a_load_without_results_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes()
    processes.fails_at = NEW
    processes.take_the_place_of_real_ones(monkeypatch)
    with pytest.raises(MeasurementError, match=r"left no run\.json"):
        measure(plan_in(tmp_path))
    assert not processes.up


def test_old_raw_data_are_not_written_over(measured: tuple[Path, Processes]) -> None:
    folder, _ = measured
    with pytest.raises(ConfigError, match="exists already"):
        measure(plan_in(folder.parent))
