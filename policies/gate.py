"""Whether a job that arrives is let into the line."""

from __future__ import annotations

from policies.commands import RejectJob, RejectReason
from policies.ledger import Ledger
from policies.line import LaneKey, WaitingLine
from policies.matching import Matcher
from policies.nouns import Job
from policies.policy import Policy
from policies.prospects import Prospects


class Gate:
    """Applies the bounds of a policy's admission; what the ladder cannot serve is refused under any."""

    def __init__(
        self,
        policy: Policy,
        line: WaitingLine,
        matcher: Matcher,
        prospects: Prospects,
        ledger: Ledger,
    ) -> None:
        self._admission = policy.admission
        self._line = line
        self._matcher = matcher
        self._prospects = prospects
        self._ledger = ledger

    def refusal(
        self, job: Job, seq: int, start_rung: int | None, now_s: float, *, again: bool
    ) -> RejectJob | None:
        """The answer to a job that is not let in; None if it is. `again` as in `JobArrived`."""
        reason = self._reason(job, seq, start_rung, now_s, again=again)
        if reason is None:
            return None
        may_retry = reason in ("queue_full", "tenant_full")
        retry_after_s = self._ledger.retry_after_s(len(self._line), now_s) if may_retry else None
        return RejectJob(job.job_id, reason, retry_after_s)

    def _reason(
        self, job: Job, seq: int, start_rung: int | None, now_s: float, *, again: bool
    ) -> RejectReason | None:
        key = LaneKey.of(job, start_rung)
        if not self._matcher.can_ever_start(key, job):
            return "no_rung"
        if again:
            return None  # it was accepted once, and the bounds applied then
        if self._matcher.is_too_dear(key, job):
            return "no_rung"
        if len(self._line) >= self._admission.max_waiting:
            return "queue_full"
        held, most = self._ledger.of_tenant(job.tenant), self._admission.tenant_max
        if most is not None and held >= most:
            return "tenant_full"
        if self._admission.refuse_hopeless:
            place = self._line.place_of(job, seq, self._matcher.steps(key, job))
            if self._prospects.is_hopeless(key, job, place, now_s):
                return "hopeless"
        return None
