"""The number of engines that keeps waits at a target, by Erlang's formula."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.scaling import SPARE, WaitTarget, erlang_c, replicas_wanted

REFERENCE = Path(__file__).parent.parent / "reference" / "queueing_cases.json"
CASES = {case["id"]: case for case in json.loads(REFERENCE.read_text())["cases"]}


def wanted(rate_per_s: float, current: int = 0, most: int = 50, places: int = 4) -> int:
    """For engines that finish 2 pictures a second and a mean wait of half a second."""
    target = WaitTarget(0.5)
    return replicas_wanted(rate_per_s, 2.0, places, target, current=current, most=most)


def summed_erlang_c(offered: float, servers: int) -> float:
    """The textbook's sum, which only small numbers of servers allow."""
    terms = [offered**n / math.factorial(n) for n in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(terms) + last)


def mean_wait_s(rate_per_s: float, engines: int, places: int = 4) -> float:
    spare_per_s = 2.0 * engines - rate_per_s
    if spare_per_s <= 0:
        return math.inf
    return summed_erlang_c(rate_per_s * places / 2.0, engines * places) / spare_per_s


def test_erlang_c_of_one_server_is_its_utilisation() -> None:
    assert erlang_c(0.8, 1) == pytest.approx(0.8, rel=1e-15)


def test_erlang_c_agrees_with_the_reference() -> None:
    assert erlang_c(3.6, 4) == pytest.approx(CASES["MM4_0.9"]["exact"]["C"], rel=1e-12)


@pytest.mark.parametrize(("offered", "servers"), [(0.0, 3), (2.5, 3), (9.0, 12), (40.0, 41)])
def test_erlang_c_agrees_with_the_textbooks_sum(offered: float, servers: int) -> None:
    assert erlang_c(offered, servers) == pytest.approx(summed_erlang_c(offered, servers), rel=1e-12)


def test_erlang_c_neither_overflows_nor_vanishes_for_thousands_of_servers() -> None:
    assert 0.0 < erlang_c(7900.0, 8000) < 0.5


def test_erlang_c_of_a_queue_that_grows_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        erlang_c(4.0, 4)


@pytest.mark.parametrize("rate_per_s", [0.1, 1.0, 1.9, 2.0, 5.0, 7.7])
def test_the_advice_is_the_fewest_engines_whose_mean_wait_is_within_the_target(
    rate_per_s: float,
) -> None:
    engines = wanted(rate_per_s)
    assert mean_wait_s(rate_per_s, engines) <= 0.5
    assert mean_wait_s(rate_per_s, engines - 1) > 0.5 if engines > 1 else True


def test_a_share_of_late_jobs_can_be_the_target_instead() -> None:
    """M/M/1: a job waits longer than t with probability rho exp(-(mu - lambda) t)."""
    late = 0.8 * math.exp(-(2.0 - 1.6) * 1.0)
    for late_share, engines in ((late + 0.001, 1), (late - 0.001, 2)):
        target = WaitTarget(1.0, late_share)
        assert replicas_wanted(1.6, 2.0, 1, target, current=0, most=9) == engines


def test_without_traffic_the_fewest_are_enough() -> None:
    assert wanted(0.0) == 1
    assert replicas_wanted(0.0, 2.0, 4, WaitTarget(0.5), current=0, fewest=0, most=9) == 0


def test_the_bounds_hold_even_where_the_target_cannot_be_met() -> None:
    assert wanted(1000.0, most=7) == 7
    assert wanted(0.1, current=5, most=3) == 1


def test_fewer_engines_are_advised_only_if_they_would_stand_a_fifth_more_traffic() -> None:
    at_limit = max(rate for rate in (k / 100 for k in range(1, 600)) if wanted(rate) <= 2)
    assert wanted(at_limit, current=3) == 3
    assert wanted(at_limit / (1 + SPARE) - 0.01, current=3) == 2
    assert wanted(at_limit, current=2) == 2
    assert wanted(at_limit + 0.02, current=2) == 3


@given(
    st.floats(0.0, 40.0),
    st.floats(0.0, 10.0),
    st.integers(1, 8),
    st.integers(0, 30),
    st.floats(0.01, 5),
)
def test_more_traffic_never_asks_for_fewer_engines_and_advice_once_followed_stands(
    rate_per_s: float, more_per_s: float, places: int, current: int, wait_s: float
) -> None:
    def advised(rate: float, engines: int) -> int:
        return replicas_wanted(rate, 2.0, places, WaitTarget(wait_s), current=engines, most=20)

    first = advised(rate_per_s, current)
    assert 1 <= first <= advised(rate_per_s + more_per_s, current)
    assert advised(rate_per_s, first) == first


@pytest.mark.parametrize("wait_s", [0.0, -1.0, math.inf, math.nan])
def test_a_target_that_is_no_time_is_refused(wait_s: float) -> None:
    with pytest.raises(ValueError, match="target for the wait"):
        WaitTarget(wait_s)


@pytest.mark.parametrize("late_share", [0.0, 1.0, math.nan])
def test_a_share_of_none_or_all_is_refused(late_share: float) -> None:
    with pytest.raises(ValueError, match="late_share"):
        WaitTarget(1.0, late_share)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rate_per_s": -1.0}, "rate_per_s"),
        ({"engine_rate_per_s": 0.0}, "engine_rate_per_s"),
        ({"engine_rate_per_s": math.nan}, "engine_rate_per_s"),
        ({"places": 0}, "places"),
        ({"fewest": 3, "most": 2}, "fewest 3"),
    ],
)
def test_engines_that_cannot_be_are_refused(given: dict[str, float], says: str) -> None:
    usual = {"rate_per_s": 1.0, "engine_rate_per_s": 2.0, "places": 4, "most": 9, **given}
    with pytest.raises(ValueError, match=says):
        replicas_wanted(target=WaitTarget(0.5), current=1, **usual)  # type: ignore[arg-type]
