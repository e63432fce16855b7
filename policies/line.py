"""The one line in which jobs wait, sorted by an order, with the times at which they must leave it.

Jobs that can only get the same services as each other stand in one *lane*. Lanes whose jobs can go
to the same groups of engines make up one *bundle*: whether it can move is decided once for all of
them. Heads are kept in heaps, so ten thousand waiting jobs in thousands of lanes cost little more
than a handful.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import NamedTuple

from policies.commands import DropReason
from policies.fair_share import FairShares
from policies.groups import Group
from policies.nouns import Job
from policies.orders import Order

SPARE_ENTRIES = 64
"""Entries that a heap may hold beyond twice those that count before it is built anew."""

Reach = tuple[Group, ...]
"""The groups of engines on which a job can start, those with its best service first."""

Head = tuple[float, "Place"]
"""Who is next, with what its tenant has been given; smaller starts earlier."""


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
        self.reach: Reach = ()
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
        if own[0] is place:
            self.refresh(tenant)

    def remove(self, place: Place, tenant: str) -> None:
        """Take a job out."""
        own = self._places[tenant]
        del own[bisect_left(own, place)]
        self._count -= 1
        if not own:
            del self._places[tenant]
        elif place < own[0]:
            self.refresh(tenant)

    def has(self, tenant: str) -> bool:
        """Whether a job of the tenant stands here."""
        return tenant in self._places

    def head(self) -> Head:
        """Who is next; the lane must not be empty."""
        if self._shares is None:
            return 0.0, self._places[""][0]
        while True:
            counter, place, tenant = self._turns[0]
            own = self._places.get(tenant)
            if own is None or own[0] is not place:
                heappop(self._turns)
                continue
            now = self._shares.counter(tenant)
            if now == counter:
                return counter, place
            # In its stead and not beside it: a counter that has fallen would be taken off instead.
            heapreplace(self._turns, (now, place, tenant))

    def refresh(self, tenant: str) -> None:
        """The tenant has another first job, or its counter has fallen: its turn may be another."""
        shares = self._shares
        if shares is None:
            return
        heappush(self._turns, (shares.counter(tenant), self._places[tenant][0], tenant))
        if len(self._turns) > 2 * len(self._places) + SPARE_ENTRIES:
            self._turns = [
                (shares.counter(name), own[0], name) for name, own in self._places.items()
            ]
            heapify(self._turns)


class Bundle:
    """Lanes whose jobs can start on the same groups of engines."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.lanes: dict[LaneKey, Lane] = {}
        self.jobs = 0
        """How many jobs stand in its lanes."""
        self._heads: list[tuple[float, Place, int, LaneKey]] = []  # may hold entries out of date
        self._entry = count()  # lanes' keys cannot be sorted

    def moved_up(self, key: LaneKey) -> None:
        """The head of a lane may stand further ahead than it did."""
        heappush(self._heads, (*self.lanes[key].head(), next(self._entry), key))
        if len(self._heads) > 2 * len(self.lanes) + SPARE_ENTRIES:
            entries = zip(self._entry, self.lanes.items(), strict=False)
            self._heads = [(*lane.head(), entry, name) for entry, (name, lane) in entries]
            heapify(self._heads)

    def head(self) -> Head:
        """The first of its lanes' heads; there must be a lane."""
        while True:
            counter, place, entry, key = self._heads[0]
            lane = self.lanes.get(key)
            if lane is None:
                heappop(self._heads)
                continue
            head = lane.head()
            if head == (counter, place):
                return head
            heapreplace(self._heads, (*head, entry, key))


