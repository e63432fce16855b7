"""`python -m analysis bench-simulator`: how many jobs a second the simulator serves on one core.

Arrivals are Poisson and jobs want 25 steps. Each case runs several times on the same arrivals; told
are the medians, by the clock (what a user waits) and of the processor (what another process takes
from this one is left out).
"""

from __future__ import annotations

import argparse
import gc
import json
import shlex
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from analysis.prediction import TabulatedCosts
from analysis.provenance import made_by, told
from analysis.simulation_inputs import Arrival, EngineSpec, Overheads, Server, Template
from analysis.simulator import simulate
from pipelines.costs import CostTable
from policies.admission import Admission
from policies.controllers import Controller, DeadlineAware, Hysteresis, Static
from policies.costs import completion_rate_per_s
from policies.nouns import Ladder, Rung
from policies.policy import Policy
from policies.routing import Routing, ShortestQueue, TwoChoices

GOAL_PER_S = 10_000.0
COSTS = Path("analysis/benchmarks/costs.json")
OUT = Path("analysis/benchmarks/simulator")
OVERHEADS = Overheads(network_s=0.002, grant_s=0.002, response_s=0.004)
FULL_SERVICE, EMPTIEST = Static(), ShortestQueue()
LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 10, "medium"),
        Rung("turbo", 4, "low", replannable=False),
    )
)


@dataclass(frozen=True, slots=True)
class Case:
    """A server and its load, as a share of what it can do at full service."""

    name: str
    load: float
    engines: int = 1
    places: int = 8
    controller: Controller = FULL_SERVICE
    routing: Routing = EMPTIEST
    one_by_one: bool = False


CASES = (
    Case("one engine of 8 places", 0.6),
    Case("one engine of 4 places", 0.6, places=4),
    Case("the same 8 places, boundary by boundary", 0.6, one_by_one=True),
    Case("16 engines, two choices", 0.6, engines=16, routing=TwoChoices()),
    Case("overload, hysteresis", 1.3, controller=Hysteresis((4, 12), (1, 6), 0.5)),
    Case("deadlines met job by job", 0.9, controller=DeadlineAware(LADDER.last, 2.0)),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """One case: jobs a second by the clock and of the processor, medians over the rounds."""

    name: str
    load: float
    engines: int
    places: int
    controller: str
    routing: str
    jobs: int
    jobs_per_s: float
    jobs_per_cpu_s: float
    mean_latency_s: float


def measure(
    case: Case, table: CostTable, jobs: int, rounds: int, seed: int, finished: Callable[[], None]
) -> Timed:
    """Time a case; `finished` is called after each round."""
    costs = TabulatedCosts(table, LADDER.variants, case.places)
    rate_per_s = case.load * case.engines * completion_rate_per_s(costs, LADDER.best, case.places)
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_per_s, jobs)
    template = Template(LADDER.last)
    arrivals = [Arrival(at_s, template) for at_s in np.cumsum(gaps_s).tolist()]
    policy = Policy(LADDER, case.controller, routing=case.routing, admission=Admission(jobs))
    server = Server(
        policy,
        {"main": costs},
        tuple(EngineSpec(f"main-{number}", case.places) for number in range(case.engines)),
        overheads=OVERHEADS,
        costs_vary=case.one_by_one,
    )
    by_clock, by_processor = [], []
    mean_s = 0.0
    for _ in range(rounds):
        gc.collect()
        began, began_cpu = time.perf_counter(), time.process_time()
        result = simulate(arrivals, server)
        by_processor.append(jobs / (time.process_time() - began_cpu))
        by_clock.append(jobs / (time.perf_counter() - began))
        mean_s = float(result.latencies_s().mean())
        finished()
    return Timed(
        case.name,
        case.load,
        case.engines,
        case.places,
        type(case.controller).__name__,
        type(case.routing).__name__,
        jobs,
        round(median(by_clock), 1),
        round(median(by_processor), 1),
        round(mean_s, 6),
    )


def page(timed: list[Timed], header: dict[str, Any], rounds: int) -> str:
    """The Markdown page."""
    reached = [one.name for one in timed if one.jobs_per_s >= GOAL_PER_S]
    lines = [
        "# The simulator: jobs a second on one core",
        "",
        told(header),
        "",
        f"Jobs of 25 steps, Poisson arrivals, {timed[0].jobs:,} a round; medians of {rounds}"
        f" rounds. The goal of {GOAL_PER_S:,.0f} jobs a second by the clock is reached in"
        f" {len(reached)} of {len(timed)} cases{': ' + '; '.join(reached) if reached else ''}.",
        "",
        "| case | load | controller | jobs/s by the clock | of the processor | mean latency s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in timed:
        lines.append(
            f"| {one.name} | {one.load:g} | {one.controller} | {one.jobs_per_s:,.0f}"
            f" | {one.jobs_per_cpu_s:,.0f} | {one.mean_latency_s:.3f} |"
        )
    return "\n".join(lines) + "\n"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--jobs", type=int, default=20_000, help="a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument(
        "--costs", type=Path, default=COSTS, help="cost table (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="writes OUT.json and OUT.md (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and write. ValueError for what has to be changed."""
    if min(options.jobs, options.rounds) < 1 or options.seed < 0:
        raise ValueError("--jobs and --rounds must be at least 1, and --seed not negative")
    started = datetime.now(UTC)
    table = CostTable.load(options.costs, threads=1)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    timed = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(CASES) * options.rounds)
        for case in CASES:
            bar.update(task, description=case.name)
            size = (options.jobs, options.rounds, options.seed)
            timed.append(measure(case, table, *size, lambda: bar.advance(task)))
    words = ["python", "-m", "analysis", "bench-simulator"]
    for name in ("jobs", "rounds", "seed", "costs", "out"):
        words += [f"--{name}", str(getattr(options, name))]
    header = made_by(shlex.join(words), started, seed=options.seed, packages=("numpy",))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"made_by": header, "timed": [asdict(one) for one in timed]}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    text = page(timed, header, options.rounds)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    Console().print(text, markup=False, highlight=False)
    return 0
