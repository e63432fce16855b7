"""The models agree with independent reference values, with each other, and with simulation."""

from __future__ import annotations

import cmath
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ciw
import numpy as np
import pytest

from analysis.models.laws import LatticeLaw
from analysis.models.lines import (
    erlang_c,
    md1,
    mg1,
    mg1_law,
    mgc,
    mgc_law,
    mm1,
    mmc,
)
from analysis.models.steady import Prediction, Unstable
from analysis.records import confidence_interval
from analysis.service_times import (
    Deterministic,
    Empirical,
    Gamma,
    Lognormal,
    ServiceTime,
    exponential,
)

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads(REFERENCE.read_text())["cases"]
}


def assert_matches(ours: Prediction, case_id: str) -> None:
    exact = CASES[case_id]["exact"]
    assert ours.mean_wait_s == pytest.approx(exact["Wq"], rel=1e-6)
    assert ours.mean_response_s == pytest.approx(exact["W"], rel=1e-6)
    assert ours.utilisation == pytest.approx(exact["util"], rel=1e-6)
    assert ours.p50_s == pytest.approx(exact["p50"], rel=1e-6)
    assert ours.p95_s == pytest.approx(exact["p95"], rel=1e-6)
    assert ours.p99_s == pytest.approx(exact["p99"], rel=1e-6)


@pytest.mark.parametrize("case_id", ["MM1_0.5", "MM1_0.8"])
def test_mm1_matches_the_reference(case_id: str) -> None:
    assert_matches(mm1(CASES[case_id]["parameters"]["lam"], 1.0), case_id)


def test_mmc_matches_the_reference() -> None:
    assert erlang_c(3.6, 4) == pytest.approx(CASES["MM4_0.9"]["exact"]["C"], rel=1e-12)
    assert_matches(mmc(3.6, 1.0, 4), "MM4_0.9")


def test_md1_matches_the_reference() -> None:
    assert_matches(md1(0.8, 1.0), "MD1_0.8")
    assert_matches(mg1(0.8, Deterministic(1.0)), "MD1_0.8")


def test_md1_knows_the_jump_at_the_service_time() -> None:
    assert md1(0.1, 2.0).p50_s == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize(
    ("service", "case_id"),
    [(exponential(1.0), "MM1_0.8"), (Deterministic(1.0), "MD1_0.8")],
    ids=["exponential", "deterministic"],
)
def test_the_inverted_transform_agrees_with_both_closed_forms(
    service: ServiceTime, case_id: str
) -> None:
    law, exact = mg1_law(0.8, service), CASES[case_id]["exact"]
    for share, name in [(0.50, "p50"), (0.95, "p95"), (0.99, "p99")]:
        assert law.percentile(share) == pytest.approx(exact[name], rel=1e-6)


def test_a_law_of_the_response_time_is_a_distribution_with_the_right_mean() -> None:
    law = mg1_law(0.9, Lognormal(1.0, 0.4))
    t_s = np.linspace(0, 400, 40_001)
    shares = law.cdf(t_s)
    assert np.all(np.diff(shares) >= -1e-10)
    assert shares[-1] == pytest.approx(1.0, abs=1e-5)
    mean_s = float(np.trapezoid(1 - shares, t_s))
    assert mean_s == pytest.approx(mg1(0.9, Lognormal(1.0, 0.4)).mean_response_s, rel=1e-4)


@pytest.mark.parametrize(
    ("service", "draw"),
    [
        (
            Lognormal(1.0, 0.5),
            lambda rng, n: rng.lognormal(-np.log1p(0.5) / 2, np.sqrt(np.log1p(0.5)), n),
        ),
        (Gamma(1.0, 2.0), lambda rng, n: rng.gamma(0.5, 2.0, n)),
        (Empirical([0.5, 0.5, 2.0]), lambda rng, n: rng.choice([0.5, 0.5, 2.0], n)),
    ],
    ids=["lognormal", "gamma", "empirical"],
)
def test_mg1_lies_within_the_interval_of_a_simulated_queue(service: ServiceTime, draw: Any) -> None:
    jobs, rate_per_s = 300_000, 0.7
    figures: list[list[float]] = []
    for seed in range(8):
        rng = np.random.default_rng([seed, 7])
        served = draw(rng, jobs)
        # Lindley's recursion, all at once: the wait is the walk above its running minimum.
        gaps = rng.exponential(1 / rate_per_s, jobs - 1)
        walk = np.concatenate(([0.0], np.cumsum(served[:-1] - gaps)))
        response = (walk - np.minimum.accumulate(walk) + served)[5000:]
        figures.append([float(response.mean()), *np.percentile(response, [50, 95, 99])])
    ours = mg1(rate_per_s, service)
    theirs = [confidence_interval(column, 0.999) for column in zip(*figures, strict=True)]
    said = [ours.mean_response_s, ours.p50_s, ours.p95_s, ours.p99_s]
    for value, interval in zip(said, theirs, strict=True):
        assert abs(value - interval.mean) <= interval.half_width + 1e-3 * interval.mean


def test_both_approximations_are_exact_where_they_should_be() -> None:
    for formula in ("cosmetatos", "allen-cunneen"):
        many = mgc(3.6, exponential(1.0), 4, formula)
        assert many.mean_wait_s == pytest.approx(mmc(3.6, 1.0, 4).mean_wait_s, rel=1e-9)
        assert_matches(many, "MM4_0.9")
    assert mgc(0.8, Lognormal(1.0, 0.3), 1) == mg1(0.8, Lognormal(1.0, 0.3))


