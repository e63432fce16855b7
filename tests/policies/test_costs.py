"""What whole runs cost follows from what single calls cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import (
    Rung,
    Service,
    completion_rate_per_s,
    completion_rates_per_s,
    run_s,
    steps_s,
)
from tests.policies.fleets import FULL, Fixed

COSTS = Fixed()  # encoding 1 s, a step 1 s and 1 s more a job (half of it guidance), decoding 2 s
CUT = Service("full", 20, 0, guidance_share=0.25)


def test_a_step_of_a_batch_is_taken_as_often_as_the_run_has_steps() -> None:
    assert steps_s(COSTS, FULL, 1) == 20 * 2.0
    assert steps_s(COSTS, FULL, 3) == 20 * 4.0


def test_steps_past_the_cut_of_guidance_cost_less() -> None:
    assert steps_s(COSTS, CUT, 2) == 5 * 3.0 + 15 * 2.0


def test_the_cut_is_rounded_to_whole_steps_as_the_engine_rounds_it() -> None:
    third = Service("full", 10, 0, guidance_share=1 / 3)
    assert steps_s(COSTS, third, 1) == 4 * 2.0 + 6 * 1.5


def test_a_rung_costs_what_its_service_costs() -> None:
    rung = Rung("full", 20, "high", guidance_share=0.25)
    assert steps_s(COSTS, rung, 2) == steps_s(COSTS, CUT, 2)


def test_a_run_is_encoded_alone_and_decoded_with_its_batch() -> None:
    assert run_s(COSTS, FULL) == 1.0 + 40.0 + 2.0
    assert run_s(COSTS, FULL, 3) == 1.0 + 80.0 + 6.0


def test_a_full_engine_finishes_its_batch_in_the_steps_and_everybodys_calls_of_their_own() -> None:
    assert completion_rate_per_s(COSTS, FULL, 1) == 1 / 43.0
    assert completion_rate_per_s(COSTS, FULL, 3) == 3 / (80.0 + 3 * 3.0)


def test_alone_a_job_completes_at_the_pace_of_its_run() -> None:
    assert completion_rate_per_s(COSTS, CUT, 1) == pytest.approx(1 / run_s(COSTS, CUT))


def test_rates_are_listed_from_one_job_to_the_largest_batch() -> None:
    rung = Rung("full", 20, "high")
    rates = completion_rates_per_s(COSTS, rung, 3)
    assert list(rates) == [completion_rate_per_s(COSTS, rung, n) for n in (1, 2, 3)]


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_of_nobody_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match=f"batch {batch} must be at least 1"):
        completion_rate_per_s(COSTS, FULL, batch)
    with pytest.raises(ValueError, match=f"max_batch {batch} must be at least 1"):
        completion_rates_per_s(COSTS, Rung("full", 20, "high"), batch)


@given(st.integers(1, 60), st.floats(0.0, 1.0), st.integers(1, 8))
def test_less_guidance_and_fewer_steps_never_cost_more(
    steps: int, guidance_share: float, batch: int
) -> None:
    whole = steps_s(COSTS, Service("full", steps, 0), batch)
    cut = steps_s(COSTS, Service("full", steps, 0, guidance_share), batch)
    longer = steps_s(COSTS, Service("full", steps + 1, 0, guidance_share), batch)
    assert cut <= whole
    assert cut < longer
