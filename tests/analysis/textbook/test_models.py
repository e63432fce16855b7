"""Arrivals and services follow their laws; impossible models are refused in one sentence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from analysis.service_times import (
    Array,
    Deterministic,
    Empirical,
    Gamma,
    Lognormal,
    ServiceTime,
    exponential,
)
from analysis.textbook.models import (
    Bulk,
    InFlight,
    Mmpp,
    OneLine,
    Poisson,
    StartThreshold,
    draw,
)

SIZE = 200_000
SIGMAS = 5.0


@pytest.mark.parametrize(
    "law",
    [
        exponential(2.0),
        Deterministic(3.0),
        Gamma(2.0, 1 / 3),
        Gamma(2.0, 2.5),
        Lognormal(0.5, 0.4),
        Empirical([1.0, 1.0, 4.0]),
    ],
    ids=repr,
)
def test_drawn_times_have_the_laws_mean_and_its_tail(law: ServiceTime) -> None:
    times_s = draw(law, SIZE, np.random.default_rng(3))
    allowed_s = SIGMAS * law.mean_s * math.sqrt(law.cv2 / SIZE)
    assert times_s.mean() == pytest.approx(law.mean_s, abs=allowed_s + 1e-12)
    for x_s in np.array([0.3, 0.9, 1.7]) * law.mean_s:
        above = float(law.tail_moments(np.array([x_s]))[0][0])
        allowed = SIGMAS * math.sqrt(above * (1 - above) / SIZE)
        assert (times_s > x_s).mean() == pytest.approx(above, abs=allowed + 1e-12)


def test_a_law_of_ones_own_cannot_be_drawn_from() -> None:
    class Mine:
        mean_s, cv2 = 1.0, 1.0

        def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
            return x_s, x_s, x_s

    with pytest.raises(TypeError, match=r"use a law of analysis\.service_times"):
        draw(Mine(), 3, np.random.default_rng(1))


def test_poisson_gaps_are_exponential() -> None:
    gaps_s = np.diff(Poisson(4.0).times_s(SIZE, np.random.default_rng(1)))
    assert gaps_s.mean() == pytest.approx(0.25, rel=SIGMAS / math.sqrt(SIZE))
    assert (gaps_s > 0.5).mean() == pytest.approx(math.exp(-2), rel=0.03)


@pytest.mark.parametrize(
    "arrivals", [Mmpp((1.5, 0.3), (0.1, 0.05)), Mmpp((0.0, 9.0, 1.0), (0.5, 2.0, 1.0))]
)
def test_mmpp_arrivals_come_in_order_at_their_mean_rate(arrivals: Mmpp) -> None:
    times_s = arrivals.times_s(SIZE, np.random.default_rng(2))
    assert (np.diff(times_s) > 0).all()
    assert times_s[-1] > 0
    assert SIZE / times_s[-1] == pytest.approx(arrivals.mean_rate_per_s, rel=0.02)


def test_mmpp_counts_vary_as_their_phases_say() -> None:
    # Index of dispersion in the long run: 1 + 2 p q (a - b)^2 / (mean rate (r12 + r21)).
    arrivals, window_s = Mmpp((1.5, 0.3), (0.1, 0.05)), 1000.0
    times_s = arrivals.times_s(2_000_000, np.random.default_rng(2))
    counts = np.bincount((times_s / window_s).astype(int))[:-1]
    expected = 1 + 2 * (1 / 3) * (2 / 3) * 1.2**2 / (0.7 * 0.15)
    assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.1)


def test_a_phase_without_arrivals_has_none() -> None:
    times_s = Mmpp((5.0, 0.0), (1.0, 0.01)).times_s(5000, np.random.default_rng(4))
    gaps_s = np.diff(times_s)
    assert (gaps_s > 10).sum() > 100  # the silent phase lasts 100 s on average
    assert ((gaps_s > 3) & (gaps_s < 5)).sum() < 0.05 * gaps_s.size


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Poisson(0.0), "rate_per_s 0.0 must be"),
        (lambda: Mmpp((1.0,), (1.0,)), "at least two phases"),
        (lambda: Mmpp((1.0, 2.0), (1.0,)), "one number for each"),
        (lambda: Mmpp((0.0, 0.0), (1.0, 1.0)), "the highest of rates_per_s"),
        (lambda: Mmpp((-1.0, 1.0), (1.0, 1.0)), "at least 0"),
        (lambda: Mmpp((1.0, 1.0), (0.0, 1.0)), "leave_per_s 0.0"),
        (lambda: OneLine(exponential(1.0), 0), "servers 0 must be at least 1"),
        (lambda: StartThreshold(-1, 2.0), "waiting -1"),
        (lambda: StartThreshold(1, 0.0), "speed_up 0.0"),
        (lambda: StartThreshold(2, 2.0, 2), "back_at 2 must be from 0 to below waiting 2"),
        (
            lambda: OneLine(exponential(1.0), 1, StartThreshold(1, 2.0), patience=exponential(1.0)),
            "choose one",
        ),
        (lambda: InFlight(exponential(1.0), 1.0, 2.0, up_at=3, down_at=3), "below up_at 3"),
        (lambda: InFlight(exponential(1.0), 1.0, 2.0, up_at=0), "up_at 0"),
        (lambda: InFlight(exponential(1.0), 1.0, math.inf, up_at=1), "fast_speed inf"),
        (lambda: Bulk(0.5, 0.25, 0), "batch_max 0"),
        (lambda: Bulk(-0.5, 1.0, 2), "at least 0"),
        (lambda: Bulk(0.0, 0.0, 2), "time of a batch"),
    ],
)
def test_impossible_models_are_refused(build: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
