"""Every exact model of the catalogue beside SimPy, which shares no line with this repository."""

from __future__ import annotations

import math
from typing import Any

import pytest

from analysis.models.catalogue import predict
from tests.analysis.models.simpy_lines import (
    Arrive,
    Batches,
    Draw,
    Line,
    Speed,
    bursts,
    poisson,
    simulated,
)

pytestmark = pytest.mark.slow


def exponential(mean: float) -> Draw:
    return lambda draws: draws.expovariate(1 / mean)


def always(value: float) -> Draw:
    return lambda draws: value


def lognormal(cv2: float) -> Draw:
    sigma2 = math.log1p(cv2)
    return lambda draws: draws.lognormvariate(-sigma2 / 2, math.sqrt(sigma2))


def gamma(cv2: float) -> Draw:
    return lambda draws: draws.gammavariate(1 / cv2, cv2)


def above(up_at: int, fast: float) -> Speed:
    return lambda inside, before: fast if inside >= up_at else 1.0


def between(up_at: int, down_at: int, fast: float) -> Speed:
    return lambda inside, before: fast if inside >= up_at else 1.0 if inside <= down_at else before


def behind(waiting: int, fast: float) -> Any:
    return lambda left: fast if left >= waiting else 1.0


BURSTS = {"lam": [1.6, 0.2], "r12": 0.2, "r21": 0.1}
IN_BURSTS = bursts((1.6, 0.2), (0.2, 0.1))
TWO = {"mu1": 1, "mu2": 2}
ONE = exponential(1.0)

CASES: list[tuple[str, dict[str, Any], Arrive, Line | Batches]] = [
    ("mm1", {"lam": 0.6, "mu": 1}, poisson(0.6), Line(ONE)),
    ("mmc", {"lam": 2.1, "mu": 1, "c": 3}, poisson(2.1), Line(ONE, 3)),
    ("md1", {"lam": 0.7, "D": 1}, poisson(0.7), Line(always(1.0))),
    ("mdc", {"lam": 1.5, "D": 1, "c": 2}, poisson(1.5), Line(always(1.0), 2)),
    (
        "mg1",
        {"lam": 0.5, "mean": 1, "cv2": 1.5, "law": "lognormal"},
        poisson(0.5),
        Line(lognormal(1.5)),
    ),
    ("mg1", {"lam": 0.6, "mean": 1, "cv2": 0.4, "law": "gamma"}, poisson(0.6), Line(gamma(0.4))),
    (
        "mgc",
        {"lam": 1.4, "mean": 1, "cv2": 0.5, "law": "gamma", "c": 2},
        poisson(1.4),
        Line(gamma(0.5), 2),
    ),
    ("threshold", {"lam": 1.3, **TWO, "K": 3}, poisson(1.3), Line(ONE, speed=above(3, 2.0))),
    (
        "threshold",
        {"lam": 2.8, **TWO, "K": 5, "c": 2},
        poisson(2.8),
        Line(ONE, 2, speed=above(5, 2.0)),
    ),
    (
        "hysteresis",
        {"lam": 1.3, **TWO, "K_hi": 6, "K_lo": 1},
        poisson(1.3),
        Line(ONE, speed=between(6, 1, 2.0)),
    ),
    (
        "hysteresis",
        {"lam": 3.9, **TWO, "K_hi": 7, "K_lo": 2, "c": 3},
        poisson(3.9),
        Line(ONE, 3, speed=between(7, 2, 2.0)),
    ),
    (
        "start_threshold",
        {"lam": 1.3, **TWO, "K": 3},
        poisson(1.3),
        Line(ONE, fixed=behind(3, 2.0)),
    ),
    (
        "start_threshold",
        {"lam": 2.6, **TWO, "K": 2, "c": 2},
        poisson(2.6),
        Line(ONE, 2, fixed=behind(2, 2.0)),
    ),
    (
        "start_threshold",
        {"lam": 1.3, "D1": 1, "D2": 0.5, "K": 3},
        poisson(1.3),
        Line(always(1.0), fixed=behind(3, 2.0)),
    ),
    (
        "inflight_deterministic",
        {"lam": 1.3, "D1": 1, "D2": 0.5, "K": 3},
        poisson(1.3),
        Line(always(1.0), speed=above(3, 2.0)),
    ),
    ("bulk", {"lam": 2.0, "a": 0.5, "c": 0.2, "b": 4}, poisson(2.0), Batches(0.5, 0.2, 4)),
    (
        "erlang_a",
        {"lam": 2.4, "mu": 1, "c": 2, "theta": 0.8},
        poisson(2.4),
        Line(ONE, 2, patience=exponential(1 / 0.8)),
    ),
    (
        "erlang_d",
        {"lam": 2.4, "mu": 1, "c": 2, "deadline": 1.2},
        poisson(2.4),
        Line(ONE, 2, patience=always(1.2)),
    ),
    ("mmpp_m1", {**BURSTS, "mu": 1.2}, IN_BURSTS, Line(exponential(1 / 1.2))),
    ("mmpp_threshold", {**BURSTS, **TWO, "K": 3}, IN_BURSTS, Line(ONE, speed=above(3, 2.0))),
    (
        "mmpp_hysteresis",
        {**BURSTS, **TWO, "K_hi": 5, "K_lo": 1, "c": 1},
        IN_BURSTS,
        Line(ONE, speed=between(5, 1, 2.0)),
    ),
]


@pytest.mark.parametrize(
    ("name", "given", "arrivals", "line"),
    CASES,
    ids=[f"{row[0]}-{i}" for i, row in enumerate(CASES)],
)
def test_a_model_lies_within_the_intervals_of_simpy(
    name: str, given: dict[str, Any], arrivals: Arrive, line: Line | Batches
) -> None:
    said, found = predict(name, given), simulated(arrivals, line, 8_000)
    for figure, interval in found.items():
        value = getattr(said, figure)
        if value is not None:
            assert value == pytest.approx(interval.mean, abs=interval.half_width + 1e-9), figure


def test_a_tandem_of_exponential_stations_lies_within_the_intervals_of_simpy() -> None:
    given = {"lam": 0.6, "stations": [{"mean": 0.7}, {"mean": 1.0}]}
    said = predict("tandem", given)
    found = simulated(poisson(0.6), Line(exponential(0.7), after=Line(ONE)), 8_000)
    for figure in ("mean_response_s", "p50_s", "p95_s", "p99_s", "throughput_per_s"):
        assert getattr(said, figure) in found[figure], figure


def test_sharing_equally_lies_within_the_intervals_of_simpy() -> None:
    from analysis.models.lps import lps

    rates = (1.0, 1.5, 1.8)
    # Jobs that share a rate are servers whose pace follows their number.
    paces = [rate / (n + 1) for n, rate in enumerate(rates)]
    line = Line(ONE, 3, speed=lambda inside, before: paces[min(max(inside, 1), 3) - 1])
    said, found = lps(1.2, rates), simulated(poisson(1.2), line, 8_000)
    for figure in ("mean_wait_s", "mean_response_s", "p50_s", "p95_s", "p99_s"):
        assert getattr(said, figure) in found[figure], figure
