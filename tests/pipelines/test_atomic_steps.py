"""A step, a joining and a dropping of guidance are done whole or not at all, wherever memory runs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipelines.denoising import Signals, step_rows
from pipelines.loading import Variant, load_variant
from pipelines.preparing import embeddings_of
from pipelines.running import RunningJob
from pipelines.slots import SlotBank
from policies.nouns import Service
from tests.pipelines.engine_runs import (
    REPLANNABLE,
    alone,
    difference,
    done,
    engine_of,
    run_out,
    start,
)
from tests.pipelines.tiny_pipelines import SIZE, request

LONG = Service("full", 60, 0)


class RunsOut(TorchDispatchMode):
    """Raises instead of the tensor operation of that number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._left == 0:
            raise torch.OutOfMemoryError("none left")
        self._left -= 1
        self.seen.add(func.name())
        return func(*args, **(kwargs or {}))


def disturbed(work: Callable[[], object], unchanged: Callable[[], object]) -> int:
    """Have `work` fail at every of its operations in turn until it succeeds; the failures."""
    for number in count():
        with RunsOut(number):
            try:
                work()
                return number
            except torch.OutOfMemoryError:
                pass
        unchanged()
    raise AssertionError


def light(variant: Variant) -> Variant:
    """The variant with a model of a few operations that still reads all of its inputs."""

    def call(inputs: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, _: Any) -> Any:
        read = (timesteps / 1000 + tokens[..., 0].float().mean(1)).view(-1, 1, 1, 1)
        return (0.5 * inputs + read).to(inputs.dtype)

    return replace(variant, denoiser=variant.denoiser.within(lambda _: call))


def bank_of(variant: Variant) -> SlotBank:
    bank = SlotBank(variant, SIZE, SIZE, 8)
    for index, sampler in enumerate((*REPLANNABLE, "euler_ancestral")):
        scale = (5.0, 1.0)[index % 2]
        asked = request(str(index), seed=index, sampler=sampler, guidance_scale=scale, service=LONG)
        prompt = "abcdef"[index]
        start(bank, replace(asked, prompt=prompt, converge=index == 1, guidance_rescale=0.3))
    return bank


def contents(bank: SlotBank) -> list[Any]:
    """What the bank holds of its jobs, by job."""
    return [
        (
            bank.is_guided(job),
            job.steps_run,
            *(tensor[job.row].clone() for tensor in bank._rows()),
        )
        for job in sorted(bank.jobs, key=lambda job: job.request.job_id)
    ]


def assert_same(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[:2] == other[:2]
        for a, b in zip(mine[2:], other[2:], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@torch.inference_mode()
def test_a_step_that_runs_out_of_memory_anywhere_has_moved_nobody(
    folders: dict[str, Path], dtype: str
) -> None:
    variant = light(load_variant("full", folders["v_prediction"], dtype=dtype))
    bank, undisturbed, signals = bank_of(variant), bank_of(variant), Signals(late=False)
    for _ in range(4):
        before = contents(bank)
        failures = disturbed(
            lambda: step_rows(bank, 0, len(bank), signals),
            lambda: assert_same(contents(bank), before),  # noqa: B023
        )
        assert failures > 50
        step_rows(undisturbed, 0, len(undisturbed))
        assert_same(contents(bank), contents(undisturbed))
        assert len(signals.arrived()) == len(bank)


@torch.inference_mode()
def test_slices_of_a_step_that_ran_out_of_memory_see_their_own_texts(full: Variant) -> None:
    variant = light(full)
    bank, undisturbed = bank_of(variant), bank_of(variant)
    slices = [(0, 3), (3, len(bank))]
    for number in range(30):
        for bounds in slices:
            step_rows(bank, *bounds)
            step_rows(undisturbed, *bounds)
        assert_same(contents(bank), contents(undisturbed))
        with RunsOut(number), pytest.raises(torch.OutOfMemoryError):
            step_rows(bank, 0, len(bank))
        slices.reverse()  # the next are the rows that were laid out before this failed


@torch.inference_mode()
def test_joining_and_dropping_guidance_are_done_whole_or_not_at_all(full: Variant) -> None:
    bank = bank_of(full)
    for index, scale in enumerate((5.0, 1.0)):
        asked = request(f"new {index}", guidance_scale=scale)
        job = RunningJob(asked, full, started_s=0.0)
        latents = job.draw()
        texts = embeddings_of(asked, full)
        before = contents(bank)
        failures = disturbed(
            lambda: bank.join(job, latents, *texts),  # noqa: B023
            lambda: assert_same(contents(bank), before),  # noqa: B023
        )
        assert failures > 5
        assert_same(contents(bank)[: len(before)], before)
    before, job = contents(bank), bank.jobs[0]
    disturbed(lambda: bank.drop_guidance(job), lambda: assert_same(contents(bank), before))
    assert not bank.is_guided(job)


@torch.inference_mode()
def test_leaving_takes_no_memory(full: Variant) -> None:
    bank = bank_of(full)
    with RunsOut(-1) as mode:
        for job in list(bank.jobs):
            bank.leave(job)
    assert mode.seen == {"aten::select.int", "aten::_foreach_copy_"}


def test_pictures_do_not_show_that_steps_ran_out_of_memory(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(str(seed), seed=seed, sampler="euler_ancestral") for seed in range(2)]
    engine, forward, calls = engine_of(full), full.unet.forward, count(1)

    def unlucky(*args: Any, **kwargs: Any) -> Any:
        outputs = forward(*args, **kwargs)
        if next(calls) == 3:
            raise torch.OutOfMemoryError("none left")
        return outputs

    for one in asked:
        engine.submit(one)
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", unlucky)
        finished = done(run_out(engine))
    assert engine.batch_limits()[0].limit == 1
    for one in asked:
        assert difference(finished[one.job_id].image, alone(full, one).image) <= 2
