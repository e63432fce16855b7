"""The pictures of one setting, made by the step engine, and what each of them took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.convergence import Audit, ConvergenceReport, ConvergenceSettings
from pipelines.embedded.scenes import PICTURE_PX
from pipelines.engine import StepEngine
from pipelines.jobs import (
    EarlyExit,
    PictureDone,
    PictureFacts,
    PictureFailed,
    PictureRequest,
    StepDone,
)
from pipelines.loading import Variant
from pipelines.quality import Pictures
from pipelines.quality_study.settings import Setting, Strategy
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service

AUDITED_SHARE = 0.05
_AT_ONCE = 1e-6  # finish_from: the announcement comes at the step that is to be the last
_EXPECTED: Mapping[Strategy, EarlyExit] = {
    "replan": "replan",
    "finish": "finish",
    "hand_over": "hand_over",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What to draw, the same for every setting."""

    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps that one variant ran for one picture: with guidance, and without."""

    guided: int
    plain: int

    @property
    def rows(self) -> int:
        """Evaluations of the network: guidance takes two a step."""
        return 2 * self.guided + self.plain


@dataclass(frozen=True)
class Made:
    """Pictures (N, H, W, 3) of one setting in the subjects' order, what each got, and what it took.

    `steps` by variant. `audits` by the subject's index, if all were audited, else none. `tuner` is
    the convergence tuner's last report, and None where there was none.
    """

    pictures: Pictures
    facts: tuple[PictureFacts, ...]
    steps: tuple[Mapping[str, Steps], ...]
    audits: Mapping[int, Audit]
    tuner: ConvergenceReport | None


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes every setting's pictures with the same variants, batch, threads and side in pixels."""

    variants: Mapping[str, Variant]
    max_batch: int
    threads: int | None
    seed: int
    side_px: int = PICTURE_PX

    def make(
        self, setting: Setting, subjects: Sequence[Subject], known: Sequence[Audit] = ()
    ) -> Made:
        """Make all pictures. A tuner begins with the audits `known`.

        RuntimeError if a picture fails, or if the engine did not do what the setting says.
        """
        convergence = None
        if setting.loss_budget is not None:
            convergence = ConvergenceSettings(
                setting.loss_budget, audited_share=AUDITED_SHARE, seed=self.seed
            )
        return self._make(setting, subjects, convergence, known)

    def audited(self, setting: Setting, subjects: Sequence[Subject]) -> Made:
        """The same pictures as `make`, every one audited on its way."""
        whole = ConvergenceSettings(
            loss_budget=1.0,
            audited_share=1.0,
            window=max(len(subjects), ConvergenceSettings.audits_min),
        )
        return self._make(setting, subjects, whole, ())

    def _make(
        self,
        setting: Setting,
        subjects: Sequence[Subject],
        convergence: ConvergenceSettings | None,
        known: Sequence[Audit],
    ) -> Made:
        engine = self._engine(setting, convergence)
        for audit in known:
            assert engine.tuner is not None
            engine.tuner.add(audit)
        everybody = convergence is not None and convergence.audited_share == 1
        run = _Run(engine, setting, all_audited=everybody)
        requests = [
            self._request(setting, number, subject, converge=convergence is not None)
            for number, subject in enumerate(subjects)
        ]
        # An announcement meets every running job at once: all must stand at the same step then.
        together = len(requests) if setting.exit_after is None else self.max_batch
        for start in range(0, len(requests), together):
            run.run(requests[start : start + together])
        return run.made(len(subjects))

    def _engine(self, setting: Setting, convergence: ConvergenceSettings | None) -> StepEngine:
        fixed = self.variants[setting.variant].fixed_schedule
        rungs = [
            Rung(
                setting.variant,
                setting.steps,
                "high",
                replannable=not fixed,
                guidance_share=setting.guidance_share,
            )
        ]
        rules = ExitRules("keep")
        if setting.strategy == "finish":
            rungs.append(Rung(setting.variant, 1, "low"))
            rules = ExitRules("finish", finish_from=_AT_ONCE)
        elif setting.to_variant is not None and setting.to_steps is not None:
            rungs.append(Rung(setting.to_variant, setting.to_steps, "low"))
            rules = ExitRules("replan")
            if setting.strategy == "hand_over":
                takers = frozenset((setting.to_variant,))
                rules = ExitRules("hand_over", hands_over={setting.variant: takers})
        used = {rung.variant: self.variants[rung.variant] for rung in rungs}
        return StepEngine(
            used,
            Ladder(tuple(rungs)),
            self.max_batch,
            rules,
            convergence=convergence,
            threads=self.threads,
        )

    def _request(
        self, setting: Setting, number: int, subject: Subject, *, converge: bool
    ) -> PictureRequest:
        return PictureRequest(
            job_id=str(number),
            prompt=subject.prompt,
            service=Service(setting.variant, setting.steps, 0, setting.guidance_share),
            seed=subject.seed,
            width=self.side_px,
            height=self.side_px,
            sampler=setting.sampler,
            floor=1 if setting.exit_after is not None else 0,
            converge=converge,
        )


