"""One batched step of the jobs in a slot bank, and what it tells of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipelines.plans import advance
from pipelines.running import RunningJob
from pipelines.slots import SlotBank


@dataclass(frozen=True, slots=True)
class Signal:
    """How a job stands after a step: whether its numbers are finite, and by how much the clean
    estimate changed in proportion to its own size (nan where nobody watches)."""

    job: RunningJob
    finite: bool
    change: float


class Signals:
    """Brings signals to the host without making it wait for an accelerator.

    On the CPU those of a step are there at once. With `late` they are read one boundary after they
    were sent, while the accelerator already runs the next step.
    """

    def __init__(self, late: bool) -> None:
        self._late = late
        self._sent: list[Parcel] = []
        self._under_way: list[Parcel] = []

    def packed(self, jobs: Sequence[RunningJob], values: torch.Tensor) -> Parcel:
        """Start the way of `values` (2, jobs): 1 where finite, and the change."""
        event = None
        if values.is_cuda:
            there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            there.copy_(values, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            values = there
        return Parcel(tuple(jobs), values, event)

    def send(self, parcel: Parcel) -> None:
        """Have what is packed arrive; this cannot fail."""
        self._sent.append(parcel)

    def arrived(self) -> list[Signal]:
        """What is there to be read at the end of this boundary."""
        due = self._under_way if self._late else self._sent
        self._under_way, self._sent = (self._sent if self._late else []), []
        return [signal for parcel in due for signal in parcel.opened()]


@dataclass(frozen=True, slots=True)
class Parcel:
    """The signals of one step on their way to the host."""

    jobs: tuple[RunningJob, ...]
    values: torch.Tensor
    event: torch.cuda.Event | None

    def opened(self) -> list[Signal]:
        if self.event is not None:
            self.event.synchronize()
        finite, changes = self.values.tolist()
        rows = zip(self.jobs, finite, changes, strict=True)
        return [Signal(job, bool(sound), change) for job, sound, change in rows]


def step_rows(
    bank: SlotBank, first: int, last: int, signals: Signals | None = None
) -> torch.Tensor:
    """Move rows first..last of the bank one stage on with a single model call.

    Returns (2, rows): 1 where the new latents are finite, and the change of the clean estimate;
    `signals` has them sent. A broken row does not touch its neighbours, for no operation mixes
    rows. Whatever fails, no row has moved: all is computed first and then written at once.
    """
    jobs = bank.jobs[first:last]
    guided = bank.guided_in(first, last)
    coefficients = bank.coefficients(first, last)
    outputs = _guided(bank, first, last, bank.model_outputs(first, last, coefficients).float())
    terms = frozenset[str]().union(*(job.plan.terms for job in jobs))
    noise = bank.noise(first, last) if any(job.stage.next_noise for job in jobs) else None
    clips = None
    if any(math.isfinite(job.plan.clip) for job in jobs):
        clips = bank.settings(first, last)[2]
    state = bank.rows(first, last)
    following = advance(state, outputs, noise, coefficients, clips, terms)
    finite = torch.isfinite(following.latents).flatten(1).all(1).float()
    change = torch.full_like(finite, math.nan)
    if any(job.watched for job in jobs):
        size = following.estimate.flatten(1).norm(dim=1)
        change = (following.estimate - state.estimate).flatten(1).norm(dim=1) / size
    values = torch.stack((finite, change))
    parcel = None if signals is None else signals.packed(jobs, values)
    bank.move_on(first, last, state, following)
    for position, job in enumerate(jobs):
        job.moved(position < guided)
    if signals is not None and parcel is not None:
        signals.send(parcel)
    return values


def _guided(bank: SlotBank, first: int, last: int, outputs: torch.Tensor) -> torch.Tensor:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598) for the guided rows, and
    the rescaling of Lin et al. 2023 (arXiv:2305.08891, section 3.4) where it is asked for."""
    count, guided = last - first, bank.guided_in(first, last)
    prompted = outputs[:count]
    if not guided:
        return prompted
    scale, rescale, _ = bank.settings(first, first + guided)
    with_prompt, free = prompted[:guided], outputs[count : count + guided]
    steered = free + scale.view(-1, 1, 1, 1) * (with_prompt - free)
    if any(job.request.guidance_rescale for job in bank.jobs[first : first + guided]):
        axes = (1, 2, 3)
        share = rescale.view(-1, 1, 1, 1)
        spread = with_prompt.std(axes, keepdim=True) / steered.std(axes, keepdim=True)
        steered = share * (steered * spread) + (1 - share) * steered
    if guided == count:
        return steered
    return torch.cat((steered, prompted[guided:]))
