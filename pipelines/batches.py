"""The running jobs, grouped by variant and size: who joins, who exits early, and their next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count

import torch

from pipelines.calls import Calls, Key
from pipelines.convergence import ThresholdTuner
from pipelines.denoising import Signals, step_rows
from pipelines.desk import Due, Notes, Ready
from pipelines.faults import NOT_A_NUMBER
from pipelines.jobs import EarlyExit, EngineEvent, PictureFailed, PictureRequest, StepDone
from pipelines.loading import Variant
from pipelines.preparing import embeddings_of
from pipelines.running import RunningJob
from pipelines.service_costs import ServiceCosts
from pipelines.slots import SlotBank
from pipelines.streams import stamped
from policies.exits import ExitRules, changed
from policies.nouns import Ladder

BANKS_KEPT = 8
"""Empty banks beyond this many are given up when another one is needed."""


class Batches:
    """What runs in one engine. Only the denoising thread uses it.

    A boundary is `begin`, then `step`, then `hand_out` for what it leaves to others.
    """

    def __init__(
        self,
        variants: Mapping[str, Variant],
        ladder: Ladder,
        places: int,
        rules: ExitRules,
        tuner: ThresholdTuner | None,
        costs: ServiceCosts,
        calls: Calls,
    ) -> None:
        self._calls = calls
        self._costs = costs
        self._due: list[Due] = []
        self._left: list[str] = []
        self._variants = variants
        self._ladder = ladder
        self._places = places
        self._rules = rules
        self._tuner = tuner
        self._banks: dict[tuple[str, int, int], SlotBank] = {}
        self._joined = count()
        self._applied = 0
        self._signals = Signals(late=next(iter(variants.values())).device.type == "cuda")

    def __len__(self) -> int:
        return sum(len(bank) for bank in self._banks.values())

    def begin(self, notes: Notes) -> list[EngineEvent]:
        """Drop the cancelled, take in the ready, and let jobs exit early as the notes say."""
        for bank in self._banks.values():
            for job in [job for job in bank.jobs if job.request.job_id in notes.cancelled]:
                self._leave(bank, job)
        events: list[EngineEvent] = []
        for one in notes.ready:
            events += self._own("join", one.request, partial(self._join, one))
        asked = self._asked_to_exit(notes)
        for bank in list(self._banks.values()):
            for job in _by_age(bank):
                if asked is None or job.request.job_id in asked:
                    exit_early = partial(self._exit_early, bank, job, notes)
                    events += self._own("exit", job.request, exit_early)
        return events

    def step(self) -> list[EngineEvent]:
        """One step of every running job; what has come to its end leaves the batch."""
        events: list[EngineEvent] = []
        for bank in [bank for bank in self._banks.values() if bank.jobs]:
            for job in [job for job in bank.jobs[: bank.guided] if not job.guidance_due]:
                events += self._own("guidance", job.request, partial(bank.drop_guidance, job))
            events += self._step_bank(bank)
        running = [job.request for bank in self._banks.values() for job in bank.jobs]
        for signal in self._calls.waited("step", running, self._signals.arrived):
            signal.job.broken |= not signal.finite
            if signal.job.watched and self._tuner is not None:
                steps = signal.job.steps_run
                signal.job.converged |= self._tuner.exits(steps, signal.change)
        for bank in self._banks.values():
            for job in _by_age(bank):
                told: list[EngineEvent] = []
                after = partial(self._after_step, bank, job, told)
                events += self._own("after", job.request, after) or told
        return events

    def hand_out(self) -> tuple[list[Due], list[str]]:
        """The latents to decode and the ids of the jobs that have left, each told once."""
        told, self._due, self._left = (self._due, self._left), [], []
        return told

    def warm_up(self, variant: Variant, width: int, height: int) -> None:
        """Call the variant's model with every number of rows that it will be called with."""
        text = variant.encoder.encode((None,))[0]
        rehearse = partial(self._bank_for(variant, width, height).rehearse, text=text)
        key = Key(variant.name, width, height, "step")
        self._calls.warm_up(key, 2 if variant.guided else 1, rehearse, variant.rows_for)

    # -- joining and leaving --------------------------------------------------------------------

    def _own(
        self, stage: str, request: PictureRequest, work: Callable[[], object]
    ) -> list[EngineEvent]:
        """Do what concerns one job alone; if it fails, the job leaves the batch."""
        key = Key(request.service.variant, request.width, request.height, stage)
        failed = self._calls.run(key, (request,), lambda first, last: work())
        if failed:
            self._due = [one for one in self._due if one.job.request is not request]
            held = [(bank, job) for bank in self._banks.values() for job in bank.jobs]
            for bank, job in held:
                if job.request is request:
                    bank.leave(job)
            self._left.append(request.job_id)
        return [*failed]

    def _join(self, ready: Ready) -> None:
        request = ready.request
        variant = self._variants[request.service.variant]
        audited = (
            request.converge and self._tuner is not None and self._tuner.is_audited(request.job_id)
        )
        job = RunningJob(request, variant, ready.started_s, audited=audited)
        latents = job.draw().to(variant.device) * job.plan.initial_scale
        job.joined = next(self._joined)
        bank = self._bank_for(variant, request.width, request.height)
        bank.join(job, latents, ready.prompt, ready.negative)

    def _bank_for(self, variant: Variant, width: int, height: int) -> SlotBank:
        """The bank of this variant and size. Banks step in the order in which they came to life."""
        key = variant.name, width, height
        bank = self._banks.get(key)
        if bank is None:
            empty = [other for other, held in self._banks.items() if not held.jobs]
            for other in empty[: max(0, len(self._banks) - BANKS_KEPT + 1)]:
                del self._banks[other]
            bank = SlotBank(variant, width, height, self._places)
        elif not bank.jobs:
            del self._banks[key]
        self._banks[key] = bank
        return bank

    def _leave(self, bank: SlotBank, job: RunningJob) -> None:
        bank.leave(job)
        self._left.append(job.request.job_id)

    def _finish(
        self, bank: SlotBank, job: RunningJob, latents: torch.Tensor, exit: EarlyExit | None = None
    ) -> None:
        """Have `latents` decoded as the job's picture and free its place."""
        if exit is not None:
            job.early_exit = exit
        self._decode(job, latents, None)
        self._leave(bank, job)

    def _decode(self, job: RunningJob, latents: torch.Tensor, partial: int | None) -> None:
        kept = latents[job.row : job.row + 1].clone()  # the row goes to somebody else
        self._due.append(Due(job, kept, partial, stamped(kept)))

    # -- early exits ----------------------------------------------------------------------------

    def _asked_to_exit(self, notes: Notes) -> set[str] | None:
        """The jobs that the notes can do something to; None: all of them.

        A re-plan or hand-over that a rung does not cause now it will not cause later either, so
        only what is new (a rung, a job) can change. How far a job is decides about finishing.
        """
        if notes.announced != self._applied or self._rules.on_lower == "finish":
            self._applied = notes.announced
            return None
        new = {one.request.job_id for one in notes.ready}
        return new | notes.lowered.keys() | notes.finish_now

    def _exit_early(self, bank: SlotBank, job: RunningJob, notes: Notes) -> None:
        """Apply what the load asks of a running job: nothing, fewer steps, the end, or a move."""
        if job.steps_run > 0 and job.request.job_id in notes.finish_now:
            self._finish(bank, job, bank.state.estimate, "finish")
            return
        change = changed(
            job.service,
            job.steps_planned,
            job.steps_run,
            floor=job.request.floor,
            announced=max(notes.announced, notes.lowered.get(job.request.job_id, 0)),
            ladder=self._ladder,
            rules=self._rules,
            fixed=job.request.fixed,
            pinned=job.request.pinned,
        )
        if change is None:
            return
        job.service, job.early_exit = change.service, change.exit
        if change.steps_planned == job.steps_run:
            self._finish(bank, job, bank.state.estimate)
            return
        if change.steps_planned < job.steps_planned:
            factor = job.replan(change.steps_planned)
            if factor != 1.0:
                bank.rescale(job, factor)
            bank.set_plan(job)
        if change.service.variant != job.variant.name:
            self._hand_over(bank, job, self._variants[change.service.variant])

    def _hand_over(self, bank: SlotBank, job: RunningJob, variant: Variant) -> None:
        latents = bank.state.latents[job.row : job.row + 1].clone()
        prompt, negative = embeddings_of(job.request, variant)
        bank.leave(job)
        job.hand_over(variant)
        job.joined = next(self._joined)
        target = self._bank_for(variant, job.request.width, job.request.height)
        target.join(job, latents, prompt, negative if job.guidance_due else None)

    # -- one step -------------------------------------------------------------------------------

    def _step_bank(self, bank: SlotBank) -> list[EngineEvent]:
        """Step all jobs of a bank, in as few calls as memory allows; who cannot be stepped fails."""
        size = bank.width, bank.height
        jobs = tuple(bank.jobs)

        def step(first: int, last: int) -> None:
            guided, began_s = bank.guided_in(first, last), self._costs.clock()
            step_rows(bank, first, last, self._signals)
            self._costs.stepped(bank.variant.name, size, last - first, guided, began_s)

        key, requests = Key(bank.variant.name, *size, "step"), [job.request for job in jobs]
        failed = self._calls.run(key, requests, step, bank.rehearse, bank.rows_in)
        gone = {one.job_id for one in failed}
        for job in jobs:
            if job.request.job_id in gone:
                self._leave(bank, job)
        return [*failed]

    def _after_step(self, bank: SlotBank, job: RunningJob, told: list[EngineEvent]) -> None:
        """See to what a step has brought, and tell it last."""
        job_id = job.request.job_id
        if job.broken:
            self._leave(bank, job)
            told.append(PictureFailed(job_id, NOT_A_NUMBER, "not_a_number"))
            return
        state = bank.state
        job.remember(state.estimate[job.row])
        if job.remaining == 0:
            audit = job.audit()
            self._finish(bank, job, state.latents)
            if audit is not None and self._tuner is not None:
                self._tuner.add(audit)
        elif job.converged:
            self._finish(bank, job, state.estimate, "converged")
        elif job.partial_due():
            self._decode(job, state.estimate, job.partials_sent)
            job.partials_sent += 1
        told.append(StepDone(job_id, job.steps_run, job.steps_planned))


def _by_age(bank: SlotBank) -> list[RunningJob]:
    """The bank's jobs in the order in which they joined it, whatever rows they have come to since.

    Whoever ends first is told first, so this order must not hang on how rows are moved.
    """
    return sorted(bank.jobs, key=lambda job: job.joined)