class _Run:
    """One engine's way through the requests of a setting."""

    def __init__(
        self,
        engine: StepEngine,
        setting: Setting,
        *,
        all_audited: bool,
    ) -> None:
        self._engine = engine
        self._setting = setting
        self._all_audited = all_audited
        self._finished: dict[int, PictureDone] = {}
        self._audits: dict[int, Audit] = {}
        self._left_after: dict[int, int] = {}  # steps run when the lower rung was announced

    def run(self, requests: Sequence[PictureRequest]) -> None:
        self._engine.announce(0)
        for request in requests:
            self._engine.submit(request)
        while self._engine.has_work():
            events = self._engine.step()
            for event in events:
                if isinstance(event, PictureFailed):
                    raise RuntimeError(f"{self._setting.name}: {event.message}")
                if isinstance(event, PictureDone):
                    self._take(event)
                if isinstance(event, StepDone) and event.steps_run == self._setting.exit_after:
                    self._left_after[int(event.job_id)] = event.steps_run
                    self._engine.announce(1)
            if self._all_audited:
                self._take_audits([e for e in events if isinstance(e, PictureDone)])

    def _take_audits(self, done: Sequence[PictureDone]) -> None:
        """A boundary hands in the audits in the order in which it lets the pictures go."""
        assert self._engine.tuner is not None
        new = self._engine.tuner.audits[len(self._audits) :]
        for one, audit in zip(done, new, strict=True):
            self._audits[int(one.job_id)] = audit

    def _take(self, done: PictureDone) -> None:
        expected = _EXPECTED.get(self._setting.strategy)
        if expected is not None and done.facts.early_exit != expected:
            raise RuntimeError(
                f"{self._setting.name}: job {done.job_id} ended by {done.facts.early_exit!r}."
            )
        self._finished[int(done.job_id)] = done

    def made(self, count: int) -> Made:
        done = [self._finished[number] for number in range(count)]
        tuner = self._engine.tuner
        return Made(
            pictures=np.stack([one.image for one in done]),
            facts=tuple(one.facts for one in done),
            steps=tuple(self._steps(number, one.facts) for number, one in enumerate(done)),
            audits=self._audits,
            tuner=None if tuner is None else tuner.report(),
        )

    def _steps(self, number: int, facts: PictureFacts) -> Mapping[str, Steps]:
        """By variant. Which of two variants ran a step is known from the step of the announcement."""
        plain = facts.steps_run - facts.guided_steps
        if facts.early_exit != "hand_over":
            return {facts.variant: Steps(facts.guided_steps, plain)}
        before = self._left_after[number]
        guided_before = min(before, facts.guided_steps)
        guided_after = facts.guided_steps - guided_before
        return {
            self._setting.variant: Steps(guided_before, before - guided_before),
            facts.variant: Steps(guided_after, facts.steps_run - before - guided_after),
        }
