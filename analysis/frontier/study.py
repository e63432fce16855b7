"""The race: every setting of every contender on every schedule, with common random numbers.

One *heat* is one replication of one schedule: its arrivals, deadlines and ranks are drawn once and
served by every setting in turn, so that differences between policies are not those of their luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import NamedTuple

from analysis.frontier.contenders import FINISH_FROM, Contender, Setting
from analysis.frontier.quality import FinishLaw, PictureLaw, Scoring
from analysis.frontier.schedules import WARM_UP_S, Load, Schedule, draw
from analysis.records import Record
from analysis.simulator import EngineSpec, Server, simulate
from policies import Ladder
from policies.costs import Costs, completion_rate_per_s, run_s

POOL = "main"
ROUNDING_S = 1e-9
"""An answer at the very deadline is in time, also if its time was added up in another order."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the jobs of one heat under one setting, after its warm-up.

    `lost` counts violations by cause: "late" (answered after the deadline), and the statuses of
    jobs that got no picture. score_sum adds up the scores of what was delivered in time.
    """

    jobs: int
    lost: Mapping[str, int]
    score_sum: float

    @property
    def violations(self) -> int:
        """Jobs without a picture in time."""
        return sum(self.lost.values())

    @property
    def delivered(self) -> int:
        """Jobs with a picture in time."""
        return self.jobs - self.violations


class Runner(NamedTuple):
    """One setting with the contender it belongs to."""

    contender: Contender
    setting: Setting

    @property
    def name(self) -> str:
        """How tables call it."""
        label = self.setting.label
        return f"{self.contender.title} ({label})" if label else self.contender.title


@dataclass(frozen=True)
class Race:
    """Everything that a heat needs, the same in every process.

    ValueError if there is nobody to race, a schedule is over with its warm-up, or there are fewer
    than two replications.
    """

    contenders: tuple[Contender, ...]
    schedules: tuple[Schedule, ...]
    ladder: Ladder
    costs: Costs
    max_batch: int
    finish: FinishLaw
    picture: PictureLaw
    seed: int
    replications: int
    runners: tuple[Runner, ...] = field(init=False)

    def __post_init__(self) -> None:
        runners = tuple(Runner(c, setting) for c in self.contenders for setting in c.settings)
        if not runners or not self.schedules:
            raise ValueError("a race needs contenders and schedules")
        if min(one.duration_s for one in self.schedules) <= WARM_UP_S:
            raise ValueError(f"a schedule must last longer than its warm-up of {WARM_UP_S:g} s")
        if self.replications < 2:
            raise ValueError(
                f"replications {self.replications} must be at least 2, or there are no intervals"
            )
        object.__setattr__(self, "runners", runners)

    @property
    def capacity_per_s(self) -> float:
        """Jobs per second at the best rung in full batches: load 1."""
        return completion_rate_per_s(self.costs, self.ladder.best, self.max_batch)

    @property
    def unloaded_s(self) -> float:
        """The response of a full run alone."""
        return run_s(self.costs, self.ladder.best, 1)

    @property
    def jobs_expected(self) -> float:
        """Jobs to be simulated in all."""
        lengths = sum(one.load * one.duration_s for one in self.schedules)
        return self.capacity_per_s * lengths * self.replications * len(self.runners)

    @property
    def heats(self) -> list[tuple[int, int]]:
        """(schedule, replication), the longest schedules first, so that no process ends late."""
        jobs = [one.load * one.duration_s for one in self.schedules]
        order = sorted(range(len(jobs)), key=lambda index: -jobs[index])
        return [(index, r) for index in order for r in range(self.replications)]

    def load(self, schedule: int, replication: int) -> Load:
        """The jobs of one heat; those of another schedule or replication are independent."""
        seed = (self.seed * 1_000 + schedule) * 1_000 + replication
        one = self.schedules[schedule]
        return draw(one, self.capacity_per_s, self.unloaded_s, self.ladder.last, seed)

    def run(self, heat: tuple[int, int]) -> list[Tally]:
        """One heat: a tally for each runner."""
        schedule, replication = heat
        load = self.load(schedule, replication)
        own = self.picture.scores(load.ranks)
        engine = EngineSpec("engine-0", self.max_batch, pool=POOL)
        tallies = []
        for contender, setting in self.runners:
            server = Server(
                setting.policy, {POOL: self.costs}, (engine,), seed=self.seed + replication
            )
            records = simulate(load.arrivals, server).records
            tallies.append(self._tally(contender, setting, load, own, records))
        return tallies

    def _tally(
        self,
        contender: Contender,
        setting: Setting,
        load: Load,
        own: Sequence[float],
        records: Iterable[Record],
    ) -> Tally:
        ladder = setting.policy.ladder
        cheap = setting.policy.controller.deepest if contender.judged else None
        scoring = Scoring(ladder.scores(), self.finish, FINISH_FROM, cheap)
        lost: Counter[str] = Counter()
        jobs, score_sum = 0, 0.0
        for arrival, record, score in zip(load.arrivals, records, own, strict=True):
            if arrival.scheduled_s < WARM_UP_S:
                continue
            jobs += 1
            after_s = arrival.template.deadline_after_s
            if record.status != "ok":
                lost[record.status] += 1
            elif after_s is not None and record.latency_s > after_s + ROUNDING_S:
                lost["late"] += 1
            else:
                score_sum += scoring.of(record, score)
        return Tally(jobs, dict(lost), score_sum)


Tallies = list[list[list[Tally]]]
"""[runner][schedule][replication]"""


def run_race(race: Race, processes: int, told: Callable[[int], None]) -> Tallies:
    """All heats; `told` hears after each how many jobs were simulated in it.

    The result does not depend on how many processes there are. ValueError for less than one.
    """
    if processes < 1:
        raise ValueError(f"processes {processes} must be at least 1")
    found: dict[tuple[int, int], list[Tally]] = {}
    for heat, tallies in _heats(race, processes):
        found[heat] = tallies
        told(sum(tally.jobs for tally in tallies))
    return [
        [
            [found[schedule, replication][runner] for replication in range(race.replications)]
            for schedule in range(len(race.schedules))
        ]
        for runner in range(len(race.runners))
    ]


def _heats(race: Race, processes: int) -> Iterable[tuple[tuple[int, int], list[Tally]]]:
    if processes == 1:
        for heat in race.heats:
            yield heat, race.run(heat)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(race,)) as pool:
        running = {pool.submit(_heat, heat): heat for heat in race.heats}
        for done in as_completed(running):
            yield running[done], done.result()


_race: Race | None = None
"""The race of this process; a worker is given it once, at its start."""


def _begin(race: Race) -> None:
    global _race
    _race = race


def _heat(heat: tuple[int, int]) -> list[Tally]:
    if _race is None:
        raise RuntimeError("this process was not given a race")
    return _race.run(heat)
