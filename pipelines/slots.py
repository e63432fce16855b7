"""Preallocated places for the running jobs of one variant at one picture size.

The jobs stand in rows without gaps, those with guidance first, so a batch is a slice and not a
gathering: what the model sees is written into the same buffers at every step, and texts are moved
only when a job joins, leaves or drops its guidance.
"""

from __future__ import annotations

from typing import Any

import torch

from pipelines.encoding import Embedding
from pipelines.jobs import PictureRequest
from pipelines.loading import DTYPES, Variant
from pipelines.plans import COLUMNS, Plan, SolverState
from pipelines.running import RunningJob
from pipelines.streams import take_over

STAGES_AT_FIRST = 64  # room for plans, per place; doubled when a longer one comes
TIMESTEP, INPUT_SCALE = COLUMNS.index("timestep"), COLUMNS.index("input_scale")


class SlotBank:
    """Rows of job state on the variant's device; only the denoising thread uses it."""

    def __init__(self, variant: Variant, width: int, height: int, places: int) -> None:
        """Room for `places` jobs of `width` x `height` pixels."""
        self.variant = variant
        self.width, self.height = width, height
        self.jobs: list[RunningJob] = []
        self.guided = 0
        """How many jobs, the first ones, run with guidance now."""
        device = variant.device
        shape = (places, *variant.latent_shape(width, height)[1:])
        self.state = SolverState(*(torch.zeros(shape, device=device) for _ in range(4)))
        self._noise = torch.zeros(shape, device=device)
        self._table = torch.zeros((places, STAGES_AT_FIRST, len(COLUMNS)), device=device)
        self._stage = torch.zeros(places, dtype=torch.long, device=device)
        self._settings = torch.zeros((places, 3), device=device)  # guidance, rescale, clip
        self._row = torch.arange(places, device=device)
        self._inputs = _ModelInputs(variant, width, height, places)
        self._prompt: _Texts | None = None
        self._negative: _Texts | None = None
        self._arranged: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.jobs)

    # -- membership -----------------------------------------------------------------------------

    def join(
        self,
        job: RunningJob,
        latents: torch.Tensor,
        prompt: Embedding,
        negative: Embedding | None,
    ) -> None:
        """Give the job a row; `latents` (1, C, h, w). `negative` None means without guidance.

        If this fails the bank is as before. ValueError for a text of another shape than the others',
        IndexError if all places are taken.
        """
        row = job.row = len(self.jobs)
        for history in (self.state.estimate, self.state.earlier, self.state.corrected):
            history[row].zero_()  # a broken job may have left numbers that are none
        self.state.latents[row].copy_(latents[0])
        self._settings[row, 0] = job.guidance_scale
        self._settings[row, 1] = job.request.guidance_rescale
        self.set_plan(job)
        self._write_texts(row, prompt, negative)
        self.jobs.append(job)
        if negative is not None:
            try:
                self._swap(row, self.guided)
            except BaseException:
                self.jobs.pop()
                raise
            self.guided += 1
        self._arranged = None

    def leave(self, job: RunningJob) -> None:
        """Free the job's row; this takes no memory."""
        hole = job.row
        if hole < self.guided:
            self.guided -= 1
            self._move(self.guided, hole)
            hole = self.guided
        self._move(len(self.jobs) - 1, hole)
        self.jobs.pop()
        self._arranged = None

    def drop_guidance(self, job: RunningJob) -> None:
        """Run the job without its negative half from now on, if it still has one."""
        if job.row >= self.guided:
            return
        self._swap(job.row, self.guided - 1)
        self.guided -= 1
        self._arranged = None

    def set_plan(self, job: RunningJob) -> None:
        """Take over the job's plan, from its first stage."""
        plan: Plan = job.plan
        if len(plan) > self._table.shape[1]:
            grown = self._table.new_zeros((len(self._row), 2 * len(plan), len(COLUMNS)))
            grown[:, : self._table.shape[1]] = self._table
            self._table = grown
        self._table[job.row, : len(plan)].copy_(plan.table, non_blocking=True)
        self._stage[job.row] = 0
        self._settings[job.row, 2] = plan.clip

    def rescale(self, job: RunningJob, factor: float) -> None:
        """Multiply the job's latents, for a plan that starts at another scale."""
        self.state.latents[job.row].mul_(factor)

    def is_guided(self, job: RunningJob) -> bool:
        """Whether the next step of the job runs with guidance."""
        return job.row < self.guided

    def _swap(self, a: int, b: int) -> None:
        """Exchange two rows; if this fails both are as before."""
        if a == b:
            return
        rows = self._rows()
        kept = [tensor[source].clone() for source in (b, a) for tensor in rows]
        torch._foreach_copy_([tensor[target] for target in (a, b) for tensor in rows], kept)
        self.jobs[a], self.jobs[b] = self.jobs[b], self.jobs[a]
        self.jobs[a].row, self.jobs[b].row = a, b

    def _move(self, source: int, target: int) -> None:
        """Overwrite a row with another one."""
        if source == target:
            return
        rows = self._rows()
        torch._foreach_copy_([tensor[target] for tensor in rows], [one[source] for one in rows])
        self.jobs[target] = self.jobs[source]
        self.jobs[target].row = target

    def _rows(self) -> list[torch.Tensor]:
        """Everything that has a row for each job."""
        texts = [each for one in (self._prompt, self._negative) if one for each in one.tensors]
        return [*self.state, self._table, self._stage, self._settings, *texts]

    # -- texts ----------------------------------------------------------------------------------

    def _write_texts(self, row: int, prompt: Embedding, negative: Embedding | None) -> None:
        if self._prompt is None or not (self.jobs or self._prompt.hold(prompt)):
            self._make_room(prompt)
        for texts, embedding in ((self._prompt, prompt), (self._negative, negative)):
            if texts is not None and embedding is not None:
                texts.write(row, embedding)

    def _make_room(self, like: Embedding) -> None:
        """The first text tells how large they are."""
        counts = (len(self._row), len(self._row), self._inputs.rows)
        prompt, negative, inputs = (_Texts(count, like) for count in counts)
        self._prompt, self._negative, self._inputs.texts = prompt, negative, inputs

    def _arrange(self, first: int, last: int, guided: int) -> None:
        """Lay out the texts of rows first..last: the prompts, then the negatives."""
        texts = self._inputs.texts, self._prompt, self._negative
        if self._arranged == (first, last) or None in texts:
            return
        self._arranged = None  # until all is copied
        count = last - first
        for target, prompts, negatives in zip(
            *(one.tensors for one in texts if one is not None), strict=True
        ):
            target[:count].copy_(prompts[first:last])
            target[count : count + guided].copy_(negatives[first : first + guided])
        self._arranged = (first, last)

    # -- one step -------------------------------------------------------------------------------

    def rows(self, first: int, last: int) -> SolverState:
        """The state of rows first..last, as views."""
        return SolverState(*(tensor[first:last] for tensor in self.state))

    def coefficients(self, first: int, last: int) -> torch.Tensor:
        """The present stage of every row, (rows, len(COLUMNS))."""
        return self._table[self._row[first:last], self._stage[first:last]]

    def settings(self, first: int, last: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Guidance scale, guidance rescale and clip of every row, each (rows,)."""
        guidance, rescale, clip = self._settings[first:last].unbind(1)
        return guidance, rescale, clip

    def move_on(self, first: int, last: int, state: SolverState, following: SolverState) -> None:
        """Overwrite `state`, the rows first..last, and go to the next stages of their plans.

        One operation without memory of its own, so that a step is done whole or not at all.
        """
        stage = self._stage[first:last]
        pairs = [(old, new) for old, new in zip(state, following, strict=True) if new is not old]
        pairs.append((stage, stage + 1))
        torch._foreach_copy_([old for old, _ in pairs], [new for _, new in pairs])

    def noise(self, first: int, last: int) -> torch.Tensor:
        """Noise of the step for the rows whose stage wants some, zeros elsewhere; (rows, C, h, w)."""
        drawn = [
            job.step_noise() if job.stage.next_noise else torch.zeros(self._noise.shape[1:])
            for job in self.jobs[first:last]
        ]
        stacked = torch.stack([noise.view(self._noise.shape[1:]) for noise in drawn])
        if self._noise.is_cuda:
            stacked = stacked.pin_memory()
        self._noise[first:last].copy_(stacked, non_blocking=True)
        return self._noise[first:last]

    def model_outputs(self, first: int, last: int, coefficients: torch.Tensor) -> torch.Tensor:
        """The model's answers, prompted rows then the same rows without, in the model's type.

        (rows + guided rows, C, h, w). With row buckets the model is called with more rows than are
        needed; what it says of those is cut off.
        """
        count, guided = last - first, self.guided_in(first, last)
        self._arrange(first, last, guided)
        scales = coefficients[:, INPUT_SCALE].view(-1, 1, 1, 1)
        inputs, timesteps = self._inputs.latents, self._inputs.timesteps
        torch.mul(self.state.latents[first:last], scales, out=inputs[:count])
        timesteps[:count].copy_(coefficients[:, TIMESTEP])
        if guided:
            inputs[count : count + guided].copy_(inputs[:guided])
            timesteps[count : count + guided].copy_(timesteps[:guided])
        outputs = self._inputs.call(count + guided)
        return outputs[: count + guided]

    def guided_in(self, first: int, last: int) -> int:
        """How many of the rows first..last, the first of them, are guided."""
        return min(max(self.guided - first, 0), last - first)

    def rows_in(self, first: int, last: int) -> int:
        """How many rows the model is called with for the rows first..last."""
        return self.variant.rows_for(last - first + self.guided_in(first, last))

    def rehearse(self, rows: int = 1, text: Embedding | None = None) -> None:
        """Call the model with so many rows of zeros. An empty bank learns from `text` how large
        texts are."""
        if self._prompt is None and text is not None:
            self._make_room(text)
        self._arranged = None
        self._inputs.clear()
        self._inputs.call(rows)


class _Texts:
    """Embeddings of `places` jobs: tokens, and pooled vectors where the model wants them."""

    def __init__(self, places: int, like: Embedding) -> None:
        self.tensors = [
            torch.zeros((places, *part.shape[1:]), dtype=part.dtype, device=part.device)
            for part in like.parts()
        ]

    def hold(self, embedding: Embedding) -> bool:
        """Whether the embedding is of the right shape."""
        parts = embedding.parts()
        return [one.shape[1:] for one in self.tensors] == [part.shape[1:] for part in parts]

    def write(self, row: int, embedding: Embedding) -> None:
        if not self.hold(embedding):
            shape = tuple(embedding.tokens.shape[1:])
            raise ValueError(f"A text of shape {shape} does not go with the others.")
        take_over(embedding.stamp, embedding.parts())
        for tensor, part in zip(self.tensors, embedding.parts(), strict=True):
            tensor[row].copy_(part[0])


class _ModelInputs:
    """The buffers that the model is called with; their addresses never change."""

    def __init__(self, variant: Variant, width: int, height: int, places: int) -> None:
        self._variant = variant
        self.rows = variant.rows_for(2 * places)
        device, dtype = variant.device, DTYPES[variant.dtype]
        shape = (self.rows, *variant.latent_shape(width, height)[1:])
        self.latents = torch.zeros(shape, dtype=dtype, device=device)
        self.timesteps = torch.zeros(self.rows, device=device)
        self.texts: _Texts | None = None
        size = [height, width, 0, 0, height, width]
        self._sizes = torch.tensor([size] * self.rows, dtype=dtype, device=device)

    def clear(self) -> None:
        texts = self.texts.tensors if self.texts is not None else []
        for tensor in (self.latents, self.timesteps, *texts):
            tensor.zero_()

    def call(self, rows: int) -> torch.Tensor:
        """The model's outputs for the first `rows` rows, and perhaps more."""
        count = self._variant.rows_for(rows)
        assert self.texts is not None
        tokens, *pooled = self.texts.tensors
        added: dict[str, Any] | None = None
        if self._variant.is_xl:
            # SDXL is told the original size, the crop's corner and the target size.
            added = {"text_embeds": pooled[0][:count], "time_ids": self._sizes[:count]}
        outputs: torch.Tensor = self._variant.denoiser(
            self.latents[:count], self.timesteps[:count], tokens[:count], added
        )
        return outputs


def size_of(request: PictureRequest) -> tuple[int, int]:
    """Width and height of the request's picture."""
    return request.width, request.height
