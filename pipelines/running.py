"""A job in the batch: its plan, how far it has come, and what it is told to do early."""

from __future__ import annotations

import math

import torch

from pipelines.convergence import Audit
from pipelines.jobs import EarlyExit, PictureFacts, PictureRequest
from pipelines.loading import DTYPES, Variant
from pipelines.plans import Stage
from policies.exits import guided_steps
from policies.nouns import Service


class RunningJob:
    """One job on its way. Its numbers stand in a `pipelines.slots.SlotBank`, in row `row`."""

    def __init__(
        self, request: PictureRequest, variant: Variant, started_s: float, *, audited: bool = False
    ) -> None:
        """`audited`: keep the estimates of every step, to tell what an exit would have lost."""
        self.request = request
        self.variant = variant
        self.service = request.service
        self.guidance_scale = guidance_of(request, variant)
        self.sampler = variant.sampler_for(request.sampler)
        self.plan = self.sampler.plan(request.service.steps)
        self.row = -1
        self.joined = 0  # its number among all that ever joined a bank of the engine
        self.stages_done = 0  # of the present plan; a re-plan starts it again
        self.steps_run = 0
        self.guided_steps = 0
        self.partials_sent = 0
        self.early_exit: EarlyExit = "none"
        self.converged = False
        self.broken = False
        self.started_s = started_s
        self._trail: list[torch.Tensor] | None = [] if audited else None
        # On the CPU, so that a seed gives the same picture on every device, as the library does
        # with a CPU generator. The same generator goes on to give the sampler's own noise.
        self._generator = torch.Generator("cpu").manual_seed(request.seed)
        self._step_noise: torch.Tensor | None = None

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

    @property
    def guidance_due(self) -> bool:
        """Whether the next step is to run with guidance: only the first share of them is."""
        if self.guidance_scale <= 1:
            return False
        return self.steps_run < guided_steps(self.steps_planned, self.service.guidance_share)

    @property
    def watched(self) -> bool:
        """Whether it matters how much the clean estimate changes."""
        return self.request.converge and self._trail is None

    def draw(self) -> torch.Tensor:
        """Unit noise (1, C, h, w), float32 on the CPU: the numbers the library would draw here."""
        return self._drawn().float()

    def step_noise(self) -> torch.Tensor:
        """What is drawn for the next step, once however often that is tried."""
        if self._step_noise is None:
            self._step_noise = self._drawn()
        return self._step_noise.float()

    def _drawn(self) -> torch.Tensor:
        shape = self.variant.latent_shape(self.request.width, self.request.height)
        return torch.randn(shape, generator=self._generator, dtype=DTYPES[self.variant.dtype])

    def replan(self, planned: int) -> float:
        """Shorten the whole run to `planned` steps, keeping the noise level reached.

        Returns what the latents have to be multiplied with: 1 unless no step was run yet.
        """
        if self.steps_run == 0:
            scale_before = self.plan.initial_scale
            self.plan = self.sampler.plan(planned)
            return self.plan.initial_scale / scale_before
        self.plan = self.sampler.replan(self.plan, self.stages_done, planned - self.steps_run)
        self.stages_done = 0
        return 1.0

    def hand_over(self, variant: Variant) -> None:
        """Go on in another variant that shares latents and noise levels with the present one."""
        sampler = variant.sampler_for(self.sampler.name)
        left = self.remaining
        if self.steps_run == 0:
            self.plan = sampler.plan(left)
        else:
            self.plan = sampler.replan(self.plan, self.stages_done, left)
        self.stages_done = 0
        self.variant, self.sampler = variant, sampler
        self.guidance_scale = guidance_of(self.request, variant)

    def moved(self, guided: bool) -> None:
        """Count one step."""
        self.stages_done += 1
        self.steps_run += 1
        self.guided_steps += guided
        self._step_noise = None

    def remember(self, estimate: torch.Tensor) -> None:
        """Keep the clean estimate after a step, if the job is audited."""
        if self._trail is not None:
            self._trail.append(estimate.clone())

    def audit(self) -> Audit | None:
        """What every step changed and would have lost, if the job was audited to its end."""
        if not self._trail:
            return None
        trail = torch.stack(self._trail).flatten(1)
        sizes = trail.norm(dim=1)
        changes = (trail[1:] - trail[:-1]).norm(dim=1) / sizes[1:]
        losses = (trail - trail[-1]).norm(dim=1) / sizes[-1]
        return Audit((math.inf, *changes.tolist()), tuple(losses.tolist()))

    def partial_due(self) -> bool:
        """Whether the next intermediate picture is due: they are spread evenly over the plan."""
        wanted = self.request.partials
        if self.partials_sent >= wanted or self.remaining == 0:
            return False
        return self.steps_run * (wanted + 1) >= self.steps_planned * (self.partials_sent + 1)

    def facts(self, ended_s: float) -> PictureFacts:
        """What the job got, once it has ended."""
        first: Service = self.request.service
        return PictureFacts(
            variant=self.variant.name,
            sampler=self.sampler.name,
            guidance_scale=self.guidance_scale,
            guidance_rescale=self.request.guidance_rescale,
            seed=self.request.seed,
            steps_planned=first.steps,
            steps_run=self.steps_run,
            guided_steps=self.guided_steps,
            early_exit=self.early_exit,
            rung_admitted=first.rung,
            rung_delivered=self.service.rung,
            started_s=self.started_s,
            ended_s=ended_s,
        )


def guidance_of(request: PictureRequest, variant: Variant) -> float:
    """The guidance scale a job really runs with; 1 or less means none."""
    if request.guidance_scale is None or not variant.guided:
        return variant.guidance_scale
    return request.guidance_scale
