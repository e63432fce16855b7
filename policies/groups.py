"""Engines and what runs in them, like engines together.

Like engines (same pool, variants, places and price) form a *group*. A group keeps its engines by
the number of jobs in them, so that finding the emptiest of a thousand costs no more than of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from policies.nouns import Job, Service

CLOSE_LOOK = 4
"""So many open engines of a group are compared one by one; of more, the emptiest stand for all."""


class GroupKey(NamedTuple):
    """What like engines have in common; `price_per_s` is the price of a second of one."""

    pool: str
    variants: frozenset[str]
    places: int
    price_per_s: float


@dataclass(slots=True)
class Running:
    """A job in an engine.

    `done` of `planned` steps were known to be run at told_s. `job` and `service` are None for a
    job that an engine reported before any gateway asked for it again. `lowered` is the rung that
    it was last told to exit to; `start_rung` and `charged` (steps) are for its return to the line
    and for its tenant's account.
    """

    job_id: str
    job: Job | None
    seq: int
    service: Service | None
    planned: int
    told_s: float
    done: int = 0
    lowered: int = 0
    start_rung: int | None = None
    charged: int = 0

    def done_by(self, now_s: float, boundary_s: float) -> int:
        """Steps probably run by now_s, if since it was told a step took boundary_s."""
        since = int((now_s - self.told_s) / boundary_s) if boundary_s > 0 else 0
        return min(self.planned, self.done + max(0, since))


@dataclass(frozen=True, slots=True)
class EngineView:
    """One engine as the dispatcher sees it; `running` holds job ids in order of their start. A `suspected`
    one takes no new jobs."""

    engine_id: str
    pool: str
    places: int
    variants: frozenset[str]
    running: tuple[str, ...]
    suspected: bool = False


@dataclass(slots=True, eq=False)
class Engine:
    """One engine; `running` is in order of start. While `suspected` it takes no new jobs."""

    engine_id: str
    group: Group
    running: dict[str, Running] = field(default_factory=dict)
    slot: int = -1  # its index among the open engines of its group
    suspected: bool = False

    @property
    def open(self) -> bool:
        """Whether a place is free for a new job."""
        return not self.suspected and len(self.running) < self.group.key.places


class Group:
    """Like engines, those with a free place by occupancy and in order of their last start."""

    def __init__(self, key: GroupKey, number: int) -> None:
        self.key = key
        self.number = number
        """Rises from group to group in the order in which they came up."""
        self.engines: dict[str, Engine] = {}
        self.free_places = 0
        self.open: list[Engine] = []  # in no order, for drawing at random
        self._by_running: list[dict[str, Engine]] = [{} for _ in range(key.places)]
        self._turns: dict[str, int] = {}  # the open ones, the next first

    def emptiest(self) -> Engine:
        """The engine with fewest jobs, among equals the one that has had so many for longest."""
        return next(engine for level in self._by_running for engine in level.values())

    def next_turn(self) -> tuple[int, Engine]:
        """The open engine that has waited longest for a job, with the number of its turn."""
        engine_id, turn = next(iter(self._turns.items()))
        return turn, self.engines[engine_id]

    def candidates(self) -> Iterator[Engine]:
        """The open engines that can be the best for a job: all, or of many the emptiest.

        The emptier first; of equals the one that has had so many jobs for longest.
        """
        by_occupancy = (engine for level in self._by_running for engine in level.values())
        return islice(by_occupancy, CLOSE_LOOK)

    def enter(self, engine: Engine) -> None:
        """Count an engine in, as it stands now."""
        if not engine.open:
            return
        running = len(engine.running)
        self.free_places += self.key.places - running
        self._by_running[running][engine.engine_id] = engine
        engine.slot = len(self.open)
        self.open.append(engine)

    def leave(self, engine: Engine) -> None:
        """Count an engine out, before anything about it changes."""
        if not engine.open:
            return
        running = len(engine.running)
        self.free_places -= self.key.places - running
        del self._by_running[running][engine.engine_id]
        last = self.open.pop()
        if last is not engine:
            self.open[engine.slot] = last
            last.slot = engine.slot

    def turn(self, engine: Engine, number: int) -> None:
        """Put an open engine behind all others of its group; one that is not open has no turn."""
        self._turns.pop(engine.engine_id, None)
        if engine.open:
            self._turns[engine.engine_id] = number

    def reopened(self, engine: Engine, number: int) -> None:
        """An engine that was full may take its turn again, behind those that were open before."""
        if engine.open and engine.engine_id not in self._turns:
            self._turns[engine.engine_id] = number

    def forget(self, engine: Engine) -> None:
        """The engine is gone."""
        self._turns.pop(engine.engine_id, None)
        del self.engines[engine.engine_id]
