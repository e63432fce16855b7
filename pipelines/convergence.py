"""When a job may end because its clean estimate stands still, tuned so that the loss stays in a budget.

The idea is Apparate's (Dai et al. 2024, arXiv 2312.05385), there for classifiers: let most jobs exit
early, run a small share to the end all the same, see on those what each threshold would have lost,
and set the threshold by that. Here the signal is how much the clean estimate changes from one step
to the next, and the loss is its distance to the estimate that the whole run ends with.

Pure: no clock, no randomness, no torch. One tuner serves one engine.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

THRESHOLDS: NDArray[np.float64] = np.geomspace(1e-4, 2.0, 200)
"""The thresholds a tuner chooses from, 5 % apart; a change beyond 2 is no convergence at all."""

_CONFIDENCE = 0.95
_NEWEST = 4  # the newest 1/4 of the window must hold the budget too, so that a drift shows early


@dataclass(frozen=True)
class ConvergenceSettings:
    """How early jobs may end that asked for it.

    loss_budget: the mean loss allowed, as ||e_exit - e_last|| / ||e_last|| of the clean latents.
    audited_share: of those jobs, the share (0 to 1) run to the end to measure it. Nobody exits
    before `audits_min` of them; the newest `window` count. Nobody exits before `steps_min` steps.
    `seed` chooses which jobs are audited. ValueError for settings that cannot work.
    """

    loss_budget: float
    audited_share: float = 0.05
    audits_min: int = 20
    window: int = 200
    steps_min: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.loss_budget) and self.loss_budget > 0):
            raise ValueError(
                f"loss_budget must be above 0, got {self.loss_budget}; a job that may lose nothing"
                " cannot end early, so do not ask it to converge."
            )
        if not 0 < self.audited_share <= 1:
            raise ValueError(
                f"audited_share must be above 0 and at most 1, got {self.audited_share}; without"
                " audits the loss is not known."
            )
        if self.audits_min < 2:
            raise ValueError(
                f"audits_min must be at least 2, got {self.audits_min}; one audit has no spread."
            )
        if self.window < self.audits_min:
            raise ValueError(
                f"window must be at least audits_min, got {self.window} and {self.audits_min};"
                " a window that never holds enough audits lets nobody exit."
            )
        if self.steps_min < 2:
            raise ValueError(
                f"steps_min must be at least 2, got {self.steps_min}; the first step has nothing"
                " to be compared with."
            )


@dataclass(frozen=True)
class Audit:
    """What one job that was run to its end tells about exits on the way.

    Entry k belongs to step k+1. change: ||e_k - e_(k-1)|| / ||e_k|| of the clean latents, infinite
    for the first; loss: ||e_k - e_last|| / ||e_last||. ValueError for lengths or values that
    cannot be.
    """

    changes: tuple[float, ...]
    losses: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.changes or len(self.changes) != len(self.losses):
            raise ValueError(
                "an audit needs one change and one loss per step, got"
                f" {len(self.changes)} and {len(self.losses)}"
            )
        if not all(change >= 0 for change in self.changes):
            raise ValueError(f"changes must be numbers of at least 0, got {self.changes}")
        if not all(math.isfinite(loss) and loss >= 0 for loss in self.losses):
            raise ValueError(f"losses must be finite and at least 0, got {self.losses}")


@dataclass(frozen=True)
class ConvergenceReport:
    """What a tuner knows now, from the audits in its window.

    The losses and steps are those of the window's jobs had they all exited at `threshold`; jobs
    that would not have exited count with loss 0 and no step saved. mean_loss_low and _high bound
    the mean by 95 % one-sided each. exit_share is the share that would have exited early,
    steps_saved the mean of the steps spared and steps_full the mean of the whole runs.
    """

    audits: int
    threshold: float
    loss_budget: float
    mean_loss: float
    mean_loss_low: float
    mean_loss_high: float
    exit_share: float
    steps_saved: float
    steps_full: float


class ThresholdTuner:
    """The threshold below which a change counts as standing still, kept by audits within a budget.

    A threshold t is within budget if, over the audits in the window,

    - the upper 95 % bound (one-sided, Student) of the mean loss at t is at most the budget,
    - so is that of those which would exit at t alone (their plain mean, while they are fewer than
      `audits_min`), so that jobs which run to the end do not pay for those that exit, and
    - so is the plain mean of those of them in the window's newest quarter, if that holds
      `audits_min` audits: a drift shows there first.

    The threshold is the largest for which all smaller ones are within budget as well. Going up from
    the safe end and stopping at the first failure is fixed-sequence testing, which needs no
    correction for the many thresholds tried (Learn then Test, Angelopoulos et al. 2021,
    arXiv 2110.01052).

    `add` belongs to one thread; `exits` and `is_audited` may be called from any. Memory is bounded
    by the window.
    """

    def __init__(self, settings: ConvergenceSettings, audits: Iterable[Audit] = ()) -> None:
        """`audits` of an earlier tuner, oldest first, spare a new one the wait."""
        self.settings = settings
        self.threshold = 0.0
        self._audits: deque[Audit] = deque(maxlen=settings.window)
        self._outcomes: deque[_Outcome] = deque(maxlen=settings.window)
        for audit in audits:
            self._note(audit)
        self._retune()

    @property
    def audits(self) -> tuple[Audit, ...]:
        """The audits in the window, oldest first."""
        return tuple(self._audits)

    def is_audited(self, job_id: str) -> bool:
        """Whether this job is run to its end: always the same answer for a seed and an id."""
        text = f"{self.settings.seed}:{job_id}".encode()
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        return number < self.settings.audited_share * 2**64

    def exits(self, steps_run: int, change: float) -> bool:
        """Whether a job may end whose estimate changed by `change` in its latest step."""
        return steps_run >= self.settings.steps_min and 0 <= change <= self.threshold != 0

    def add(self, audit: Audit) -> None:
        """Take in what an audited job showed, forget the oldest beyond the window, and retune."""
        self._note(audit)
        self._retune()

    def report(self) -> ConvergenceReport:
        """What the audits in the window say about the present threshold; NaN where there are none."""
        if not self._outcomes:
            nan = math.nan
            return ConvergenceReport(
                0, self.threshold, self.settings.loss_budget, nan, nan, nan, nan, nan, nan
            )
        at = int(np.searchsorted(THRESHOLDS, self.threshold)) if self.threshold else None
        losses = np.array([0.0 if at is None else one.losses[at] for one in self._outcomes])
        saved = np.array([0.0 if at is None else one.saved[at] for one in self._outcomes])
        mean, margin = _mean_and_margin(losses[:, None], np.array([len(losses)]))
        return ConvergenceReport(
            audits=len(losses),
            threshold=self.threshold,
            loss_budget=self.settings.loss_budget,
            mean_loss=float(mean[0]),
            mean_loss_low=max(0.0, float(mean[0] - margin[0])),
            mean_loss_high=float(mean[0] + margin[0]),
            exit_share=float(np.mean(saved > 0)),
            steps_saved=float(np.mean(saved)),
            steps_full=float(np.mean([len(audit.changes) for audit in self._audits])),
        )

    def _note(self, audit: Audit) -> None:
        self._audits.append(audit)
        self._outcomes.append(_outcome(audit, self.settings.steps_min))

    def _retune(self) -> None:
        count = len(self._outcomes)
        if count < self.settings.audits_min:
            return
        budget = self.settings.loss_budget
        losses = np.stack([one.losses for one in self._outcomes])
        exited = np.stack([one.saved > 0 for one in self._outcomes])
        mean, margin = _mean_and_margin(losses, np.full(len(THRESHOLDS), count))
        within = mean + margin <= budget
        exits = exited.sum(axis=0)
        mean, margin = _mean_and_margin(losses, exits)
        within &= mean + np.where(exits < self.settings.audits_min, 0.0, margin) <= budget
        newest = count // _NEWEST
        if newest >= self.settings.audits_min:
            within &= losses[-newest:].sum(axis=0) <= budget * exited[-newest:].sum(axis=0)
        allowed = len(within) if within.all() else int(np.argmin(within))
        self.threshold = float(THRESHOLDS[allowed - 1]) if allowed else 0.0


@dataclass(frozen=True)
class _Outcome:
    """At each of `THRESHOLDS`: the loss of one audited job, and the steps it would have spared."""

    losses: NDArray[np.float64]
    saved: NDArray[np.int64]


def _outcome(audit: Audit, steps_min: int) -> _Outcome:
    """The job exits at the first step, the last excepted, at which its change is at most the threshold."""
    length = len(audit.changes)
    changes = np.array(audit.changes[steps_min - 1 : length - 1])
    if not len(changes):
        return _Outcome(np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS), dtype=np.int64))
    still = changes[None, :] <= THRESHOLDS[:, None]
    at = np.argmax(still, axis=1) + steps_min - 1  # index of the step; meaningless where none is
    exits = still.any(axis=1)
    losses = np.where(exits, np.array(audit.losses)[at], 0.0)
    return _Outcome(losses, np.where(exits, length - 1 - at, 0))


def _mean_and_margin(
    losses: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column means of (audits, thresholds), and how far above them their 95 % bounds lie.

    `counts` are the audits that each mean is over: the others have a loss of 0. A mean over none is
    0, and the margin of fewer than two is infinite.
    """
    several = np.maximum(counts, 2)
    mean = losses.sum(axis=0) / np.maximum(counts, 1)
    squares = np.square(losses).sum(axis=0) - counts * np.square(mean)
    deviation = np.sqrt(np.maximum(squares, 0.0) / (several - 1))
    margin = stdtrit(several - 1, _CONFIDENCE) * deviation / np.sqrt(several)
    return mean, np.where(counts < 2, math.inf, margin)