def test_the_many_server_law_with_one_server_is_the_single_server_law() -> None:
    service = Gamma(1.0, 0.5)
    one = mg1(0.8, service)
    law = mgc_law(0.8, service, 1, one.mean_wait_s)
    assert law.percentile(0.95) == pytest.approx(one.p95_s, rel=1e-6)


def test_cosmetatos_is_nearer_than_allen_cunneen_for_steady_service() -> None:
    case = CASES["ME24_0.8"]
    service = Gamma(1.0, 0.5)
    ours, coarse = mgc(3.2, service, 4, "cosmetatos"), mgc(3.2, service, 4, "allen-cunneen")
    exact_s = case["exact"]["Wq"]
    assert ours.mean_wait_s == pytest.approx(exact_s, rel=0.005)
    assert abs(ours.mean_wait_s - exact_s) < abs(coarse.mean_wait_s - exact_s)
    for share, name in [(ours.p50_s, "p50"), (ours.p95_s, "p95"), (ours.p99_s, "p99")]:
        assert share == pytest.approx(case["des_check"][name]["mean"], rel=0.01)
    assert "cosmetatos" in ours.method
    assert "allen-cunneen" in mgc(1.0, Gamma(1.0, 3.0), 2).method


def test_mgc_lies_near_an_independent_simulator() -> None:
    rate_per_s, servers = 1.6, 2
    waits: list[float] = []
    for seed in range(6):
        ciw.seed(seed)
        network = ciw.create_network(
            arrival_distributions=[ciw.dists.Exponential(rate=rate_per_s)],
            service_distributions=[ciw.dists.Gamma(shape=2.0, scale=0.5)],
            number_of_servers=[servers],
        )
        simulation = ciw.Simulation(network)
        simulation.simulate_until_max_time(3000)
        waits.append(float(np.mean([r.waiting_time for r in simulation.get_all_records()[300:]])))
    interval = confidence_interval(waits, 0.999)
    assert mgc(rate_per_s, Gamma(1.0, 0.5), servers, "cosmetatos").mean_wait_s in interval
    assert mgc(rate_per_s, Gamma(1.0, 0.5), servers).mean_wait_s in interval


@pytest.mark.parametrize(
    "model",
    [
        lambda: mm1(1.5, 1.0),
        lambda: md1(1.5, 1.0),
        lambda: mmc(6.0, 1.0, 4),
        lambda: mg1(1.5, Lognormal(1.0, 0.5)),
        lambda: mgc(6.0, Gamma(1.0, 0.5), 4),
    ],
)
def test_a_load_that_cannot_be_served_is_refused_with_its_utilisation(model: Any) -> None:
    with pytest.raises(Unstable, match=r"utilisation 1\.500 is not below 1") as refusal:
        model()
    assert refusal.value.utilisation == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("rate_per_s", "mean_s", "servers"), [(0.0, 1.0, 1), (1.0, 0.0, 1), (1.0, 1.0, 0)]
)
def test_parameters_that_cannot_be_are_refused(
    rate_per_s: float, mean_s: float, servers: int
) -> None:
    with pytest.raises(ValueError, match=r"above 0|at least 1"):
        mmc(rate_per_s, mean_s, servers)


def test_a_percentile_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        LatticeLaw(np.array([1.0]), 1.0).percentile(1.0)


# -- M/G/1 beside another inversion ---------------------------------------------------------------


def lognormal_transform(cv2: float) -> Callable[[complex], complex]:
    """E exp(-s S) by the trapezoidal rule, on a line of the complex plane where nothing oscillates."""
    sigma = math.sqrt(math.log1p(cv2))
    z = np.linspace(-14, 14, 20_001)
    times_s = np.exp(-(sigma**2) / 2 + sigma * z)

    def transform(s: complex) -> complex:
        turned = z - 1j * cmath.phase(s) / sigma
        values = np.exp(-abs(s) * times_s - turned**2 / 2)
        return complex(values.sum()) * float(z[1] - z[0]) / math.sqrt(2 * math.pi)

    return transform


def tail(rate_per_s: float, transform: Callable[[complex], complex], t_s: float) -> float:
    """P(response > t) in M/G/1 with mean service 1, by Abate and Whitt's Euler algorithm (1995)."""
    terms = []
    for k in range(55):
        s = (22 + 2j * math.pi * k) / (2 * t_s)
        service = transform(s)
        response = (1 - rate_per_s) * s * service / (s - rate_per_s + rate_per_s * service)
        terms.append((-1) ** k * ((1 - response) / s).real * (0.5 if k == 0 else 1.0))
    sums = np.cumsum(terms)[40:]
    weights = np.array([math.comb(14, i) for i in range(15)]) / 2**14
    return math.exp(11) / t_s * float(weights @ sums)


@pytest.mark.parametrize("rate_per_s", [0.2, 0.9])
@pytest.mark.parametrize(
    ("service", "transform"),
    [
        (Gamma(1.0, 0.3), lambda s: (1 + 0.3 * s) ** (-1 / 0.3)),
        (Gamma(1.0, 9.0), lambda s: (1 + 9.0 * s) ** (-1 / 9.0)),
        (Lognormal(1.0, 2.0), lognormal_transform(2.0)),
        (Lognormal(1.0, 9.0), lognormal_transform(9.0)),
    ],
    ids=["gamma 0.3", "gamma 9", "lognormal 2", "lognormal 9"],
)
def test_percentiles_agree_with_an_inverted_transform(
    rate_per_s: float, service: ServiceTime, transform: Callable[[complex], complex]
) -> None:
    said = mg1(rate_per_s, service)
    for share, value in [(0.50, said.p50_s), (0.95, said.p95_s), (0.99, said.p99_s)]:
        left, right = (tail(rate_per_s, transform, value * (1 + d)) for d in (-1e-6, 1e-6))
        assert right < 1 - share < left
