"""The textbook's engine, simulated: it is the chain, and departs from it one way at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.replays import Pace
from analysis.comparison.sharing import SharedRun, Sharing, simulate_sharing
from analysis.models.stages import StageServer, stage_chain
from loadgen.arrivals import poisson

RATES = (2.0, 3.0, 3.6, 4.0)
PLAIN = StageServer(RATES)
STEERED = StageServer(RATES, work=(1.0, 0.5, 0.25), enter=(2, 4), leave=(0, 2))
STEPS = (20, 10, 5)
JOBS, WARM_UP = 12_000, 500


def latencies_s(found: SharedRun) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([job.ended_s - job.came_s for job in found.jobs])


@pytest.mark.parametrize(
    ("server", "rate_per_s"),
    [(PLAIN, 2.8), (STEERED, 4.5), (replace(STEERED, in_flight=True), 4.5)],
)
def test_without_changes_it_is_the_chain(server: StageServer, rate_per_s: float) -> None:
    chain = stage_chain(rate_per_s, server)
    times_s = poisson(rate_per_s, JOBS / rate_per_s, 3).tolist()
    found = simulate_sharing(times_s, Sharing(server, STEPS), 1)
    measured_s = latencies_s(found)[WARM_UP:]
    assert measured_s.mean() == pytest.approx(chain.mean_response_s, rel=0.04)
    assert np.quantile(measured_s, 0.95) == pytest.approx(chain.p95_s, rel=0.06)
    lowered = np.mean([job.rung > 0 for job in found.jobs])
    assert lowered == pytest.approx(chain.degraded_share or 0.0, abs=0.03)
    over_s = max(job.ended_s for job in found.jobs)
    assert found.busy_s / over_s == pytest.approx(chain.utilisation, abs=0.02)


def test_even_work_takes_its_time() -> None:
    found = simulate_sharing([1.0, 9.0], Sharing(PLAIN, STEPS, even=True), 1)
    assert latencies_s(found) == pytest.approx([0.5, 0.5])


def test_two_inside_share_the_rate() -> None:
    found = simulate_sharing([0.0, 0.0], Sharing(PLAIN, STEPS, even=True), 1)
    assert latencies_s(found) == pytest.approx([2 / 3.0, 2 / 3.0])


def test_a_newcomer_waits_for_the_step_that_runs() -> None:
    sharing = Sharing(PLAIN, STEPS, even=True, bounded=True)
    _, newcomer = simulate_sharing([0.0, 0.1], sharing, 1).jobs
    assert 0.1 < newcomer.started_s < 0.1 + 1 / (STEPS[0] * RATES[0])


def test_a_grant_takes_its_way() -> None:
    sharing = Sharing(PLAIN, STEPS, even=True, grant_s=0.2)
    assert latencies_s(simulate_sharing([1.0], sharing, 1)) == pytest.approx([0.7])


def test_a_slow_engine_takes_longer() -> None:
    sharing = Sharing(PLAIN, STEPS, even=True, pace=Pace((-np.inf,), (2.0,)))
    assert latencies_s(simulate_sharing([1.0], sharing, 1)) == pytest.approx([1.0])


def crowd(**changes: object) -> SharedRun:
    """Six at once for four places: two wait, which is rung 1."""
    server = replace(STEERED, in_flight=True)
    sharing = Sharing(server, STEPS, even=True, **changes)  # type: ignore[arg-type]
    return simulate_sharing([0.0] * 6, sharing, 1)


def test_a_rung_in_flight_shortens_what_is_left() -> None:
    first = crowd().jobs[0]
    assert (first.rung, first.steps) == (1, STEPS[1])  # it had not begun when the rung fell
    assert first.ended_s == pytest.approx(0.5)


def test_a_rung_on_its_way_finds_less_to_shorten() -> None:
    late = crowd(rung_s=0.4).jobs[0]
    # 0.4 of a service is done by then, and the other 0.6 are halved.
    assert late.steps == pytest.approx(0.4 * STEPS[0] + 0.6 * STEPS[1])
    assert late.ended_s == pytest.approx(0.4 + 0.3)


def test_a_rung_stands_as_long_as_it_is_held() -> None:
    times_s = [0.0] * 6 + [2.0]
    server = replace(STEERED, in_flight=False)
    at_once, held = (
        simulate_sharing(times_s, Sharing(server, STEPS, even=True, hold_s=hold_s), 1)
        for hold_s in (0.0, 60.0)
    )
    assert (at_once.jobs[-1].rung, held.jobs[-1].rung) == (0, 1)