class WaitingLine:
    """All waiting jobs."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self.shares = FairShares() if order.by_tenant else None
        self._jobs: dict[str, Waiting] = {}
        self._places: list[Place] = []
        self._lanes: dict[LaneKey, Lane] = {}
        self._lanes_of: dict[str, set[LaneKey]] = {}  # by tenant, where tenants share
        self._bundles: dict[Reach, Bundle] = {}
        self._reach_of: Callable[[LaneKey, Job], Reach] = lambda key, job: ()
        self._drops: list[tuple[float, int, str]] = []  # lazily cleaned: may name jobs long gone

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def __iter__(self) -> Iterator[Job]:
        """Jobs by rank and arrival, tenants aside."""
        return (self._jobs[place.job_id].job for place in self._places)

    @property
    def lanes(self) -> Iterable[tuple[LaneKey, Lane]]:
        """The lanes with somebody in them."""
        return self._lanes.items()

    @property
    def bundles(self) -> Iterable[Bundle]:
        """The bundles with somebody in them."""
        return self._bundles.values()

    def bundle(self, reach_of: Callable[[LaneKey, Job], Reach]) -> None:
        """Bundle the lanes anew, and those to come, by where their jobs can go now."""
        self._reach_of = reach_of
        self._bundles.clear()
        for key, lane in self._lanes.items():
            self._into_bundle(key, lane).jobs += len(lane)

    def _into_bundle(self, key: LaneKey, lane: Lane) -> Bundle:
        lane.reach = self._reach_of(key, lane.job)
        bundle = self._bundles.get(lane.reach)
        if bundle is None:
            bundle = self._bundles[lane.reach] = Bundle(lane.reach)
        bundle.lanes[key] = lane
        bundle.moved_up(key)
        return bundle

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
        insort(self._places, waiting.place)
        tenant = ""
        if self.shares is not None:
            tenant = job.tenant
            self.shares.joins(tenant)
            self._lanes_of.setdefault(tenant, set()).add(key)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(job, self.shares)
            lane.add(waiting.place, tenant)
            self._into_bundle(key, lane).jobs += 1
        else:
            lane.add(waiting.place, tenant)
            bundle = self._bundles[lane.reach]
            bundle.jobs += 1
            if lane.head()[1] is waiting.place:
                bundle.moved_up(key)
        if drop_s is not None:
            heappush(self._drops, (drop_s, seq, job.job_id))
            if len(self._drops) > 2 * len(self._jobs) + SPARE_ENTRIES:
                self._sort_drops()

    def remove(self, job_id: str) -> Waiting:
        """Take a job out; KeyError if it is not there."""
        waiting = self._jobs.pop(job_id)
        del self._places[bisect_left(self._places, waiting.place)]
        key = waiting.lane
        lane = self._lanes[key]
        tenant = ""
        if self.shares is not None:
            tenant = waiting.job.tenant
            self.shares.leaves(tenant)
        lane.remove(waiting.place, tenant)
        if self.shares is not None and not lane.has(tenant):
            self._lanes_of[tenant].discard(key)
            if not self._lanes_of[tenant]:
                del self._lanes_of[tenant]
        bundle = self._bundles[lane.reach]
        bundle.jobs -= 1
        if not lane:
            del self._lanes[key], bundle.lanes[key]
            if not bundle.lanes:
                del self._bundles[lane.reach]
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
            for key in self._lanes_of.get(tenant, ()):
                lane = self._lanes[key]
                lane.refresh(tenant)
                self._bundles[lane.reach].moved_up(key)

    def first(self, among: Iterable[Bundle]) -> Job | None:
        """Who is next in these bundles."""
        head = min((bundle.head() for bundle in among), default=None)
        return None if head is None else self._jobs[head[1].job_id].job

    def lane_of(self, job_id: str) -> LaneKey:
        """The lane of a waiting job; KeyError if it does not wait."""
        return self._jobs[job_id].lane

    def before(self, place: Place) -> int:
        """How many jobs would start before one in this place, tenants aside."""
        return bisect_left(self._places, place)

    def next_drop_s(self) -> float | None:
        """When the next job must leave the line unserved, or None."""
        while self._drops:
            drop_s, seq, job_id = self._drops[0]
            waiting = self._jobs.get(job_id)
            if waiting is not None and (waiting.drop_s, waiting.seq) == (drop_s, seq):
                return drop_s
            heappop(self._drops)
        return None

    def date_drops(self, leaves: Callable[[LaneKey, Job], tuple[float | None, DropReason]]) -> None:
        """Set anew when everybody must leave the line unserved, and why."""
        for job_id, waiting in self._jobs.items():
            drop_s, reason = leaves(waiting.lane, waiting.job)
            self._jobs[job_id] = replace(waiting, drop_s=drop_s, drop_reason=reason)
        self._sort_drops()

    def _sort_drops(self) -> None:
        self._drops = [
            (waiting.drop_s, waiting.seq, job_id)
            for job_id, waiting in self._jobs.items()
            if waiting.drop_s is not None
        ]
        heapify(self._drops)

    def take_due(self, now_s: float) -> list[Waiting]:
        """Take out the jobs that must leave by `now_s`, the earliest first."""
        due: list[Waiting] = []
        while (drop_s := self.next_drop_s()) is not None and drop_s <= now_s:
            _, _, job_id = heappop(self._drops)
            due.append(self.remove(job_id))
        return due
