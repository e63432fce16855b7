"""The one line in which jobs wait, sorted by an order, with the times at which they must leave it.

Jobs that can only get the same services as each other stand in one *lane*: whether a lane can move
is decided once for all of them, and only the heads of the lanes are compared. So ten thousand
waiting jobs cost no more than a handful.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from policies.commands import DropReason
from policies.fair_share import FairShares
from policies.nouns import Job
from policies.orders import Order


class LaneKey(NamedTuple):
    """What decides which services a job can get. `start_rung` None: the controller's current."""

    floor: int
    variant: str | None
    steps: int | None
    fixed: bool
    start_rung: int | None
    objective: str | None

    @classmethod
    def of(cls, job: Job, start_rung: int | None) -> LaneKey:
        """The lane of a job."""
        return cls(job.floor, job.variant, job.steps, job.fixed, start_rung, job.objective)


class Place(NamedTuple):
    """A place in the line; smaller is nearer to its head."""

    rank: float
    arrival_s: float
    seq: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting job. It leaves the line unserved at drop_s, if that is not None."""

    job: Job
    seq: int
    lane: LaneKey
    place: Place
    drop_s: float | None
    drop_reason: DropReason


class Lane:
    """The waiting jobs of one key; with `shares`, the tenants in it take turns by work."""

    def __init__(self, job: Job, shares: FairShares | None) -> None:
        self.job = job
        """Any of its jobs: all can get the same services."""
        self._shares = shares
        self._places: dict[str, list[Place]] = {}  # by tenant; by "" where they share nothing
        self._turns: list[tuple[float, Place, str]] = []  # may hold entries that are out of date
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, place: Place, tenant: str) -> None:
        """Put a job into its place."""
        own = self._places.setdefault(tenant, [])
        insort(own, place)
        self._count += 1
        if self._shares is not None and own[0] is place:
            heappush(self._turns, (self._shares.counter(tenant), place, tenant))

    def remove(self, place: Place, tenant: str) -> None:
        """Take a job out."""
        own = self._places[tenant]
        del own[bisect_left(own, place)]
        self._count -= 1
        if not own:
            del self._places[tenant]
        elif self._shares is not None:
            heappush(self._turns, (self._shares.counter(tenant), own[0], tenant))

    def head(self) -> tuple[float, Place]:
        """Who is next, with what its tenant has been given; the lane must not be empty."""
        if self._shares is None:
            return 0.0, self._places[""][0]
        while True:
            counter, place, tenant = self._turns[0]
            own = self._places.get(tenant)
            if own is not None and own[0] is place:
                now = self._shares.counter(tenant)
                if now == counter:
                    return counter, place
                heappush(self._turns, (now, place, tenant))
            heappop(self._turns)

    def refresh(self, tenant: str) -> None:
        """The tenant's counter has fallen: its turn may come sooner."""
        own = self._places.get(tenant)
        if self._shares is not None and own is not None:
            heappush(self._turns, (self._shares.counter(tenant), own[0], tenant))

    def before(self, place: Place) -> int:
        """How many stand before a place, tenants aside."""
        return sum(bisect_left(own, place) for own in self._places.values())

    def places(self) -> Iterator[Place]:
        """All places, in no order."""
        for own in self._places.values():
            yield from own


class WaitingLine:
    """All waiting jobs."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.shares = FairShares() if order.by_tenant else None
        self._jobs: dict[str, Waiting] = {}
        self._lanes: dict[LaneKey, Lane] = {}
        self._drops: list[tuple[float, int, str]] = []  # lazily cleaned: may name jobs long gone

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def __iter__(self) -> Iterator[Job]:
        """Jobs by rank and arrival, tenants aside."""
        places = sorted(place for lane in self._lanes.values() for place in lane.places())
        return (self._jobs[place.job_id].job for place in places)

    @property
    def lanes(self) -> Iterable[tuple[LaneKey, Lane]]:
        """The lanes with somebody in them."""
        return self._lanes.items()

    def place_of(self, job: Job, seq: int, steps: int) -> Place:
        """Where a job of so many steps would stand."""
        return Place(self._order.rank(job, steps), job.arrival_s, seq, job.job_id)

    def add(
        self,
        job: Job,
        seq: int,
        steps: int,
        *,
        start_rung: int | None = None,
        drop_s: float | None = None,
        drop_reason: DropReason = "expired",
    ) -> None:
        """Put a job in its place; ValueError if it is in the line already."""
        if job.job_id in self._jobs:
            raise ValueError(f"job {job.job_id} is in the line already")
        key = LaneKey.of(job, start_rung)
        waiting = Waiting(job, seq, key, self.place_of(job, seq, steps), drop_s, drop_reason)
        self._jobs[job.job_id] = waiting
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(job, self.shares)
        tenant = ""
        if self.shares is not None:
            tenant = job.tenant
            self.shares.joins(tenant)
        lane.add(waiting.place, tenant)
        if drop_s is not None:
            heappush(self._drops, (drop_s, seq, job.job_id))

    def remove(self, job_id: str) -> Waiting:
        """Take a job out; KeyError if it is not there."""
        waiting = self._jobs.pop(job_id)
        lane = self._lanes[waiting.lane]
        tenant = ""
        if self.shares is not None:
            tenant = waiting.job.tenant
            self.shares.leaves(tenant)
        lane.remove(waiting.place, tenant)
        if not lane:
            del self._lanes[waiting.lane]
        return waiting

    def serve(self, job: Job, steps: int) -> Waiting:
        """Take a job out to start it; its tenant is charged the steps."""
        if self.shares is not None:
            self.shares.served(job.tenant, steps)
        return self.remove(job.job_id)

    def refund(self, tenant: str, steps: int) -> None:
        """A job of the tenant ended with `steps` fewer than it was charged."""
        if self.shares is not None:
            self.shares.refund(tenant, steps)
            for lane in self._lanes.values():
                lane.refresh(tenant)

    def first(self, among: Container[LaneKey]) -> Job | None:
        """Who is next in these lanes."""
        heads = (lane.head() for key, lane in self._lanes.items() if key in among)
        head = min(heads, default=None)
        return None if head is None else self._jobs[head[1].job_id].job

    def lane_of(self, job_id: str) -> LaneKey:
        """The lane of a waiting job; KeyError if it does not wait."""
        return self._jobs[job_id].lane

    def before(self, place: Place) -> int:
        """How many jobs would start before one in this place, tenants aside."""
        return sum(lane.before(place) for lane in self._lanes.values())

    def next_drop_s(self) -> float | None:
        """When the next job must leave the line unserved, or None."""
        while self._drops:
            drop_s, seq, job_id = self._drops[0]
            waiting = self._jobs.get(job_id)
            if waiting is not None and (waiting.drop_s, waiting.seq) == (drop_s, seq):
                return drop_s
            heappop(self._drops)
        return None

    def take_due(self, now_s: float) -> list[Waiting]:
        """Take out the jobs that must leave by `now_s`, the earliest first."""
        due: list[Waiting] = []
        while (drop_s := self.next_drop_s()) is not None and drop_s <= now_s:
            _, _, job_id = heappop(self._drops)
            due.append(self.remove(job_id))
        return due
