"""What holds for every controller, alone or wrapped, from every state that it can come to."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controllers import (
    BurstAhead,
    Cascade,
    CascadeBand,
    Controller,
    DeadlineAware,
    DecisionTable,
    Hysteresis,
    LoadProportional,
    QualityBudget,
    RateBand,
    Split,
    SplitBand,
    Static,
)
from tests.policies.controllers.loads import RUNGS, loads

TARGETS_S = st.floats(0.1, 20.0)
HOLDS_S = st.sampled_from([0.0, 1.0, 3.0])
DEEPEST = st.integers(0, RUNGS - 1)


@st.composite
def hystereses(draw: st.DrawFn) -> Hysteresis:
    enter = sorted(draw(st.lists(st.integers(1, 20), max_size=RUNGS - 1)))
    leave = accumulate(enter, lambda back, down: min(down - 1, back + 2), initial=0)
    return Hysteresis(tuple(enter), tuple(list(leave)[1:]), draw(HOLDS_S))


@st.composite
def tables(draw: st.DrawFn) -> DecisionTable:
    rows = st.lists(st.integers(0, RUNGS - 1), min_size=1, max_size=12).map(sorted).map(tuple)
    band = st.lists(rows, min_size=RUNGS, max_size=RUNGS).map(tuple)
    bounds = sorted(draw(st.sets(st.floats(0.5, 15.0), max_size=2)))
    return DecisionTable(tuple(RateBand(end, draw(band)) for end in [*bounds, math.inf]))


SIMPLE: dict[str, st.SearchStrategy[Controller]] = {
    "static": st.builds(Static, DEEPEST),
    "hysteresis": hystereses(),
    "decision_table": tables(),
    "load_proportional": st.builds(LoadProportional, TARGETS_S, DEEPEST, HOLDS_S),
    "deadline_aware": st.builds(
        DeadlineAware, DEEPEST, TARGETS_S, drain_s=TARGETS_S, pace=st.sampled_from((0.0, 0.9))
    ),
    "split": st.just(Split((SplitBand(math.inf, (0.5, 0.5)),))),
    "cascade": st.just(Cascade(2, 0, (CascadeBand(math.inf, 0.5),))),
}


@st.composite
def budgets(draw: st.DrawFn, pressures: st.SearchStrategy[Controller]) -> QualityBudget:
    scores = tuple(draw(st.lists(st.floats(0.0, 1.0), min_size=RUNGS, max_size=RUNGS)))
    return QualityBudget(draw(pressures), scores, scores[0] * draw(st.floats(0.0, 1.0)))


def ahead(pressures: st.SearchStrategy[Controller]) -> st.SearchStrategy[Controller]:
    return st.builds(BurstAhead, pressures, st.floats(0.1, 5.0))


ANY = st.one_of(*SIMPLE.values())
EVERY: dict[str, st.SearchStrategy[Controller]] = {
    **SIMPLE,
    "quality_budget": budgets(ANY),
    "burst_ahead": ahead(ANY),
    "budget_of_burst_ahead": budgets(ahead(ANY)),
    "burst_ahead_of_budget": ahead(budgets(ANY)),
}


@pytest.mark.parametrize("kind", EVERY)
@given(data=st.data())
def test_more_waiting_never_raises_quality_and_no_rung_is_too_deep(
    kind: str, data: st.DataObject
) -> None:
    controller = data.draw(EVERY[kind])
    state = controller.initial()
    now_s = 0.0
    for seen in data.draw(st.lists(loads(), min_size=1, max_size=6)):
        now_s += data.draw(st.sampled_from([0.0, 0.5, 2.0, 4.0]))
        shown = replace(seen, now_s=now_s)
        after = controller.decide(shown, state)
        more = data.draw(st.integers(0, 30))
        longer = controller.decide(replace(shown, waiting=shown.waiting + more), state)
        assert 0 <= after.rung <= longer.rung <= controller.deepest
        assert after is state or after != state
        assert after.since_s == (state.since_s if after.rung == state.rung else now_s)
        state = after
