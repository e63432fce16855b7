"""The audit passes a true open loop and flags closed, late, thinned-out and lockstep runs."""

from __future__ import annotations

import numpy as np
import pytest

from loadgen.arrivals import Arrivals, Times, gap_cv, make, poisson
from loadgen.audit import audit, cv_band, dispersion_band, windows_for
from loadgen.records import RequestRecord

RATE_PER_S, DURATION_S = 20.0, 20.0


def schedule(seed: int = 1, kind: str = "poisson") -> Arrivals:
    return make(kind, rate_per_s=RATE_PER_S, duration_s=DURATION_S, seed=seed)


def records(
    plan: Arrivals, sent_s: Times, received_s: Times | None = None, service_ms: float | None = 500.0
) -> list[RequestRecord]:
    received = sent_s + 0.001 if received_s is None else received_s
    return [
        RequestRecord(
            index=i,
            prompt="p",
            seed=i,
            scheduled_s=float(plan.times_s[i]),
            sent_s=float(sent_s[i]),
            received_s=float(received[i]),
            answered_s=float(sent_s[i]) + 1.0,
            latency_s=float(sent_s[i]) + 1.0 - float(plan.times_s[i]),
            status=200,
            error=None,
            image=None,
            serving=None if service_ms is None else {"service_ms": service_ms},
        )
        for i in range(len(plan))
    ]


def closed_loop(times_s: Times, places: int, service_s: float) -> Times:
    """When a client with ``places`` connections really sends what was scheduled at ``times_s``."""
    free = np.zeros(places)
    sent = np.empty_like(times_s)
    for i, instant in enumerate(times_s):
        place = int(free.argmin())
        sent[i] = max(instant, free[place])
        free[place] = sent[i] + service_s
    return sent


def test_a_true_open_loop_is_valid() -> None:
    plan = schedule()
    rng = np.random.default_rng(0)
    sent = plan.times_s + rng.uniform(0.0, 0.003, len(plan))
    verdict = audit(records(plan, sent, sent + rng.uniform(0.0, 0.005, len(plan))), plan)
    assert verdict.valid, verdict.reasons
    assert verdict.facts["sent"] == len(plan)


def test_a_server_clock_with_an_offset_does_not_matter() -> None:
    plan = schedule()
    verdict = audit(records(plan, plan.times_s, plan.times_s - 7000.0), plan)
    assert verdict.valid, verdict.reasons


def test_a_closed_loop_is_flagged_by_its_send_lag() -> None:
    plan = schedule()
    sent = closed_loop(plan.times_s, places=4, service_s=0.3)
    verdict = audit(records(plan, sent), plan)
    assert any("went out late" in reason for reason in verdict.reasons)


def test_a_closed_loop_whose_own_stamps_hide_it_is_flagged_by_the_servers() -> None:
    # A stamp taken before the connection pool: the generator believes that it was on time.
    plan = schedule()
    received = closed_loop(plan.times_s, places=4, service_s=0.3)
    verdict = audit(records(plan, plan.times_s, received), plan)
    assert not verdict.valid
    assert any("at the server" in reason for reason in verdict.reasons)


def test_a_lagging_run_is_flagged_and_the_limit_follows_the_service_time() -> None:
    plan = schedule()
    late = plan.times_s + 0.03
    assert not audit(records(plan, late, service_ms=500.0), plan).valid
    # 1 % of five seconds is 50 ms.
    assert audit(records(plan, late, service_ms=5000.0), plan).valid


def test_without_service_times_the_floor_holds_and_a_note_says_so() -> None:
    plan = schedule()
    verdict = audit(records(plan, plan.times_s, service_ms=None), plan)
    assert verdict.valid
    assert "no answer told its service time" in verdict.notes[0]


def test_a_request_that_was_not_sent_is_flagged() -> None:
    plan = schedule()
    verdict = audit(records(plan, plan.times_s)[:-1], plan)
    assert verdict.reasons == (f"1 of {len(plan)} scheduled requests were not sent.",)


def test_missing_receive_stamps_are_flagged() -> None:
    plan = schedule()
    received = plan.times_s.copy()
    made = [
        RequestRecord(**{**r.as_dict(), "received_s": None if r.index % 10 == 0 else r.received_s})
        for r in records(plan, plan.times_s, received)
    ]
    assert "x-received-at" in audit(made, plan).reasons[0]


def test_a_stall_between_generator_and_server_is_flagged_by_the_counts() -> None:
    plan = schedule()
    # Everything due in five seconds arrives in a lump at their end.
    held = np.where((plan.times_s > 5.0) & (plan.times_s < 10.0), 10.0, plan.times_s)
    verdict = audit(records(plan, plan.times_s, held + 0.001), plan)
    assert any("dispersion" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("kind", ["deterministic", "bursty"])
def test_other_schedules_are_held_to_their_own_cv(kind: str) -> None:
    plan = schedule(kind=kind)
    assert audit(records(plan, plan.times_s), plan).valid
    poisson_times = poisson(RATE_PER_S, 10 * DURATION_S, 2)[: len(plan)]
    assert not audit(records(plan, plan.times_s, poisson_times), plan).valid


def test_a_handful_of_arrivals_is_valid_with_a_note() -> None:
    plan = make("poisson", rate_per_s=1.0, duration_s=4.0, seed=2)
    verdict = audit(records(plan, plan.times_s), plan)
    assert verdict.valid
    assert any("too few" in note for note in verdict.notes)


def test_poisson_runs_of_many_seeds_almost_never_fail() -> None:
    failed = 0
    for seed in range(300):
        # A Poisson process given its number of arrivals; one number, so that bands are reused.
        times = np.sort(np.random.default_rng(seed).uniform(0.0, DURATION_S, 300))
        plan = Arrivals("poisson", times, 15.0, DURATION_S, seed)
        failed += not audit(records(plan, times), plan).valid
    # Two gates at one in a thousand each: 0.6 expected, above 4 once in several thousand tries.
    assert failed <= 4


def test_the_bands_hold_one_and_narrow_with_length() -> None:
    widths = []
    for gaps in (20, 100, 500, 501, 5000):
        low, high = cv_band(gaps)
        assert low < 1.0 < high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)
    low, high = dispersion_band(400, windows_for(400))
    assert 0.3 < low < 1.0 < high < 2.2


def test_the_simulated_band_meets_the_normal_one() -> None:
    simulated, normal = cv_band(500), cv_band(501)
    assert simulated == pytest.approx(normal, abs=0.06)
    assert gap_cv(np.array([1.0, 2.0])) != gap_cv(np.array([1.0, 2.0]))  # nan: too few to say
