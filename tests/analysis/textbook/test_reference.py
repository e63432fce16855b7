"""Every value of the reference file is met, and would not be by a server defined otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import Interval
from analysis.textbook.models import InFlight, OneLine, Server, StartThreshold
from analysis.textbook.reference import (
    FIGURES,
    Case,
    Check,
    check,
    joint_level,
    read_cases,
)
from analysis.textbook.simulation import intervals, replicate

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
CASES = read_cases(REFERENCE)
JOBS, REPLICATIONS, SEED = 100_000, 20, 1


def checks_of(case: Case) -> list[Check]:
    runs = replicate(case.arrivals, case.server, JOBS, SEED, REPLICATIONS)
    return list(check(case, intervals(runs), intervals(runs, joint_level(CASES))))


@pytest.mark.parametrize("case_id", CASES)
def test_every_value_is_met(case_id: str) -> None:
    # The intervals hold all values of the file at once with 99 %, so that a change of the streams
    # of random numbers does not fail the test by chance.
    for value in checks_of(CASES[case_id]):
        assert value.agrees_jointly, value
        assert value.exact is None or value.exact in value.jointly, value


def with_start_threshold(server: Server, waiting: int) -> Server:
    assert isinstance(server, OneLine)
    assert server.threshold is not None
    return replace(server, threshold=StartThreshold(waiting, server.threshold.speed_up))


def with_levels(server: Server, up_at: int, down_at: int | None) -> Server:
    assert isinstance(server, InFlight)
    return replace(server, up_at=up_at, down_at=down_at)


@pytest.mark.parametrize(
    ("case_id", "otherwise"),
    [
        ("THR_0.8", with_levels(CASES["THR_0.8"].server, 6, 5)),  # n > K for n >= K
        ("THR_0.8", with_levels(CASES["THR_0.8"].server, 5, 3)),  # a hysteresis that is not there
        ("HYS_1.2", with_levels(CASES["HYS_1.2"].server, 9, 3)),  # n > K_hi
        ("HYS_1.2", with_levels(CASES["HYS_1.2"].server, 8, 2)),  # n < K_lo
        ("MM4_THR", with_levels(CASES["MM4_THR"].server, 9, 8)),
        ("MIDFLIGHT_D", with_levels(CASES["MIDFLIGHT_D"].server, 6, 5)),
        ("MMPP_THR", with_levels(CASES["MMPP_THR"].server, 6, 5)),
        ("START_D_K5", with_start_threshold(CASES["START_D_K5"].server, 6)),  # waiting > K
        ("START_D_K5", with_start_threshold(CASES["START_D_K5"].server, 4)),  # itself included
        ("START_M_K5", with_start_threshold(CASES["START_M_K5"].server, 6)),
        ("START_D_C4", with_start_threshold(CASES["START_D_C4"].server, 9)),
        ("ERLANG_A", replace(CASES["ERLANG_A"].server, patience=None, servers=5)),
    ],
)
def test_a_server_defined_otherwise_does_not_meet_them(case_id: str, otherwise: Server) -> None:
    case = CASES[case_id]
    runs = replicate(case.arrivals, otherwise, JOBS // 5, SEED, REPLICATIONS)
    if case_id == "ERLANG_A":  # nobody gives up, so that figure is not there at all
        runs = [replace(run, abandoned_share=0.0) for run in runs]
    values = check(case, intervals(runs), intervals(runs, joint_level(CASES)))
    assert not all(value.agrees_jointly for value in values)


def test_the_joint_level_is_99_percent_over_all_values() -> None:
    values = sum(len(case.simulated) for case in CASES.values())
    assert values == 116
    assert values * (1 - joint_level(CASES)) == pytest.approx(0.01)


def value_of(ours: float, reference: float, exact: float | None = None) -> Check:
    return Check("X", "W", Interval(ours, 0.1, 20), Interval(ours, 0.2, 20), reference, 0.05, exact)


def test_a_check_asks_how_far_the_means_are_apart() -> None:
    near, room, joint, wide, out = (value_of(1.0, x) for x in (1.09, 1.14, 1.19, 1.24, 1.26))
    assert near.inside
    assert not room.inside
    assert room.agrees
    assert not joint.agrees
    assert joint.inside_jointly
    assert not wide.inside_jointly
    assert wide.agrees_jointly
    assert not out.agrees_jointly
    assert near.exact_inside is None
    assert value_of(1.0, 1.0, 1.09).exact_inside is True
    assert value_of(1.0, 1.0, 1.11).exact_inside is False


def test_a_file_that_cannot_be_used_is_named_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    with pytest.raises(ValueError, match="name it with --reference"):
        read_cases(file)
    file.write_text("{")
    with pytest.raises(ValueError, match="list of `cases`"):
        read_cases(file)
    case = json.loads(REFERENCE.read_text())["cases"][0]
    file.write_text(json.dumps({"cases": [{**case, "parameters": {"mu": 1}}]}))
    with pytest.raises(ValueError, match="lacks or misstates 'lam'"):
        read_cases(file)
    unknown = {"beauty": {"mean": 1.0, "ci95_half": 0.1}}
    file.write_text(json.dumps({"cases": [{**case, "des_check": unknown}]}))
    with pytest.raises(ValueError, match="beauty"):
        read_cases(file)


def test_every_name_of_a_figure_is_used_by_some_case() -> None:
    assert {name for case in CASES.values() for name in case.simulated} == set(FIGURES)
