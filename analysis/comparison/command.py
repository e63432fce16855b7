"""`python -m analysis compare RUN`: the models beside a run of the load generator."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.comparison.comparing import TOLD, as_plain, compare
from analysis.comparison.evidence import Evidence, read_evidence
from analysis.comparison.profile import Profile, profile_from_table, profile_of
from analysis.document import write_page
from analysis.progress import Steps
from analysis.provenance import made_by
from analysis.runs import DataError, Request, Run, read_requests
from analysis.server_config import DEFAULT_CONFIG, ServerSettings, read_settings
from analysis.simulator import Overheads
from analysis.study import unloaded_from
from pipelines.costs import CostTable

COSTS = Path("analysis/benchmarks/costs.json")
IDLE_MIN = 5
"""So many requests must have met an idle server for its overheads to be told."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the load generator's run")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="the server's (default: %(default)s)"
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--costs", type=Path, help=f"cost table by `pipelines profile` (default: {COSTS})"
    )
    known.add_argument(
        "--profile",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="other runs of the load generator on the same machine: they tell costs and speed",
    )
    parser.add_argument(
        "--idle",
        type=Path,
        metavar="FILE",
        help="requests to an idle server, as requests.jsonl (default: those that met an empty one)",
    )
    parser.add_argument(
        "--draws", type=int, default=20, help="of each replay (default: %(default)s)"
    )
    parser.add_argument(
        "--replications", type=int, default=40, help="of the prediction (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print plain data, no table")
    parser.add_argument("--out", type=Path, help="also write OUT.json and OUT.md with a figure")


def run(options: argparse.Namespace) -> int:
    """Compare and print. ValueError, one sentence, for what has to be changed."""
    began = datetime.now(UTC)
    settings = read_settings(options.config)
    evidence = read_evidence(options.run, settings)
    profile = _profile(options, evidence, settings)
    with Steps(Console(stderr=True), TOLD) as steps:
        found = compare(
            evidence,
            profile,
            draws=options.draws,
            replications=options.replications,
            tell=steps.begin,
        )
        steps.finish()
    command = shlex.join(["python", "-m", "analysis", "compare", options.run.name])
    plain = {"made_by": made_by(command, began, seed=found.seed), **as_plain(found)}
    if options.json:
        json.dump(plain, sys.stdout, indent=1, allow_nan=False)
        print()
    else:
        print_comparison(plain, Console())
    if options.out is not None:
        _write(plain, options.out, told=not options.json)
    return 0


def _profile(options: argparse.Namespace, evidence: Evidence, settings: ServerSettings) -> Profile:
    others = [read_evidence(folder, settings) for folder in options.profile or ()]
    if any(one.run.folder.resolve() == evidence.run.folder.resolve() for one in others):
        raise DataError(
            "--profile names the run itself; name other runs, else nothing is predicted"
        )
    idle, where = _idle(options, others, evidence)
    if others:
        names = ", ".join(one.run.name for one in others)
        return profile_of(others, idle, f"the runs {names} and {where}")
    path = options.costs or COSTS
    table = CostTable.load(path, **_setting(path, settings))
    return profile_from_table(table, idle, f"the cost table {path.name} ({table}) and {where}")


def _idle(
    options: argparse.Namespace, others: Sequence[Evidence], evidence: Evidence
) -> tuple[Overheads, str]:
    """An idle server's overheads, and whence they are known."""
    if options.idle is not None:
        return unloaded_from(read_requests(options.idle)).overheads, "an idle server"
    found = overheads_when_empty([one.run for one in others or [evidence]])
    if found is None:
        return Overheads(), (
            "no ways outside the engines (too few requests met an empty server; name a file of some"
            " that were sent one by one with --idle)"
        )
    whose = "theirs" if others else "this very run (no --idle given)"
    return found, f"requests of {whose} that met an empty server"


def _setting(path: Path, settings: ServerSettings) -> dict[str, Any]:
    pool = settings.pools[0]
    return {
        "width": settings.width,
        "height": settings.height,
        "threads": pool.threads,
        "device": pool.device,
        "dtype": settings.dtypes[pool.variants[0]],
    }


def overheads_when_empty(runs: Sequence[Run]) -> Overheads | None:
    """Medians over the requests that found nobody else in the server; None if it were too few."""
    alone: list[Request] = []
    for one in runs:
        left_s = float("-inf")
        for request in sorted(one.requests, key=lambda r: r.received_s or 0.0):
            if request.outcome is None or request.received_s is None:
                continue
            if request.received_s > left_s:
                alone.append(request)
            left_s = max(left_s, request.answered_s or 0.0)
    return unloaded_from(alone).overheads if len(alone) >= IDLE_MIN else None


def _write(plain: dict[str, Any], out: Path, *, told: bool) -> None:
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.comparison.page import blocks

    page = out.with_name(f"{out.name}.md")
    paths = write_page(blocks(plain), page)
    data = out.with_name(f"{out.name}.json")
    data.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if told:
        for path in (data, *paths):
            print(path)


def print_comparison(plain: dict[str, Any], console: Console) -> None:
    """The table, the error budget, and the notes."""
    from analysis.comparison.page import HEADS, budget_rows, methods, rows

    # A pipe has no width; fold nothing there.
    console = console if console.is_terminal else Console(file=console.file, width=200)
    title = (
        f"{plain['name']}: {plain['measured']['n']:.0f} requests at {plain['rate_per_s']:.2f}/s;"
        " in brackets: model over measurement, minus 1, or points of shares"
    )
    for heading, lines in (
        (title, rows(plain)),
        ("what makes the difference (± Monte Carlo standard error)", budget_rows(plain)),
    ):
        table = Table(title=heading)
        table.add_column("")
        for name in HEADS.values():
            table.add_column(name, justify="right")
        for line in lines:
            if line[0].isupper() and table.row_count:
                table.add_section()
            table.add_row(*(cell.replace("[", "\\[") for cell in line))
        console.print(table)
    for sentence in (*methods(plain), *plain["notes"]):
        console.print(sentence, highlight=False, markup=False)
