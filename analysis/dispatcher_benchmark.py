"""How long one event takes the dispatcher, with many jobs waiting and many engines up.

Each policy is measured twice: with every place taken and the line long, and with half the places
free and nobody waiting, where the routing has most to choose from. Times are of the processor, not
of the clock: what another process takes from this one is not the dispatcher's.
"""

from __future__ import annotations

import argparse
import gc
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import fmean, median
from typing import Any

from rich.console import Console

from analysis.provenance import made_by, told
from pipelines.costs import CostTable
from policies import (
    Admission,
    BestQuality,
    BurstAhead,
    Cheapest,
    Controller,
    DeadlineAware,
    Dispatcher,
    EarliestDeadline,
    EngineProgressed,
    EngineUp,
    Event,
    FairShare,
    Fifo,
    Hysteresis,
    Job,
    JobArrived,
    JobFinished,
    Ladder,
    LeastCompletion,
    LoadProportional,
    Order,
    Policy,
    Progress,
    QualityBudget,
    RoundRobin,
    Routing,
    Rung,
    ShortestQueue,
    ShortestWork,
    StartJob,
    Static,
    Ticked,
    Tiers,
    TwoChoices,
    Uniform,
    WithinBudget,
)

GOAL_S = 200e-6
PLACES = 8
LADDER = Ladder(
    (
        Rung("full", 25, "high", score=1.0),
        Rung("full", 15, "high", score=0.9985),
        Rung("full", 10, "medium", score=0.9971),
        Rung("small", 10, "medium", score=0.959),
        Rung("turbo", 4, "low", replannable=False, score=0.946),
    )
)
COSTS = Path("analysis/benchmarks/costs.json")
OUT = Path("analysis/benchmarks/dispatcher")
LEVELS = Hysteresis((10, 20, 40, 80), (5, 10, 20, 40))

