"""How many requests a claim needs: theory, simulation and the estimate agree."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimation.batch_means import batch_means
from analysis.estimation.run_length import (
    mg1_responses,
    mg1_waits,
    requests_needed,
    run_length,
)
from tests.analysis.estimation.samples import autoregressive, responses

EXPONENTIAL, DETERMINISTIC = (1.0, 2.0, 6.0, 24.0), (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("load", [0.3, 0.8, 0.95])
def test_waits_of_the_exponential_queue_vary_as_daley_has_it(load: float) -> None:
    # Daley 1968: rho (2 + 5 rho - 4 rho^2 + rho^3) / (1 - rho)^4.
    found = mg1_waits(load, EXPONENTIAL)
    assert found.mean_s == pytest.approx(load / (1 - load))
    daley = load * (2 + 5 * load - 4 * load**2 + load**3) / (1 - load) ** 4
    assert found.asymptotic_variance_s2 == pytest.approx(daley)


def test_a_deterministic_queue_at_080_needs_about_39_000_requests() -> None:
    found = mg1_responses(0.8, DETERMINISTIC)
    assert found.mean_s == pytest.approx(3.0)
    needed = requests_needed(found.mean_s, found.asymptotic_variance_s2, 0.05)
    assert needed == pytest.approx(39_000, rel=0.03)


@pytest.mark.parametrize("deterministic", [True, False])
def test_means_of_simulated_runs_spread_as_the_formula_says(deterministic: bool) -> None:
    rows = responses(0.6, 6000, 400, 2, deterministic=deterministic)[:, 1000:]
    found = mg1_responses(0.6, DETERMINISTIC if deterministic else EXPONENTIAL)
    assert rows.mean() == pytest.approx(found.mean_s, rel=0.02)
    spread = rows.mean(axis=1).var(ddof=1) * rows.shape[1]
    # A variance over 400 runs is known to 14 % with 95 % probability.
    assert spread == pytest.approx(found.asymptotic_variance_s2, rel=0.2)


def test_an_estimate_from_a_run_is_near_the_truth() -> None:
    # A chain with mean 10: asymptotic variance 25, so 25 (1.96 / 0.5)^2 for 5 %.
    chain = autoregressive(20_000, 0.8, 3, mean=10.0)
    found = run_length(chain, batch_means(chain).asymptotic_variance, 2.0)
    assert found.needed == pytest.approx(25 * (1.96 / 0.5) ** 2, rel=0.4)
    assert found.needed_s == found.needed / 2
    # Variance 1 / 0.36 over 25: one in nine counts.
    assert found.independent == pytest.approx(20_000 / 9, rel=0.4)
    assert found.half_width == pytest.approx(1.96 * 5 / np.sqrt(20_000) / 10, rel=0.25)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"utilisation 1\.2"):
        mg1_waits(1.2, EXPONENTIAL)
    with pytest.raises(ValueError, match="four moments"):
        mg1_waits(0.5, (1.0, 2.0))
    with pytest.raises(ValueError, match="above 0"):
        requests_needed(1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="above 0"):
        run_length(np.zeros(10), 1.0, 1.0)
