"""What a deadline needs: when a job must have started, and whether that can still be."""

from __future__ import annotations

from policies.commands import DropReason
from policies.fleet import Fleet
from policies.line import LaneKey, Place, WaitingLine
from policies.matching import Matcher
from policies.nouns import Job
from policies.policy import Policy


class Prospects:
    """Estimates by the cost table, for the admission that refuses the hopeless."""

    def __init__(self, policy: Policy, fleet: Fleet, line: WaitingLine, matcher: Matcher) -> None:
        self._policy = policy
        self._fleet = fleet
        self._line = line
        self._matcher = matcher
        self._regroupings = fleet.regroupings

    def follow_fleet(self) -> None:
        """Date anew when waiting jobs become hopeless, if there are other kinds of engines now."""
        if self._policy.admission.refuse_hopeless and self._regroupings != self._fleet.regroupings:
            self._regroupings = self._fleet.regroupings
            self._line.date_drops(self.leaves)

    def is_hopeless(self, key: LaneKey, job: Job, place: Place, now_s: float) -> bool:
        """Whether the job would be late even at the lowest rung that it may get.

        Those before it in the line are taken to leave as quickly as the controller can make them.
        While no engine that is up hosts anything for it nothing is known, and so nothing hopeless.
        """
        run_s = self._quickest_s(key, job)
        if job.deadline_s is None or run_s is None:
            return False
        return now_s + self._wait_s(key, job, place) + run_s > job.deadline_s

    def leaves(self, key: LaneKey, job: Job) -> tuple[float | None, DropReason]:
        """When the job must leave the line unserved, and why; None if never.

        It goes by the engines that are up now: see `follow_fleet`.
        """
        if job.deadline_s is None:
            return None, "expired"
        run_s = self._quickest_s(key, job) if self._policy.admission.refuse_hopeless else None
        if run_s is None:
            return job.deadline_s, "expired"
        return job.deadline_s - run_s, "hopeless"

    def _wait_s(self, key: LaneKey, job: Job, place: Place) -> float:
        deepest = self._policy.controller.deepest
        services = self._matcher.services(key, job, deepest)
        if any(self._fleet.open_groups(service.variant) for service in services):
            return 0.0
        return (self._line.before(place) + 1) / self._fleet.quickest_per_s(deepest)

    def _quickest_s(self, key: LaneKey, job: Job) -> float | None:
        """The shortest run in a full batch that it may get; None if nobody hosts any."""
        services = self._matcher.services(key, job, self._policy.controller.deepest)
        return min(
            (
                self._fleet.run_s(group, service)
                for service in services
                for group in self._fleet.hosting(service.variant)
            ),
            default=None,
        )
