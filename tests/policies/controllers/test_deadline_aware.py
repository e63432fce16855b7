"""Each job gets the best service that still meets its own deadline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controllers import DeadlineAware
from policies.nouns import Job
from tests.policies.controllers.loads import load

CONTROLLER = DeadlineAware(deepest=3, target_s=6.0, margin_s=1.0)
TIMES_S = st.floats(0.0, 50.0)


@dataclass(frozen=True)
class Promise:
    name: str
    completes_s: float


def job(deadline_s: float | None = None) -> Job:
    return Job("a", arrival_s=10.0, floor=3, deadline_s=deadline_s)


def test_it_asks_nothing_of_all_jobs_alike() -> None:
    state = CONTROLLER.initial()
    assert state.rung == 0
    assert CONTROLLER.decide(load(1000), state) is state
    assert CONTROLLER.deepest == 3
    assert CONTROLLER.needs_costs


def test_nobody_gets_a_rung_at_which_the_line_takes_too_long() -> None:
    controller = DeadlineAware(deepest=2, target_s=6.0, drain_s=2.0)
    seen = replace(load(9), capacity_per_s=(3.0, 4.5, 9.0))
    assert controller.decide(seen, controller.initial()).rung == 1
    assert controller.decide(replace(seen, waiting=10), controller.initial()).rung == 2


def test_nobody_gets_a_better_rung_than_the_rate_allows() -> None:
    paced = DeadlineAware(deepest=2, target_s=6.0, pace=0.5)
    seen = replace(load(0), capacity_per_s=(3.0, 4.5, 9.0), arrival_rate_per_s=6.0)
    assert paced.decide(seen, paced.initial()).rung == 0
    down = paced.decide(replace(seen, arrival_rate_per_s=8.0), paced.initial())
    assert down.rung == 1
    assert paced.decide(seen, down).rung == 0  # as soon as the rate has fallen
    assert paced.decide(replace(seen, arrival_rate_per_s=90.0), paced.initial()).rung == 2


def test_line_and_rate_both_have_a_say() -> None:
    both = DeadlineAware(deepest=2, target_s=6.0, drain_s=2.0, pace=0.5)
    seen = replace(load(9), capacity_per_s=(3.0, 4.5, 9.0), arrival_rate_per_s=6.0)
    assert both.decide(seen, both.initial()).rung == 1
    assert both.decide(replace(seen, arrival_rate_per_s=18.0), both.initial()).rung == 2


def test_a_job_is_due_a_margin_before_its_deadline_or_its_target() -> None:
    assert CONTROLLER.due_s(job(), now_s=10.0, waiting=0) == 15.0
    assert CONTROLLER.due_s(job(deadline_s=13.0), now_s=10.0, waiting=9) == 12.0


def test_while_others_wait_a_job_may_spend_only_its_share_of_the_time_left() -> None:
    sharing = DeadlineAware(3, target_s=6.0, margin_s=1.0, share=0.5)
    assert sharing.due_s(job(), now_s=11.0, waiting=0) == 15.0
    assert sharing.due_s(job(), now_s=11.0, waiting=1) == 13.0
    assert sharing.due_s(job(), now_s=20.0, waiting=1) == 15.0  # it is late in any case


@given(st.floats(0.0, 1.0), TIMES_S, TIMES_S, st.integers(0, 5), st.integers(0, 5))
def test_a_due_time_rises_with_time_and_falls_with_the_line(
    share: float, now_s: float, passed_s: float, waiting: int, more: int
) -> None:
    sharing = DeadlineAware(3, target_s=20.0, share=share)
    due_s = sharing.due_s(job(), now_s, waiting)
    assert sharing.due_s(job(), now_s + passed_s, waiting) >= due_s - 1e-9
    assert sharing.due_s(job(), now_s, waiting + more) <= due_s + 1e-9


def test_the_first_offer_in_time_is_taken_and_no_later_one_is_computed() -> None:
    def offers() -> Iterator[Promise]:
        yield Promise("full", 20.0)
        yield Promise("medium", 15.0)
        raise AssertionError("one offer too many was asked for")

    chosen = CONTROLLER.choose(offers(), due_s=15.0)
    assert chosen is not None
    assert chosen.name == "medium"


def test_without_an_offer_in_time_the_earliest_is_taken() -> None:
    offers = [Promise("full", 20.0), Promise("medium", 16.0), Promise("low", 16.0)]
    assert CONTROLLER.choose(offers, due_s=15.0) is offers[1]


def test_without_any_offer_nothing_is_chosen() -> None:
    assert CONTROLLER.choose(iter(()), due_s=15.0) is None
    assert CONTROLLER.lowered(15.0, []) is None


def test_a_late_job_is_lowered_to_the_best_rung_in_time_else_to_the_last() -> None:
    options = [(1, 18.0), (2, 14.0), (3, 12.0)]
    assert CONTROLLER.lowered(15.0, options) == 2
    assert CONTROLLER.lowered(11.0, options) == 3


@given(st.lists(TIMES_S, min_size=1, max_size=6), TIMES_S, TIMES_S)
def test_an_earlier_due_time_never_gives_a_better_rung_while_some_rung_is_in_time(
    ends_s: list[float], due_s: float, later_s: float
) -> None:
    options = list(enumerate(ends_s))
    strict = CONTROLLER.lowered(due_s, options)
    loose = CONTROLLER.lowered(due_s + later_s, options)
    assert strict is not None
    assert loose is not None
    assert loose <= strict


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"deepest": -1}, "deepest"),
        ({"target_s": 0.0}, "target_s"),
        ({"margin_s": -0.1}, "margin_s"),
        ({"share": 1.1}, "share"),
        ({"share": float("nan")}, "share"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DeadlineAware(**{"deepest": 1, "target_s": 1.0, **settings})  # type: ignore[arg-type]
