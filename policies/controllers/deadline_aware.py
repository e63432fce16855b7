"""Per job: the best service that still meets its deadline, by the cost table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from policies.controllers.base import ControllerState
from policies.controllers.load_proportional import LoadProportional
from policies.load import Load
from policies.nouns import Job


class Timed(Protocol):
    """Something that is expected to be complete at a time, in seconds on the driver's clock."""

    @property
    def completes_s(self) -> float:
        """When."""


OfferT = TypeVar("OfferT", bound=Timed)


@dataclass(frozen=True, slots=True)
class DeadlineAware:
    """Gives each job the best service that still meets its own deadline.

    The dispatcher asks for each job as it starts (`due_s`, then `choose`) and as its engine reports
    progress (`lowered`). A job without a deadline should be complete `target_s` after its arrival;
    `margin_s` is kept free before every deadline for what the prediction misses. No job goes below
    rung `deepest`.

    A job that spends all its slack on quality keeps its place so long that those behind it miss
    their own deadlines. Two bounds keep it from that. While others wait, a job may spend only
    `share` of the time that it has left: 1 is greedy, 0 gives everybody the quickest service as soon
    as there is a line. And no job gets a rung at which the line would take longer than `drain_s` to
    drain (`LoadProportional`); infinite, the line has no say and the rung for all stays at 0.

    What is spent in a calm moment is missing a moment later: scores fall faster the fewer the
    steps, so a steady rung gives more than a high one and a low one in turn. With `pace`, no job
    gets a better rung than the best whose capacity covers `pace` times the arrival rate. A little
    below 1 it leaves to the deadlines to find the mean between two rungs; 0 leaves the rate out.

    Meeting each request's deadline from predicted execution times is the idea of Clockwork
    (Gujarati et al., OSDI 2020), which drops what would be late and leaves the model as it is;
    here the service is lowered instead.
    ValueError unless deepest >= 0, target_s > 0, margin_s >= 0, 0 <= share <= 1, drain_s > 0 and
    pace >= 0.
    """

    deepest: int
    target_s: float
    margin_s: float = 0.0
    share: float = 1.0
    drain_s: float = math.inf
    pace: float = 0.0

    def __post_init__(self) -> None:
        if self.deepest < 0:
            raise ValueError(f"deepest rung {self.deepest} must be a ladder index >= 0")
        if not self.target_s > 0:
            raise ValueError(f"target_s {self.target_s} must be above 0")
        if not self.margin_s >= 0:
            raise ValueError(f"margin_s {self.margin_s} must not be negative")
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share {self.share} must lie between 0 and 1")
        if not self.drain_s > 0:
            raise ValueError(f"drain_s {self.drain_s} must be above 0")
        if not self.pace >= 0:
            raise ValueError(f"pace {self.pace} must not be negative")

    @property
    def needs_costs(self) -> bool:
        """Completion times are predicted from the cost table."""
        return True

    def initial(self) -> ControllerState:
        """The best rung for whoever can have it in time."""
        return ControllerState(0, -math.inf)

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """The best rung at which the line drains in time and that the rate allows; each job may get
        a lower one."""
        wanted = state
        if not math.isinf(self.drain_s):
            wanted = LoadProportional(self.drain_s, self.deepest).decide(load, state)
        if self.pace == 0:
            return wanted
        rung = self._paced(load)
        if not math.isinf(self.drain_s):
            rung = max(rung, wanted.rung)
        return state if rung == state.rung else ControllerState(rung, load.now_s)

    def _paced(self, load: Load) -> int:
        """The best rung whose capacity covers the rate times `pace`, else that of most capacity."""
        capacity_per_s = load.capacity_per_s[: self.deepest + 1]
        rate_per_s = self.pace * load.arrival_rate_per_s
        found = (
            rung for rung, most in enumerate(capacity_per_s) if most > 0 and most >= rate_per_s
        )
        best = next(found, None)
        if best is not None or not capacity_per_s:
            return best or 0
        return max(range(len(capacity_per_s)), key=lambda rung: (capacity_per_s[rung], -rung))

    def due_s(self, job: Job, now_s: float, waiting: int) -> float:
        """When the job should be complete, if `waiting` others are left behind at its start.

        Its deadline less the margin, or earlier while others wait (see the class). With the same
        line it never falls as time passes: what was in time at its start stays in time.
        """
        deadline_s = job.arrival_s + self.target_s if job.deadline_s is None else job.deadline_s
        due_s = deadline_s - self.margin_s
        if waiting > 0 and due_s > now_s:
            return now_s + self.share * (due_s - now_s)
        return due_s

    def choose(self, offers: Iterable[OfferT], due_s: float) -> OfferT | None:
        """The first offer that is complete by `due_s`, else the one that is complete earliest.

        Offers come best rung first and are asked for one at a time, so that none is computed in
        vain. Among equally late offers the first. None if there is no offer.
        """
        earliest: OfferT | None = None
        for offer in offers:
            if offer.completes_s <= due_s:
                return offer
            if earliest is None or offer.completes_s < earliest.completes_s:
                earliest = offer
        return earliest

    def lowered(self, due_s: float, options: Sequence[tuple[int, float]]) -> int | None:
        """The rung to which a running job that would be late is lowered.

        `options` are (rung, expected completion if lowered to it), best first: the first that is in
        time, else the last. None if there is no option.
        """
        for rung, completes_s in options:
            if completes_s <= due_s:
                return rung
        return options[-1][0] if options else None
