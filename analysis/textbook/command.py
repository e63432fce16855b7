"""`python -m analysis textbook`: the compiled simulator beside independent reference values."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from analysis.textbook.reference import Case

REFERENCE = Path("tests/reference/queueing_cases.json")
OUT = Path("analysis/benchmarks/textbook")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--case", action="append", metavar="ID", help="a case; may be repeated")
    which.add_argument(
        "--all",
        action="store_true",
        help="every case of the reference; other laws of service are timed too",
    )
    parser.add_argument(
        "--replications", type=int, default=20, help="independent runs (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1_000_000,
        help="jobs a run after warm-up (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of all runs (default: %(default)s)")
    parser.add_argument(
        "--reference", type=Path, default=REFERENCE, help="JSON file (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="writes OUT.json and OUT.md (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Measure and write. Status 0 whatever comes out; ValueError for what has to be changed."""
    # Loaded here: numba takes a second, which nothing else of the analysis shall cost.
    from analysis.provenance import load_average
    from analysis.textbook.benchmark import (
        SPEED_ONLY,
        describe,
        measure,
        summary,
        write,
    )
    from analysis.textbook.reference import joint_level, read_cases

    for name, least in (("replications", 2), ("jobs", 1000), ("seed", 0)):
        if getattr(options, name) < least:
            raise ValueError(f"--{name} {getattr(options, name)} must be at least {least}")
    cases = read_cases(options.reference)
    chosen = [*cases.values(), *SPEED_ONLY] if options.all else _chosen(cases, options.case)
    started_at, load_start = datetime.now(UTC), load_average()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
    measured = []
    with bar:
        task = bar.add_task("", total=len(chosen) * options.replications)

        def begin(what: str) -> None:
            bar.update(task, description=what)
            if not console.is_terminal:
                console.print(what, highlight=False)

        def finished() -> None:
            bar.advance(task)

        level = joint_level(cases)
        size = (options.jobs, options.replications, options.seed)
        for case in chosen:
            begin(case.case_id)
            measured.append(measure(case, *size, level, finished))
    made_by = describe(
        _command(options),
        started_at,
        load_start,
        jobs=options.jobs,
        replications=options.replications,
        seed=options.seed,
    )
    for sentence in summary(measured):
        print(sentence)
    for path in write(measured, made_by, options.out):
        print(path)
    return 0


def _chosen(cases: dict[str, Case], wanted: list[str]) -> list[Case]:
    for case_id in wanted:
        if case_id not in cases:
            raise ValueError(f"there is no case {case_id}; choose from {', '.join(cases)}")
    return [cases[case_id] for case_id in dict.fromkeys(wanted)]


def _command(options: argparse.Namespace) -> str:
    which = ["--all"] if options.all else [word for one in options.case for word in ("--case", one)]
    numbers = [
        word
        for name in ("replications", "jobs", "seed")
        for word in (f"--{name}", str(getattr(options, name)))
    ]
    files = ["--out", options.out.as_posix()]
    if options.reference != REFERENCE:
        files += ["--reference", options.reference.as_posix()]
    return shlex.join(["python", "-m", "analysis", "textbook", *which, *numbers, *files])
