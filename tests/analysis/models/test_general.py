"""Bounds and two-moment formulas hold where the truth is known; a tandem is what theory says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.models.general import (
    allen_cunneen_wait_s,
    ggc,
    kingman_bound_s,
    kraemer_langenbach_belz_wait_s,
    marchal_bound_s,
)
from analysis.models.lines import mdc, mg1, mmc
from analysis.models.steady import Unstable
from analysis.models.tandem import Station, tandem
from analysis.service_times import Gamma


def simulated_wait_s(rate_per_s: float, ca2: float, cs2: float) -> float:
    """Lindley's recursion with gamma arrivals and services of mean 1."""
    rng = np.random.default_rng(3)
    gaps = rng.gamma(1 / ca2, ca2 / rate_per_s, 400_000)
    served = rng.gamma(1 / cs2, cs2, 400_000)
    walk = np.concatenate(([0.0], np.cumsum(served - gaps)))
    return float((walk - np.minimum.accumulate(walk))[1000:].mean())


@pytest.mark.parametrize("rate_per_s", [0.3, 0.7, 0.95])
def test_two_moments_are_enough_for_poisson_arrivals(rate_per_s: float) -> None:
    for cs2 in (0.25, 1.0):
        exact_s = mg1(rate_per_s, Gamma(1.0, cs2)).mean_wait_s
        for formula in (allen_cunneen_wait_s, kraemer_langenbach_belz_wait_s):
            assert formula(rate_per_s, 1.0, 1.0, cs2) == pytest.approx(exact_s, rel=1e-9)
    exact_s = mmc(3 * rate_per_s, 1.0, 3).mean_wait_s
    assert allen_cunneen_wait_s(3 * rate_per_s, 1, 1.0, 1, 3) == pytest.approx(exact_s, rel=1e-9)


@pytest.mark.parametrize(("ca2", "cs2"), [(0.25, 0.5), (0.5, 2.0), (2.0, 0.5)])
def test_a_simulated_wait_lies_between_the_bounds_and_near_the_approximation(
    ca2: float, cs2: float
) -> None:
    truth_s = simulated_wait_s(0.8, ca2, cs2)
    assert marchal_bound_s(0.8, ca2, 1.0, cs2) <= truth_s
    assert truth_s <= kingman_bound_s(0.8, ca2, 1.0, cs2)
    near_s = kraemer_langenbach_belz_wait_s(0.8, ca2, 1.0, cs2)
    assert near_s == pytest.approx(truth_s, rel=0.1)
    said = ggc(0.8, ca2, 1.0, cs2)
    assert said.error_estimate is not None
    assert abs(said.mean_wait_s - truth_s) <= said.error_estimate * said.mean_response_s
    assert np.isnan(said.p95_s)


@pytest.mark.parametrize("servers", [2, 5, 20])
def test_kingmans_bound_holds_on_several_servers(servers: int) -> None:
    for rho in (0.5, 0.9):
        rate_per_s = rho * servers
        for exact, cs2 in ((mmc, 1.0), (mdc, 0.0)):
            bound_s = kingman_bound_s(rate_per_s, 1.0, 1.0, cs2, servers)
            assert exact(rate_per_s, 1.0, servers).mean_wait_s <= bound_s


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((0.0, 1.0, 1.0, 1.0, 1), "rate_per_s"),
        ((0.5, -1.0, 1.0, 1.0, 1), "ca2"),
        ((0.5, 1.0, 0.0, 1.0, 1), "mean_service_s"),
        ((0.5, 1.0, 1.0, float("nan"), 1), "cs2"),
        ((0.5, 1.0, 1.0, 1.0, 0), "servers"),
    ],
)
def test_moments_that_cannot_be_are_refused(
    given: tuple[float, float, float, float, int], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        ggc(*given)


def test_exponential_stations_are_independent() -> None:
    said = tandem(0.5, [Station(0.4), Station(1.0), Station(0.2)])
    # Sojourns are exponential with these rates (Burke), and their sum hypoexponential.
    rates = np.array([1 / 0.4, 1.0, 1 / 0.2]) - 0.5
    assert said.mean_response_s == pytest.approx((1 / rates).sum(), rel=1e-9)
    for share, value in ((0.5, said.p50_s), (0.95, said.p95_s), (0.99, said.p99_s)):
        factors = [np.prod([o / (o - r) for o in rates if o != r]) for r in rates]
        late = sum(f * np.exp(-r * value) for f, r in zip(factors, rates, strict=True))
        assert 1 - late == pytest.approx(share, abs=1e-6)
    assert "exact" in said.method


def test_one_station_is_a_line() -> None:
    said, line = tandem(1.5, [Station(1.0, servers=2)]), mmc(1.5, 1.0, 2)
    assert said.mean_wait_s == pytest.approx(line.mean_wait_s, rel=1e-9)
    assert said.p99_s == pytest.approx(line.p99_s, rel=1e-6)


def test_a_tandem_of_pictures_stages_lies_near_a_simulation() -> None:
    rate_per_s, stations = 0.7, [Station(0.1, 0.1), Station(1.0, 0.1), Station(0.2, 0.1)]
    rng = np.random.default_rng(5)
    arrived = left = np.cumsum(rng.exponential(1 / rate_per_s, 200_000))
    for station in stations:
        served = stats.gamma(1 / station.cv2, scale=station.mean_s * station.cv2).rvs(
            left.size, random_state=rng
        )
        total = np.cumsum(served)
        left = total + np.maximum.accumulate(left - np.concatenate(([0.0], total[:-1])))
    said = tandem(rate_per_s, stations)
    truth_s = float((left - arrived).mean())
    assert said.error_estimate is not None
    assert said.mean_response_s == pytest.approx(truth_s, rel=0.05)
    assert abs(said.mean_response_s - truth_s) <= said.error_estimate * truth_s
    assert said.p95_s == pytest.approx(np.percentile(left - arrived, 95), rel=0.1)


def test_a_tandem_is_as_stable_as_its_slowest_station() -> None:
    with pytest.raises(Unstable, match=r"utilisation 1\.400"):
        tandem(0.7, [Station(0.1), Station(2.0)])
    with pytest.raises(ValueError, match="at least one station"):
        tandem(0.7, [])
    with pytest.raises(ValueError, match="servers 0"):
        Station(1.0, servers=0)
