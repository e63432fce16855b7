"""The birth-death chain agrees with every exponential case that it contains."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.models.lps import build_chain, lps, lps_law
from analysis.models.steady import Unstable
from analysis.records import confidence_interval
from policies import Rung
from policies.costs import completion_rates_per_s

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
EXACT: dict[str, dict[str, Any]] = {
    case["id"]: case["exact"] for case in json.loads(REFERENCE.read_text())["cases"]
}


@pytest.mark.parametrize(
    ("case_id", "rate_per_s", "rates_per_s", "places"),
    [
        ("MM1_0.8", 0.8, [1.0], None),
        ("MM4_0.9", 3.6, [1.0, 2.0, 3.0, 4.0], None),
        ("THR_0.8", 0.8, [1.0, 1.0, 1.0, 1.0, 2.0], 1),
        ("MM4_THR", 4.8, [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 8.0], 4),
    ],
)
def test_the_chain_matches_the_reference(
    case_id: str, rate_per_s: float, rates_per_s: list[float], places: int | None
) -> None:
    ours, exact = lps(rate_per_s, rates_per_s, places), EXACT[case_id]
    assert ours.mean_wait_s == pytest.approx(exact["Wq"], rel=1e-6)
    assert ours.mean_response_s == pytest.approx(exact["W"], rel=1e-6)
    assert ours.p50_s == pytest.approx(exact["p50"], rel=1e-6)
    assert ours.p95_s == pytest.approx(exact["p95"], rel=1e-6)
    assert ours.p99_s == pytest.approx(exact["p99"], rel=1e-6)


def test_equal_sharing_has_the_mean_of_one_server_but_a_longer_tail() -> None:
    shared = lps(0.8, [1.0] * 60)
    alone = lps(0.8, [1.0])
    assert shared.mean_response_s == pytest.approx(alone.mean_response_s, rel=1e-6)
    assert shared.mean_wait_s < 1e-3
    assert shared.p99_s > alone.p99_s


def simulated_chain(
    rate_per_s: float, rates_per_s: list[float], jobs: int, seed: int
) -> list[float]:
    """Response times of the chain, jump by jump, from empty; the first tenth is left out."""
    rng = np.random.default_rng([seed, 11])
    running: list[float] = []
    line: deque[float] = deque()
    responses: list[float] = []
    now_s = 0.0
    while len(responses) < jobs:
        total = rates_per_s[len(running) - 1] if running else 0.0
        now_s += rng.exponential(1 / (rate_per_s + total))
        if rng.random() < rate_per_s / (rate_per_s + total):
            (running if len(running) < len(rates_per_s) else line).append(now_s)
        else:
            responses.append(now_s - running.pop(int(rng.integers(len(running)))))
            if line:
                running.append(line.popleft())
    return responses[jobs // 10 :]


def test_the_chain_lies_within_the_interval_of_a_simulated_one() -> None:
    rate_per_s, rates = 1.4, [1.0, 1.6, 2.0]  # fits no textbook model
    runs = [simulated_chain(rate_per_s, rates, 25_000, seed) for seed in range(8)]
    ours = lps(rate_per_s, rates)
    assert ours.mean_response_s in confidence_interval([float(np.mean(r)) for r in runs], 0.999)
    for share, value in [(50, ours.p50_s), (95, ours.p95_s), (99, ours.p99_s)]:
        theirs = [float(np.percentile(r, share)) for r in runs]
        assert value in confidence_interval(theirs, 0.999)


def test_rates_follow_from_a_table_of_costs() -> None:
    class Costs:
        def encode_s(self, variant: str) -> float:
            return 0.1

        def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
            rows = batch + (batch if guided is None else guided)
            return 0.1 + 0.05 * rows

        def decode_s(self, variant: str, batch: int) -> float:
            return 0.1 * batch

    rates = completion_rates_per_s(Costs(), Rung("full", 10, "high"), 2)
    assert list(rates) == pytest.approx([1 / (2.0 + 0.2), 2 / (3.0 + 0.4)])
    half = completion_rates_per_s(Costs(), Rung("full", 10, "high", guidance_share=0.5), 2)
    assert list(half) == pytest.approx([1 / (1.75 + 0.2), 2 / (2.5 + 0.4)])
    with pytest.raises(ValueError, match="at least 1"):
        completion_rates_per_s(Costs(), Rung("full", 10, "high"), 0)


def test_a_load_above_the_last_rate_is_refused() -> None:
    with pytest.raises(Unstable, match=r"utilisation 1\.250"):
        lps(2.5, [1.0, 2.0])


@pytest.mark.parametrize(
    ("rate_per_s", "rates_per_s", "places", "says"),
    [
        (1.0, [], None, "must be given"),
        (1.0, [2.0, 0.0], None, "above 0"),
        (1.0, [2.0], 2, "places 2"),
        (0.0, [2.0], None, "rate_per_s"),
        (0.9999, [1.0], None, "near capacity"),
    ],
)
def test_rates_that_cannot_be_are_refused(
    rate_per_s: float, rates_per_s: list[float], places: int | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        lps(rate_per_s, rates_per_s, places)


def test_a_job_alone_that_goes_through_stages_takes_an_erlang_time() -> None:
    lonely = lps(1e-7, [0.5, 0.5], stages=25)
    erlang = stats.gamma(25, scale=2.0 / 25)
    for share, value in [(0.5, lonely.p50_s), (0.95, lonely.p95_s), (0.99, lonely.p99_s)]:
        assert value == pytest.approx(erlang.ppf(share), rel=1e-5)


def test_in_processor_sharing_stages_leave_the_mean_and_narrow_the_law() -> None:
    chain = build_chain(0.8, [1.0] * 60)
    times_s = np.linspace(0, 250, 5001)
    means = []
    for stages in (1, 10):
        law = lps_law(chain, stages)
        means.append(np.trapezoid(1 - law.cdf(times_s), times_s))
    assert means[1] == pytest.approx(means[0], rel=2e-3)
    assert lps(0.8, [1.0] * 60, stages=10).p95_s < lps(0.8, [1.0] * 60).p95_s
    with pytest.raises(ValueError, match="stages 0"):
        lps_law(chain, 0)