CONTROLLERS: tuple[Controller, ...] = (
    Static(),
    LEVELS,
    LoadProportional(1.0, LADDER.last),
    DeadlineAware(LADDER.last, 10.0),
    QualityBudget(LEVELS, LADDER.scores(), 0.97),
    BurstAhead(LEVELS, 1.0),
)
ORDERS: tuple[Order, ...] = (
    Fifo(),
    EarliestDeadline(),
    ShortestWork(),
    Tiers({"priority": 0.0, "default": 5.0}),
    FairShare(),
)
ROUTINGS: tuple[Routing, ...] = (
    Uniform(),
    RoundRobin(),
    ShortestQueue(),
    TwoChoices(),
    LeastCompletion(),
    Cheapest(),
    BestQuality(),
    WithinBudget(1e9),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """Microseconds an event, over all the events of one policy in one state."""

    controller: str
    order: str
    routing: str
    state: str
    events: int
    mean_us: float
    median_us: float
    p99_us: float
    worst_us: float


def policies() -> Iterator[tuple[Controller, Order, Routing]]:
    """Every controller, order and routing beside the usual others, and all that is dearest."""
    usual = LEVELS, Fifo(), ShortestQueue()
    for controller in CONTROLLERS:
        yield controller, usual[1], usual[2]
    for order in ORDERS[1:]:
        yield usual[0], order, usual[2]
    for routing in ROUTINGS:
        if not isinstance(routing, ShortestQueue):
            yield usual[0], usual[1], routing
    yield DeadlineAware(LADDER.last, 10.0), FairShare(), LeastCompletion()


class Bench:
    """One dispatcher in one state, kept there: every finish is followed by an arrival."""

    def __init__(self, policy: Policy, costs: CostTable, waiting: int, engines: int, seed: int):
        self._draws = Random(seed)
        self._now_s = 0.0
        self._running: list[tuple[str, str]] = []
        self._made = 0
        self.timed_s: list[float] = []
        self._dispatcher = Dispatcher(policy, costs={"main": costs}, draws=Random(seed))
        variants = frozenset(LADDER.variants)
        for number in range(engines):
            up = EngineUp(0.0, f"e{number}", PLACES, variants, pool="main", price_per_s=1.0)
            self._dispatcher.handle(up)
        running = engines * PLACES if waiting else engines * PLACES // 2
        for _ in range(running + waiting):
            self._arrive(1e-4)
        self.timed_s.clear()

    def run(self, rounds: int) -> None:
        """A finish with its engine's report, an arrival and a tick, again and again."""
        for _ in range(rounds):
            job_id, engine_id = self._running.pop(self._draws.randrange(len(self._running)))
            others = [job for job, engine in self._running[-64:] if engine == engine_id]
            progress = tuple(Progress(other, 5, 25) for other in others)
            self._handle(EngineProgressed(self._now_s, engine_id, progress))
            self._handle(JobFinished(self._now_s, job_id, steps_run=20))
            self._arrive(1e-3)
            self._handle(Ticked(self._now_s))

    def _arrive(self, after_s: float) -> None:
        self._now_s += after_s
        draws = self._draws
        job = Job(
            f"j{self._made}",
            self._now_s,
            floor=draws.choice((1, 2, 4, 4)),
            deadline_s=self._now_s + 1e6 + 10 * draws.random(),
            tenant=f"t{draws.randrange(50)}",
            tier=draws.choice(("priority", "default")),
        )
        self._made += 1
        self._handle(JobArrived(self._now_s, job))

    def _handle(self, event: Event) -> None:
        began = time.thread_time()
        commands = self._dispatcher.handle(event)
        self.timed_s.append(time.thread_time() - began)
        starts = [c for c in commands if isinstance(c, StartJob)]
        self._running += [(start.job_id, start.engine_id) for start in starts]


def measure(
    costs: CostTable, waiting: int, engines: int, rounds: int, seed: int
) -> Iterator[Timed]:
    """Time every policy in both states."""
    for controller, order, routing in policies():
        admission = Admission(2 * waiting + 1)
        policy = Policy(LADDER, controller, order=order, routing=routing, admission=admission)
        for state, line in (("every place taken", waiting), ("half the places free", 0)):
            bench = Bench(policy, costs, line, engines, seed)
            gc.collect()
            bench.run(rounds)
            times = sorted(1e6 * timed_s for timed_s in bench.timed_s)
            yield Timed(
                type(controller).__name__,
                type(order).__name__,
                type(routing).__name__,
                state,
                len(times),
                round(fmean(times), 1),
                round(median(times), 1),
                round(times[int(0.99 * len(times))], 1),
                round(times[-1], 1),
            )


def page(timed: list[Timed], header: dict[str, Any], waiting: int, engines: int) -> str:
    """The Markdown page."""
    slowest = max(timed, key=lambda one: one.mean_us)
    within = sum(one.p99_us <= 1e6 * GOAL_S for one in timed)
    lines = [
        "# The dispatcher: time an event",
        "",
        told(header),
        "",
        f"{engines:,} engines of {PLACES} places; {waiting:,} jobs waiting, or none and half the"
        " places free. An event is a report of progress, a finish, an arrival or a tick; times are the processor's. The slowest"
        f" policy takes {slowest.mean_us:.0f} µs in the mean ({slowest.controller}, {slowest.order},"
        f" {slowest.routing}, {slowest.state}); {within} of {len(timed)} stay below"
        f" {1e6 * GOAL_S:.0f} µs in 99 of 100 events.",
        "",
        "| controller | order | routing | state | mean µs | median | 99 % | worst |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in timed:
        lines.append(
            f"| {one.controller} | {one.order} | {one.routing} | {one.state} | {one.mean_us:.0f}"
            f" | {one.median_us:.0f} | {one.p99_us:.0f} | {one.worst_us:.0f} |"
        )
    return "\n".join(lines) + "\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--waiting", type=int, default=10_000, help="jobs (default: %(default)s)")
    parser.add_argument("--engines", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=1000, help="of 4 events (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument(
        "--costs", type=Path, default=COSTS, help="cost table (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="writes OUT.json and OUT.md (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and write. ValueError for what has to be changed."""
    if min(options.waiting, options.engines, options.rounds) < 1:
        raise ValueError("--waiting, --engines and --rounds must be at least 1")
    started = datetime.now(UTC)
    costs = CostTable.load(options.costs, threads=1)
    waiting, engines = options.waiting, options.engines
    timed = list(measure(costs, waiting, engines, options.rounds, options.seed))
    words = ["python", "-m", "analysis", "bench-dispatcher", "--waiting", str(waiting)]
    words += ["--engines", str(engines), "--rounds", str(options.rounds)]
    words += ["--seed", str(options.seed), "--out", str(options.out)]
    header = made_by(shlex.join(words), started, seed=options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"made_by": header, "timed": [asdict(one) for one in timed]}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    text = page(timed, header, waiting, engines)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    Console().print(text, markup=False, highlight=False)
    return 0
