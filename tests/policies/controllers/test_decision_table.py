"""Rungs are looked up by the rate, the present rung and the jobs in the system."""

from __future__ import annotations

import math
from typing import Any

import pytest

from policies.controllers import ControllerState, DecisionTable, RateBand
from tests.policies.controllers.loads import load

CALM = ((0, 0, 0, 1), (0, 0, 1, 1))
BUSY = ((0, 1), (0, 1))
TABLE = DecisionTable((RateBand(3.5, CALM), RateBand(math.inf, BUSY)))
PLAIN: dict[str, Any] = {
    "version": 1,
    "kind": "table",
    "bands": [
        {"below_per_s": 3.5, "rungs": [[0, 0, 0, 1], [0, 0, 1, 1]]},
        {"below_per_s": None, "rungs": [[0, 1], [0, 1]]},
    ],
    "made_by": {"costs": "costs.json"},
}


def rung(jobs: int, current: int, rate_per_s: float = 1.0, running: int = 1) -> int:
    seen = load(jobs - running, running=running, arrival_rate_per_s=rate_per_s)
    return TABLE.decide(seen, ControllerState(current, 0.0)).rung


def test_the_row_of_the_present_rung_decides_so_the_way_back_can_differ_from_the_way_down() -> None:
    assert [rung(jobs, current=0) for jobs in (1, 2, 3)] == [0, 0, 1]
    assert [rung(jobs, current=1) for jobs in (1, 2, 3)] == [0, 1, 1]


def test_the_last_column_holds_for_all_larger_numbers_of_jobs() -> None:
    assert rung(1000, current=0) == 1


def test_jobs_that_run_count_as_much_as_jobs_that_wait() -> None:
    assert rung(3, current=0, running=3) == rung(3, current=0, running=1) == 1


@pytest.mark.parametrize(("rate_per_s", "expected"), [(3.49, 0), (3.5, 1), (1000.0, 1)])
def test_the_band_is_the_first_that_ends_above_the_arrival_rate(
    rate_per_s: float, expected: int
) -> None:
    assert rung(1, current=0, rate_per_s=rate_per_s) == expected


def test_an_unchanged_rung_is_the_same_state_and_a_change_is_dated() -> None:
    state = ControllerState(1, 5.0)
    assert TABLE.decide(load(9), state) is state
    assert TABLE.decide(load(0, running=0), state) == ControllerState(0, 100.0)
    assert TABLE.initial().rung == 0
    assert TABLE.deepest == 1
    assert not TABLE.needs_costs


def test_a_table_reads_a_solvers_plain_data() -> None:
    assert DecisionTable.from_plain(PLAIN) == TABLE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "solve it anew"),
        ({"kind": "split"}, "kind 'split', where 'table' is needed"),
        ({"bands": {}}, "list of objects"),
        ({"bands": [3]}, "list of objects"),
        ({"bands": []}, "at least one"),
        ({"bands": [{"rungs": [[0]]}]}, "no below_per_s"),
        ({"bands": [{"below_per_s": "3", "rungs": [[0]]}]}, "must be a number"),
        ({"bands": [{"below_per_s": None}]}, "must be a list"),
        ({"bands": [{"below_per_s": None, "rungs": [0]}]}, "must be a list"),
        ({"bands": [{"below_per_s": None, "rungs": [[0.5]]}]}, "whole numbers"),
        ({"bands": [{"below_per_s": None, "rungs": [[True]]}]}, "whole numbers"),
        ({"bands": [{"below_per_s": 3.0, "rungs": [[0]]}]}, "end at infinity"),
    ],
)
def test_plain_data_that_is_no_table_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DecisionTable.from_plain({**PLAIN, **changes})


@pytest.mark.parametrize("content", [None, [], "table"])
def test_plain_data_that_is_no_object_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match="must be a JSON object"):
        DecisionTable.from_plain(content)


@pytest.mark.parametrize(
    ("rungs", "says"),
    [
        ((), "no rows"),
        (((),), "row of rung 0 is empty"),
        (((0, 1, 0), (0, 1, 1)), "rung 0 goes back up"),
        (((0, 1), (0, 2)), "rung 1 holds rungs 0 to 2"),
        (((-1, 0), (0, 1)), "rung 0 holds rungs -1"),
    ],
)
def test_bands_that_cannot_be_looked_up_are_refused(
    rungs: tuple[tuple[int, ...], ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        RateBand(math.inf, rungs)


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ((), "at least one"),
        ((0.0, math.inf), "must rise"),
        ((3.0, 3.0, math.inf), "must rise"),
        ((math.nan, math.inf), "must rise"),
        ((1.0, 2.0), "end at infinity"),
    ],
)
def test_bands_that_leave_rates_out_are_refused(bounds: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DecisionTable(tuple(RateBand(end, ((0,),)) for end in bounds))


def test_bands_of_unlike_size_are_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 rows"):
        DecisionTable((RateBand(1.0, ((0,),)), RateBand(math.inf, BUSY)))
