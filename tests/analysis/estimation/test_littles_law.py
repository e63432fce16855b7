"""Little's law is exact on a whole log, and tells when requests are lost from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.estimation.littles_law import balance_of, check_littles_law, stays, suspicions
from analysis.runs import Request, StatusPoint
from loadgen.arrivals import poisson
from tests.analysis.synthetic_demo import request

AFTER_S = 0.01


def log_of(n: int, seed: int, service_s: float = 0.8) -> list[Request]:
    """Poisson arrivals at 1/s to one server with exponential service."""
    rng = np.random.default_rng([seed, 1])
    free_s, found = 0.0, []
    for index, at_s in enumerate(poisson(1.0, 2.0 * n, seed)[:n].tolist()):
        began_s = max(at_s, free_s)
        free_s = began_s + float(rng.exponential(service_s))
        latency_s = free_s + AFTER_S - at_s
        found.append(
            request(
                index,
                latency_s,
                scheduled_s=at_s,
                received_s=at_s,
                queue_s=began_s - at_s,
                service_s=free_s - began_s,
                answered_s=free_s + AFTER_S,
            )
        )
    return found


def polled(requests: list[Request]) -> list[StatusPoint]:
    """What the server itself counts, once a second."""
    spans = stays(requests)
    return [
        StatusPoint(t_s, int(((spans[:, 0] <= t_s) & (spans[:, 1] > t_s)).sum()), 0, 0)
        for t_s in np.arange(0.5, spans[:, 1].max(), 1.0)
    ]


def test_the_law_is_exact_by_hand() -> None:
    # Inside: 1 in [0, 1), 2 in [1, 3), 1 in [3, 4), none in [4, 5).
    balance = balance_of(np.array([0.0, 1.0]), np.array([3.0, 4.0]), 5.0)
    assert balance.number == pytest.approx(6 / 5)
    assert balance.rate_per_s == 2 / 5
    assert balance.time_s == 3.0
    assert balance.edge == 0.0
    assert balance.residual == pytest.approx(0.0)


def test_a_window_that_ends_in_the_middle_needs_the_edge() -> None:
    # Until 2: one from 0 and one from 1, with 1 and 2 seconds still to come.
    balance = balance_of(np.array([0.0, 1.0, 2.5]), np.array([3.0, 4.0, 5.0]), 2.0)
    assert balance.arrivals == 2
    assert balance.number == pytest.approx(3 / 2)
    assert balance.edge == pytest.approx(3 / 2)
    assert balance.rate_per_s * balance.time_s == pytest.approx(3.0)
    assert balance.residual == pytest.approx(0.0)


def test_the_law_holds_on_a_whole_log_to_rounding() -> None:
    for seed in range(5):
        requests = log_of(300, seed)
        found = check_littles_law(requests, polled(requests), scheduled=300, pictures=300)
        assert abs(found.balance.residual) < 1e-9
        assert found.holds
        assert not found.suspicious
        assert found.counted is not None
        assert found.counted.gap.value == 0.0
        assert "no sign" in found.verdict


def test_requests_dropped_from_the_log_are_missed_and_named() -> None:
    whole = log_of(300, 7)
    left = [one for one in whole if one.index % 10]
    found = check_littles_law(left, polled(whole), scheduled=300)
    assert found.holds is False
    assert found.counted is not None
    assert found.counted.gap.band.low > 0
    assert {one.index for one in found.suspicious} == set(range(0, 300, 10))
    assert "missing from the log or wrongly stamped" in found.verdict


def test_a_verdict_without_findings_says_what_it_would_have_found() -> None:
    requests = log_of(300, 7)
    found = check_littles_law(requests, polled(requests))
    assert found.counted is not None
    # 20 ms of travel a request is all that is left open where both sides count alike.
    open_share = 0.02 * found.balance.rate_per_s / found.counted.stamped
    assert f"A loss of {100 * open_share:.2g} % of them would show." in found.verdict
    empty = [replace(look, t_s=0.0, waiting=0) for look in polled(requests)]
    assert "would show" not in check_littles_law(requests, empty).verdict


def test_wrong_stamps_are_missed_too() -> None:
    whole = log_of(300, 8)
    longer = [replace(one, service_s=float(one.service_s or 0) + 0.5) for one in whole]
    found = check_littles_law(longer, polled(whole), scheduled=300)
    assert found.holds is False
    assert found.counted is not None
    assert found.counted.gap.band.high < 0
    assert {one.why for one in found.suspicious} == {"its answer came before its picture was ready"}


def test_a_log_says_nothing_against_itself() -> None:
    requests = log_of(100, 9)
    found = check_littles_law(requests, ())
    assert found.holds is None
    assert "not polled" in found.verdict


def test_pictures_that_nobody_got_are_told() -> None:
    requests = log_of(100, 10)
    found = check_littles_law(requests, (), pictures=103)
    assert found.holds is False
    assert "103 pictures, and 100 requests were served" in found.verdict


def test_refused_requests_were_never_inside_and_lost_ones_stay() -> None:
    refused = request(0, status=429, queue_s=None, service_s=None, variant=None)
    lost = request(1, answered_s=None, status=None, queue_s=None, service_s=None)
    spans = stays([refused, lost])
    assert spans.tolist() == [[1.0, float("inf")]]
    assert balance_of(spans[:, 0], spans[:, 1], 5.0).number == pytest.approx(4 / 5)


def test_each_kind_of_wrong_line_is_suspicious() -> None:
    good = [request(index) for index in range(30)]
    wrong = {
        "never answered": replace(good[3], answered_s=None, latency_s=None),
        "received before": replace(good[3], received_s=2.5),
        "differs by 0.2 s": replace(good[3], latency_s=0.3),
        "without the facts": replace(good[3], service_s=None),
        "less than no time": replace(good[3], queue_s=-0.1),
        "after its time": replace(good[3], received_s=3.3, queue_s=0.0, service_s=0.1),
        "after its picture": replace(good[3], answered_s=5.0, latency_s=2.0),
    }
    assert suspicions(good, 30) == []
    for why, line in wrong.items():
        found = suspicions([*good[:3], line, *good[4:]], 30)
        assert {one.index for one in found} == {3}, why
        assert any(why in one.why for one in found), (why, found)


def test_double_and_missing_lines_are_suspicious() -> None:
    good = [request(index) for index in range(30)]
    assert [one.why for one in suspicions([*good, good[4]])] == ["it is there twice"]
    gone = suspicions([*good[:4], *good[5:29]], 30)
    assert [(one.index, one.why) for one in gone] == [
        (4, "it is missing from the log"),
        (29, "it is missing from the log"),
    ]


def test_a_log_without_stamps_is_refused() -> None:
    with pytest.raises(ValueError, match="stamps"):
        check_littles_law([request(0, received_s=None)], ())
    with pytest.raises(ValueError, match="arrivals"):
        balance_of(np.array([]), np.array([]), 1.0)
