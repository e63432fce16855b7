"""The one batched expression that all samplers share."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.plans import COLUMNS, Plan, SolverState, Stage, advance


def numbers(*values: float) -> torch.Tensor:
    """One latent of one number per job."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def state_of(
    latents: torch.Tensor, estimate: torch.Tensor, earlier: float = 0, corrected: float = 0
) -> SolverState:
    return SolverState(
        latents,
        estimate,
        torch.full_like(latents, earlier),
        torch.full_like(latents, corrected),
    )


def test_each_row_follows_its_own_stage() -> None:
    stages = (
        Stage(9.0, 1.0, estimate_x=1.0, estimate_v=-1.0, next_x=0.5, next_e=2.0),
        Stage(4.0, 1.0, 1.0, 1.0, next_v=1.0, next_e=1.0, next_before=-1.0, next_noise=0.1),
    )
    plan = Plan(stages, initial_scale=1.0, final_sigma=0.0)
    state = state_of(numbers(2, 2), numbers(5, 5))
    clips = torch.tensor([math.inf, 4.0])
    state = advance(state, numbers(3, 3), numbers(7, 7), plan.table, clips, plan.terms)
    assert state.estimate.flatten().tolist() == [-1.0, 4.0]
    assert torch.allclose(state.latents.flatten(), torch.tensor([-1.0, 3.0 + 4.0 - 5.0 + 0.7]))


def test_a_corrector_works_on_the_latents_before_they_are_stepped() -> None:
    stage = Stage(
        4.0,
        1.0,
        estimate_x=0.0,
        estimate_v=1.0,
        next_x=10.0,
        next_e=1.0,
        correct_x=0.0,
        correct_last=1.0,
        correct_e=0.5,
        correct_before=0.25,
        correct_earlier=2.0,
    )
    plan = Plan((stage,), initial_scale=1.0, final_sigma=0.0)
    state = state_of(numbers(99), numbers(8), earlier=3, corrected=7)
    state = advance(state, numbers(4), None, plan.table, None, plan.terms)
    corrected = 7 + 0.5 * 4 + 0.25 * 8 + 2 * 3
    assert state.corrected.item() == corrected
    assert state.latents.item() == 10 * corrected + 4
    assert (state.estimate.item(), state.earlier.item()) == (4, 8)


def test_a_row_without_corrector_is_not_touched_by_its_neighbours_corrector() -> None:
    plain = Stage(4.0, 1.0, estimate_x=0.0, estimate_v=1.0, next_x=0.5, next_e=1.0)
    correcting = Stage(4.0, 1.0, 0.0, 1.0, next_x=0.5, correct_x=0.0, correct_last=1.0)
    plan = Plan((plain, correcting), initial_scale=1.0, final_sigma=0.0)
    alone, beside = state_of(numbers(2), numbers(0)), state_of(numbers(2, 2), numbers(0, 0))
    alone = advance(alone, numbers(3), None, plan.table[:1], None, Plan((plain,), 1.0, 0.0).terms)
    beside = advance(beside, numbers(3, 3), None, plan.table, None, plan.terms)
    assert beside.latents[0].item() == alone.latents.item() == 4


def test_terms_name_the_columns_that_are_used_at_all() -> None:
    stages = (Stage(9.0, 2.0, 1.0, 1.0, next_x=1.0), Stage(4.0, 1.0, 1.0, 1.0, next_before=0.5))
    assert Plan(stages, 1.0, 0.0).terms == {"next_before"}


def test_the_table_has_a_row_for_each_stage_and_a_column_for_each_number() -> None:
    stages = (Stage(9.0, 2.0, 0.25, 1.0), Stage(4.0, 1.0, 0.5, 1.0))
    table = Plan(stages, initial_scale=1.0, final_sigma=0.0).table
    assert table.shape == (2, len(COLUMNS))
    assert table.dtype == torch.float32
    assert table[:, COLUMNS.index("estimate_x")].tolist() == [0.25, 0.5]
    assert table[:, COLUMNS.index("timestep")].tolist() == [9.0, 4.0]


def test_a_plan_shows_its_levels_and_times() -> None:
    stages = (Stage(900.0, 3.0, 0.0, 1.0), Stage(500.0, 1.0, 0.0, 1.0))
    plan = Plan(stages, initial_scale=3.0, final_sigma=0.0)
    assert len(plan) == 2
    assert plan.sigmas == (3.0, 1.0, 0.0)
    assert plan.timesteps == (900.0, 500.0)


def test_nothing_is_written_when_a_step_fails() -> None:
    plan = Plan((Stage(9.0, 1.0, 1.0, 1.0, next_noise=1.0),), initial_scale=1.0, final_sigma=0.0)
    state = state_of(torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 5.0))
    misfit = torch.zeros(1, 1, 3, 3)
    with pytest.raises(RuntimeError):
        advance(state, torch.ones(1, 1, 2, 2), misfit, plan.table, None, plan.terms)
    assert state.latents.unique().item() == 2
    assert state.estimate.unique().item() == 5
