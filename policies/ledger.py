"""What has become of all jobs so far: counts, tenants, rates and delivered quality."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from policies.nouns import Job
from policies.rate import RateMeter

RECENT_SHARE = 0.2
"""The share of the rate window over which the recent rate of arrivals is taken."""

RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs so far.

    admitted == finished + cancelled + failed + expired + hopeless + waiting + running. `rejected`
    jobs were never admitted. `requeued` counts returns to the line after a loss, `redone` those
    after a picture that was not good enough.
    """

    admitted: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    expired: int = 0
    hopeless: int = 0
    rejected: int = 0
    requeued: int = 0
    redone: int = 0
    waiting: int = 0
    running: int = 0


class Ledger:
    """Kept by the dispatcher. `scores` by rung, if the ladder tells them."""

    def __init__(self, rate_window_s: float, scores: Sequence[float] | None) -> None:
        self.admitted = self.finished = self.cancelled = self.failed = 0
        self.expired = self.hopeless = self.rejected = self.requeued = self.redone = 0
        self.score_sum, self.scored = 0.0, 0
        self.arrivals = RateMeter(rate_window_s)
        self.recent = RateMeter(RECENT_SHARE * rate_window_s)
        self._finishes = RateMeter(rate_window_s)
        self._scores = scores
        self._in_system: Counter[str] = Counter()

    def counts(self, waiting: int, running: int) -> Counts:
        """The conserved quantities."""
        return Counts(
            admitted=self.admitted,
            finished=self.finished,
            cancelled=self.cancelled,
            failed=self.failed,
            expired=self.expired,
            hopeless=self.hopeless,
            rejected=self.rejected,
            requeued=self.requeued,
            redone=self.redone,
            waiting=waiting,
            running=running,
        )

    def arrived(self, now_s: float) -> None:
        """A job that is not known came."""
        self.arrivals.note(now_s)
        self.recent.note(now_s)

    def delivered(self, now_s: float, rung: int | None) -> None:
        """A picture is made, at this rung as far as it is known."""
        self.finished += 1
        self._finishes.note(now_s)
        if self._scores is not None and rung is not None:
            self.score_sum += self._scores[rung]
            self.scored += 1

    def enters(self, job: Job) -> None:
        """A job of its tenant is in the system from now on."""
        self._in_system[job.tenant] += 1

    def leaves(self, job: Job) -> None:
        """It no longer is."""
        self._in_system[job.tenant] -= 1
        if not self._in_system[job.tenant]:
            del self._in_system[job.tenant]

    def of_tenant(self, tenant: str) -> int:
        """Jobs of a tenant that wait or run."""
        return self._in_system.get(tenant, 0)

    def retry_after_s(self, waiting: int, now_s: float) -> float:
        """How long a line takes to drain at the recent pace, within bounds."""
        finish_rate_per_s = self._finishes.per_second(now_s)
        if finish_rate_per_s <= 0:
            return RETRY_AFTER_MIN_S
        drain_s = math.ceil(waiting / finish_rate_per_s)
        return min(RETRY_AFTER_MAX_S, max(RETRY_AFTER_MIN_S, float(drain_s)))
