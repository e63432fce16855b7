"""Running jobs, and one batched step of those that share a variant and a size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipelines.encoding import Embedding
from pipelines.jobs import EarlyExit, PictureFacts, PictureRequest
from pipelines.loading import DTYPES, Variant
from pipelines.plans import Stage, advance


class RunningJob:
    """One job in the batch: its request, its plan, and where in it the latents stand.

    Latents are kept in float32 whatever the model's type, (1, C, h, w), on the variant's device.
    """

    def __init__(
        self,
        request: PictureRequest,
        variant: Variant,
        prompt: Embedding,
        negative: Embedding | None,
        started_s: float,
    ) -> None:
        """`negative` is None for a job without guidance."""
        self.request = request
        self.variant = variant
        self.service = request.service
        self.prompt = prompt
        self.negative = negative
        self.guidance_scale = guidance_of(request, variant)
        self.sampler = variant.sampler_for(request.sampler)
        self.plan = self.sampler.plan(request.service.steps)
        self.stages_done = 0  # of the present plan; a re-plan starts it again
        self.steps_run = 0
        self.partials_sent = 0
        self.early_exit: EarlyExit = "none"
        self.started_s = started_s
        # On the CPU, so that a seed gives the same picture on every device, as the library does
        # with a CPU generator. The same generator goes on to give the sampler's own noise.
        self._generator = torch.Generator("cpu").manual_seed(request.seed)
        self.latents = self.draw() * self.plan.initial_scale
        self.estimate = torch.zeros_like(self.latents)

    @property
    def stage(self) -> Stage:
        """The step to run next."""
        return self.plan[self.stages_done]

    @property
    def remaining(self) -> int:
        """Steps still to run."""
        return len(self.plan) - self.stages_done

    @property
    def steps_planned(self) -> int:
        """Steps of the whole run as it is planned now."""
        return self.steps_run + self.remaining

    def draw(self) -> torch.Tensor:
        """Unit noise for this job, in the numbers that the library would draw at this point."""
        shape = self.variant.latent_shape(self.request.width, self.request.height)
        dtype = DTYPES[self.variant.dtype]
        noise = torch.randn(shape, generator=self._generator, dtype=dtype)
        return noise.to(self.variant.device, torch.float32)

    def replan(self, planned: int) -> None:
        """Shorten the whole run to `planned` steps, keeping the noise level reached."""
        if self.steps_run == 0:
            scale_before = self.plan.initial_scale
            self.plan = self.sampler.plan(planned)
            self.latents = self.latents * (self.plan.initial_scale / scale_before)
        else:
            left = planned - self.steps_run
            self.plan = self.sampler.replan(self.plan, self.stages_done, left)
        self.stages_done = 0
        self.early_exit = "replan"

    def moved(self, latents: torch.Tensor, estimate: torch.Tensor) -> None:
        """Take over the outcome of one step."""
        self.latents, self.estimate = latents, estimate
        self.stages_done += 1
        self.steps_run += 1

    def partial_due(self) -> bool:
        """Whether the next intermediate picture is due: they are spread evenly over the plan."""
        wanted = self.request.partials
        if self.partials_sent >= wanted or self.remaining == 0:
            return False
        return self.steps_run * (wanted + 1) >= self.steps_planned * (self.partials_sent + 1)

    def facts(self, ended_s: float) -> PictureFacts:
        """What the job got, once it has ended."""
        return PictureFacts(
            variant=self.variant.name,
            sampler=self.sampler.name,
            guidance_scale=self.guidance_scale,
            seed=self.request.seed,
            steps_planned=self.request.service.steps,
            steps_run=self.steps_run,
            early_exit=self.early_exit,
            rung_admitted=self.request.service.rung,
            rung_delivered=self.service.rung,
            started_s=self.started_s,
            ended_s=ended_s,
        )


def guidance_of(request: PictureRequest, variant: Variant) -> float:
    """The guidance scale a job really runs with; 1 or less means none."""
    if request.guidance_scale is None or not variant.guided:
        return variant.guidance_scale
    return request.guidance_scale


def step_batch(variant: Variant, jobs: Sequence[RunningJob]) -> list[RunningJob]:
    """Move every job one stage on with a single model call; returns those that are now broken.

    All jobs have this variant and one size. A job is broken when its latents are not finite: its
    neighbours are not touched by that, for no operation mixes rows.
    """
    stages = [job.stage for job in jobs]
    latents = torch.cat([job.latents for job in jobs])
    outputs = _model_outputs(variant, jobs, latents, stages)
    noise = None
    if any(stage.next_noise for stage in stages):
        noise = torch.cat(
            [job.draw() if job.stage.next_noise else torch.zeros_like(job.latents) for job in jobs]
        )
    before = torch.cat([job.estimate for job in jobs])
    clips = [job.plan.clip for job in jobs]
    following, estimates = advance(latents, outputs, before, noise, stages, clips)
    finite = torch.isfinite(following).flatten(1).all(1).tolist()
    for row, job in enumerate(jobs):
        job.moved(following[row : row + 1], estimates[row : row + 1])
    return [job for job, sound in zip(jobs, finite, strict=True) if not sound]


def _model_outputs(
    variant: Variant, jobs: Sequence[RunningJob], latents: torch.Tensor, stages: Sequence[Stage]
) -> torch.Tensor:
    """The model's guided outputs (B, C, h, w) in float32, each row at its own timestep.

    Rows without a prompt follow the rows with one, only for the jobs that are guided
    (classifier-free guidance, Ho and Salimans 2022, arXiv:2207.12598).
    """
    device, dtype = variant.device, variant.unet.dtype
    guided = [row for row, job in enumerate(jobs) if job.negative is not None]
    rows = [*range(len(jobs)), *guided]
    scales = torch.tensor([stage.input_scale for stage in stages], device=device)
    inputs = latents * scales.view(-1, 1, 1, 1)
    texts = [job.prompt for job in jobs]
    texts += [job.negative for job in jobs if job.negative is not None]
    if guided:
        inputs = torch.cat([inputs, inputs[guided]])
    outputs: torch.Tensor = variant.unet(
        inputs.to(dtype),
        torch.tensor([stages[row].timestep for row in rows], device=device),
        encoder_hidden_states=torch.cat([text.tokens for text in texts]),
        added_cond_kwargs=_conditions(variant, jobs, rows, texts),
        return_dict=False,
    )[0].float()
    prompted = outputs[: len(jobs)]
    if not guided:
        return prompted
    free = outputs[len(jobs) :]
    strength = torch.tensor([jobs[row].guidance_scale for row in guided], device=device)
    steered = free + strength.view(-1, 1, 1, 1) * (prompted[guided] - free)
    if len(guided) == len(jobs):
        return steered
    return prompted.index_copy(0, torch.tensor(guided, device=device), steered)


def _conditions(
    variant: Variant, jobs: Sequence[RunningJob], rows: Sequence[int], texts: Sequence[Embedding]
) -> dict[str, Any] | None:
    """SDXL's extra conditions: pooled text, and sizes as (original, crop corner, target)."""
    if not variant.is_xl:
        return None
    pooled = [text.pooled for text in texts if text.pooled is not None]
    sizes = [(jobs[row].request.height, jobs[row].request.width) for row in rows]
    times = [[height, width, 0, 0, height, width] for height, width in sizes]
    dtype = variant.unet.dtype
    return {
        "text_embeds": torch.cat(pooled),
        "time_ids": torch.tensor(times, dtype=dtype, device=variant.device),
    }
