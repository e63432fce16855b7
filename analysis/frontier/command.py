"""`python -m analysis frontier`: every policy and baseline on every schedule, and who dominates."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from analysis.provenance import made_by

if TYPE_CHECKING:
    from analysis.frontier.study import Race

COSTS = Path("analysis/benchmarks/costs.json")
QUALITY = Path("analysis/benchmarks/quality/quality.json")
OUT = Path("analysis/benchmarks/frontier")

THREADS = 1
MAX_BATCH = 8
REPLICATIONS = 8
QUICK_REPLICATIONS = 2
QUICK_LENGTH = 0.4
"""A quick race's schedules are so much shorter."""

JOBS_PER_S = 4_000
"""What one core is expected to simulate, for the estimate at the start only."""

PAPERS_MODELS = ("full@25", "small@25", "turbo@4")
"""Proteus as published chooses among models, not steps: each variant at the steps it is sold with."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_REPLICATIONS} replications of schedules {QUICK_LENGTH:g} times as long",
    )
    parser.add_argument(
        "--replications", type=int, help=f"of every schedule (default: {REPLICATIONS})"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all jobs (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=1, help="to work in at once (default: %(default)s)"
    )
    parser.add_argument("--costs", type=Path, default=COSTS, help="JSON (default: %(default)s)")
    parser.add_argument("--quality", type=Path, default=QUALITY, help="JSON (default: %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="writes OUT.json, OUT.md and OUT.svg (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Race and write. Status 0 whatever comes out; ValueError for what has to be changed."""
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed} must not be negative")
    if options.replications is not None and options.replications < 2:
        raise ValueError(
            f"--replications {options.replications} must be at least 2, or there are no intervals"
        )
    if options.processes < 1:
        raise ValueError(f"--processes {options.processes} must be at least 1")
    if not options.out.resolve().parent.is_dir():
        raise ValueError(f"--out: there is no folder {options.out.parent}; make it first")
    console = Console(stderr=True)
    race, costs = _race(options)
    minutes = race.jobs_expected / JOBS_PER_S / options.processes / 60
    console.print(
        f"{len(race.runners)} settings on {len(race.schedules)} schedules, {race.replications}"
        f" replications: about {race.jobs_expected:,.0f} jobs; at {JOBS_PER_S:,} a second and"
        f" process {minutes:.0f} minutes",
        highlight=False,
    )
    started = datetime.now(UTC)
    for line in _measure(options, race, costs, started, console):
        console.print(line, highlight=False, markup=False)
    print(f"frontier: {options.out}.md")
    return 0


def _race(options: argparse.Namespace) -> tuple[Race, str]:
    """The race, and in words whose costs it is run with."""
    # Loaded here: scipy and the solvers take seconds, which a mistake shall not cost.
    from analysis.frontier.contenders import baselines, ours
    from analysis.frontier.quality import (
        FinishLaw,
        PictureLaw,
        hull_ladder,
        read_points,
        rungs_named,
    )
    from analysis.frontier.schedules import FULL, shortened
    from analysis.frontier.solved import solve
    from analysis.frontier.study import Race
    from pipelines.costs import CostTable
    from policies.costs import run_s

    costs = CostTable.load(options.costs, threads=THREADS)
    points, fixed = read_points(options.quality)
    ladder = hull_ladder(points, fixed, costs, MAX_BATCH)
    own = rungs_named(PAPERS_MODELS, points, fixed)
    cheapest = ladder[ladder.last]
    picture = PictureLaw.of(
        next(
            point
            for point in points
            if point.strategy == "steps"
            and (point.variant, point.steps) == (cheapest.variant, cheapest.steps)
        )
    )
    unloaded_s = run_s(costs, ladder.best, 1)
    solved = solve(ladder, own, costs, MAX_BATCH, unloaded_s, picture)
    replications = QUICK_REPLICATIONS if options.quick else REPLICATIONS
    race = Race(
        contenders=(*ours(ladder, solved, unloaded_s), *baselines(ladder, own, solved)),
        schedules=shortened(FULL, QUICK_LENGTH) if options.quick else FULL,
        ladder=ladder,
        costs=costs,
        max_batch=MAX_BATCH,
        finish=FinishLaw.of(points),
        picture=picture,
        seed=options.seed,
        replications=replications if options.replications is None else options.replications,
    )
    return race, f"{costs} on {costs.machine}, commit {costs.commit}"


def _measure(
    options: argparse.Namespace, race: Race, costs: str, started: datetime, console: Console
) -> list[str]:
    """Race, write the files, and tell the verdicts."""
    from analysis.frontier.bound import trace_of
    from analysis.frontier.figure import draw
    from analysis.frontier.page import as_text, page, record
    from analysis.frontier.study import run_race
    from analysis.frontier.verdicts import compare, verdict

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    done = 0
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("simulating", total=race.jobs_expected)

        def told(jobs: int) -> None:
            nonlocal done
            before, done = done, done + jobs
            bar.update(task, advance=jobs)
            tenth = int(10 * done / race.jobs_expected)
            if not console.is_terminal and tenth > int(10 * before / race.jobs_expected):
                console.print(f"{done:,} jobs simulated", highlight=False)

        tallies = run_race(race, options.processes, told)
    comparisons = [
        compare(race, tallies, number, trace_of(race, number))
        for number in range(len(race.schedules))
    ]
    facts = {"costs": costs, "quality": str(options.quality), "jobs": done}
    header = made_by(_command(options), started, seed=options.seed, packages=("numpy", "scipy"))
    header |= facts | {"processes": options.processes}
    name = options.out.name
    texts = {
        ".svg": draw(race, tallies),
        ".md": page(race, comparisons, header, f"{name}.svg"),
        ".json": as_text(record(race, tallies, comparisons, header)),
    }
    for suffix, text in texts.items():
        options.out.with_name(name + suffix).write_text(text, encoding="utf-8")
    return [f"{one.title}: {verdict(one)}." for one in comparisons]


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "frontier"]
    if options.quick:
        words.append("--quick")
    if options.replications is not None:
        words += ["--replications", str(options.replications)]
    words += ["--seed", str(options.seed), "--processes", str(options.processes)]
    for name, usual in (("costs", COSTS), ("quality", QUALITY), ("out", OUT)):
        if getattr(options, name) != usual:
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join(words)
