"""The slot bank: rows without gaps, guided ones first, and nothing of a job that has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.denoising import step_rows
from pipelines.loading import Variant, load_variant
from pipelines.running import RunningJob
from pipelines.slots import SlotBank
from policies.nouns import Service
from tests.pipelines.engine_runs import estimate_of, latents_of, start
from tests.pipelines.tiny_pipelines import SIZE, request

PLACES = 5


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moves=st.lists(st.tuples(st.sampled_from(("join", "free", "leave", "cut")), st.integers(0, 9)))
)
@torch.inference_mode()
def test_jobs_keep_their_numbers_however_others_come_and_go(
    full: Variant, moves: list[tuple[str, int]]
) -> None:
    bank = SlotBank(full, SIZE, SIZE, PLACES)
    known: dict[RunningJob, torch.Tensor] = {}
    for number, (move, which) in enumerate(moves):
        if move in ("join", "free") and len(bank) < PLACES:
            scale = 5.0 if move == "join" else 1.0
            job = start(bank, request(str(number), seed=number, guidance_scale=scale))
            known[job] = latents_of(bank, job)
        elif bank.jobs:
            job = bank.jobs[which % len(bank.jobs)]
            if move == "leave":
                bank.leave(job)
                del known[job]
            elif move == "cut":
                bank.drop_guidance(job)
                assert not bank.is_guided(job)
        assert [job.row for job in bank.jobs] == list(range(len(known)))
        assert [bank.is_guided(job) for job in bank.jobs] == [
            row < bank.guided for row in range(len(bank))
        ]
        for job, latents in known.items():
            assert torch.equal(latents_of(bank, job), latents)


@torch.inference_mode()
def test_a_row_is_clean_for_its_next_job(full: Variant) -> None:
    bank = SlotBank(full, SIZE, SIZE, 1)
    broken = start(bank, request("broken", sampler="dpmpp_2m"))
    for tensor in (bank.state.latents, bank.state.estimate, bank.state.earlier):
        tensor.fill_(float("nan"))
    bank.state.corrected.fill_(float("nan"))
    bank.leave(broken)
    job = start(bank, request("next", sampler="dpmpp_2m"))
    step_rows(bank, 0, 1)
    assert bool(torch.isfinite(latents_of(bank, job)).all())


@torch.inference_mode()
def test_a_plan_longer_than_any_before_finds_room(full: Variant) -> None:
    bank = SlotBank(full, SIZE, SIZE, 2)
    short = start(bank, request("short", service=Service("full", 3, 2)))
    before = bank.coefficients(short.row, short.row + 1).clone()
    long = start(bank, request("long", service=Service("full", 999, 0)))
    assert torch.equal(bank.coefficients(short.row, short.row + 1), before)
    state = bank.rows(0, 2)
    bank.move_on(0, 2, state, state)
    expected = long.plan.table[1:2]
    assert torch.equal(bank.coefficients(long.row, long.row + 1), expected)


@torch.inference_mode()
def test_a_step_reads_and_writes_the_same_memory(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, int]] = set()
    forward = full.unet.forward

    def watched(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.add((sample.data_ptr(), kwargs["encoder_hidden_states"].data_ptr()))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(full.unet, "forward", watched)
    bank = SlotBank(full, SIZE, SIZE, 3)
    places = [bank.state.latents.data_ptr(), bank.state.estimate.data_ptr()]
    for index in range(3):
        start(bank, request(str(index), seed=index))
        step_rows(bank, 0, index + 1)
    assert len(seen) == 1
    assert places == [bank.state.latents.data_ptr(), bank.state.estimate.data_ptr()]


@torch.inference_mode()
def test_models_in_half_precision_are_asked_in_it_and_latents_stay_single(
    folders: dict[str, Path],
) -> None:
    variant = load_variant("full", folders["epsilon"], dtype="bfloat16")
    bank = SlotBank(variant, SIZE, SIZE, 2)
    job = start(bank, request())
    step_rows(bank, 0, 1)
    assert latents_of(bank, job).dtype == estimate_of(bank, job).dtype == torch.float32
    assert bool(torch.isfinite(latents_of(bank, job)).all())


def test_rows_beyond_the_places_are_a_mistake(full: Variant) -> None:
    bank = SlotBank(full, SIZE, SIZE, 1)
    start(bank, request("one"))
    with pytest.raises(IndexError):
        start(bank, request("two"))
