"""Loads for the tests of controllers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from policies.load import Load

RUNGS = 4
"""The capacities of drawn loads are of so many rungs."""


def load(waiting: int = 0, now_s: float = 100.0, **known: Any) -> Load:
    """One engine of four places, all taken, with this line."""
    return Load(**{"running": 4, "engines": 1, "places": 4, **known}, waiting=waiting, now_s=now_s)


@st.composite
def loads(draw: st.DrawFn) -> Load:
    """Any load that a dispatcher with a cost table and scores can show, at time 0."""
    places = draw(st.integers(0, 8))
    scored = draw(st.integers(0, 30))
    rates = st.floats(0.0, 20.0)
    return Load(
        now_s=0.0,
        waiting=draw(st.integers(0, 40)),
        running=draw(st.integers(0, places)),
        engines=draw(st.integers(0, 3)),
        places=places,
        arrival_rate_per_s=draw(rates),
        recent_rate_per_s=draw(rates),
        capacity_per_s=tuple(
            draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.5]), min_size=RUNGS, max_size=RUNGS))
        ),
        score_sum=scored * draw(st.floats(0.0, 1.0)),
        scored=scored,
    )
