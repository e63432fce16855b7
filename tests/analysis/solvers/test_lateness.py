"""How likely a job is late, by formula, exactly, and at least."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.models.lps import build_chain, lps_law
from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices
from analysis.solvers.evaluation import evaluate
from analysis.solvers.lateness import late_by_state, late_shares, least_late_shares
from analysis.solvers.policy_iteration import solve
from analysis.solvers.station import Station
from tests.analysis.solvers.stations import BATCHING, ONE


def process_of(
    rate_per_s: float = 1.2, jobs_max: int = 15, station: Station = BATCHING
) -> DecisionProcess:
    return DecisionProcess(station, Arrivals.poisson(rate_per_s), Prices(), jobs_max)


def test_the_formula_is_erlangs_where_all_stages_are_alike() -> None:
    late = late_shares(ONE, jobs_max=4, deadline_s=2.5, stages=1)
    for found in range(5):
        assert late[0, found] == pytest.approx(stats.gamma(found + 1).sf(2.5))
        assert late[1, found] == pytest.approx(stats.gamma(found + 1, scale=0.5).sf(2.5))


def test_lateness_rises_with_the_line_and_falls_down_the_ladder() -> None:
    late = late_shares(BATCHING, jobs_max=20, deadline_s=3.0)
    assert (np.diff(late, axis=1) >= -1e-12).all()
    assert (np.diff(late, axis=0) <= 1e-12).all()
    assert 0 <= late.min() < 0.01
    assert late.max() <= 1


def test_one_place_at_one_rung_is_the_formula_exactly() -> None:
    process = process_of(0.7, jobs_max=6, station=ONE)
    stay = np.zeros(process.shape, dtype=np.int64)
    exact = late_by_state(process, stay, deadline_s=2.5, stages=1)
    assert exact[0, 0, :-1] == pytest.approx(late_shares(ONE, 6, 2.5, stages=1)[0, :-1], rel=1e-9)
    assert exact[0, 0, -1] == 0.0


def test_a_static_server_is_late_as_the_queueing_model_says() -> None:
    process = process_of(1.2, jobs_max=60)
    stay = np.zeros(process.shape, dtype=np.int64)
    late = late_by_state(process, stay, deadline_s=4.0, stages=3)
    share = evaluate(process, stay).share[0, 0]
    ours = float(share[:-1] @ late[0, 0, :-1])
    law = lps_law(build_chain(1.2, BATCHING.rates_per_s[0]), stages=3)
    assert ours == pytest.approx(1 - law.cdf(4.0), rel=1e-5)


def simulated_late(policy: np.ndarray[tuple[int, ...], np.dtype[np.int64]], seed: int) -> float:
    """Jump by jump: the chain with three places, exponential runs, a deadline of 2 s."""
    rng = np.random.default_rng([seed, 5])
    line: list[float] = []  # arrival times in order; the first three run
    rung, now_s, late, ended = 0, 0.0, 0, 0
    while ended < 20_000:
        finish = BATCHING.completion_per_s(len(line), rung)
        now_s += rng.exponential(1 / (3.0 + finish))
        if rng.random() * (3.0 + finish) < 3.0:
            if len(line) < 15:
                line.append(now_s)
        else:
            came_s = line.pop(int(rng.integers(min(3, len(line)))))
            late += now_s - came_s > 2.0
            ended += 1
        rung = int(policy[0, rung, len(line)])
    return late / ended


def test_a_controlled_server_is_late_as_a_simulated_one() -> None:
    process = process_of(3.0)
    policy = np.zeros(process.shape, dtype=np.int64)
    policy[:, 0] = np.where(np.arange(16) >= 6, 2, 0)
    policy[:, 1] = 1
    policy[:, 2] = np.where(np.arange(16) <= 2, 0, 2)
    late = late_by_state(process, policy, deadline_s=2.0, stages=1)
    share = evaluate(process, policy, start=0).share
    ours = float((share * late).sum() / share[..., :-1].sum())
    runs = [simulated_late(policy, seed) for seed in range(6)]
    margin = 5 * float(np.std(runs, ddof=1)) / np.sqrt(len(runs))
    assert ours == pytest.approx(float(np.mean(runs)), abs=margin)


def test_no_policy_is_late_less_often_than_the_least() -> None:
    process = process_of(4.0, jobs_max=10)
    least = least_late_shares(process, deadline_s=2.0, stages=3)
    rng = np.random.default_rng(3)
    for _ in range(5):
        policy = rng.integers(0, 3, process.shape)
        late = late_by_state(process, policy, deadline_s=2.0, stages=3)
        assert (late[..., :-1] >= least[..., :-1] - 1e-12).all()
    dear = DecisionProcess(BATCHING, process.arrivals, Prices(quality=1.0, late=1e6), 10, least[0])
    found = solve(dear)
    assert found.evaluation.late_share is not None


def test_phases_change_what_a_job_has_to_expect() -> None:
    arrivals = Arrivals.mmpp2(0.1, 9.0, 1.0, 1.0)
    process = DecisionProcess(BATCHING, arrivals, Prices(), 12)
    late = late_by_state(process, np.zeros(process.shape, dtype=np.int64), 1.0, stages=2)
    assert (late[1, 0, :2] > late[0, 0, :2]).all()  # more company in the batch


def test_inputs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="deadline_s 0"):
        late_shares(ONE, 3, 0.0)
    with pytest.raises(ValueError, match="stages 0"):
        late_shares(ONE, 3, 1.0, stages=0)
    crossing = Station(((1.0, 3.0), (2.0, 2.5)), (1.0, 0.5), (20, 10))
    with pytest.raises(ValueError, match="no simple bound"):
        least_late_shares(process_of(station=crossing), 1.0)
