"""What a deadline needs: when a job must have started, and whether that can still be."""

from __future__ import annotations

import math

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

    def is_hopeless(self, key: LaneKey, job: Job, place: Place, now_s: float) -> bool:
        """Whether the job would be late even at the lowest rung that it may get.

        Those before it in the line are taken to leave as quickly as the controller can make them.
        With no engine up nothing is known, and so nothing hopeless.
        """
        if job.deadline_s is None or not self._fleet.engines:
            return False
        return now_s + self._wait_s(key, job, place) + self._quickest_s(key, job) > job.deadline_s

    def leaves(self, key: LaneKey, job: Job) -> tuple[float | None, DropReason]:
        """When the job must leave the line unserved, and why; None if never."""
        if job.deadline_s is None:
            return None, "expired"
        if self._policy.admission.refuse_hopeless and self._fleet.engines:
            return job.deadline_s - self._quickest_s(key, job), "hopeless"
        return job.deadline_s, "expired"

    def _wait_s(self, key: LaneKey, job: Job, place: Place) -> float:
        deepest = self._policy.controller.deepest
        services = self._matcher.services(key, job, deepest)
        if any(self._fleet.open_groups(service.variant) for service in services):
            return 0.0
        quickest_per_s = max(self._fleet.capacity_per_s[: deepest + 1])
        if quickest_per_s <= 0.0:
            return math.inf
        return (self._line.before(place) + 1) / quickest_per_s

    def _quickest_s(self, key: LaneKey, job: Job) -> float:
        """The shortest run in a full batch that it may get, infinite if nobody hosts it."""
        services = self._matcher.services(key, job, self._policy.controller.deepest)
        return min(
            (
                self._fleet.run_s(group, service)
                for service in services
                for group in self._fleet.hosting(service.variant)
            ),
            default=math.inf,
        )
