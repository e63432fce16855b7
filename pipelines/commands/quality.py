"""`python -m pipelines quality` measures quality against cost for every way to spend less on a picture."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pipelines.commands import Commands
from pipelines.commands.arguments import quieten_libraries
from pipelines.costs import CostTable
from pipelines.embedded.scenes import PICTURE_PX

if TYPE_CHECKING:
    from pipelines.quality_study.results import Study

WEIGHTS = Path(__file__).resolve().parents[1] / "embedded" / "weights"
_PROMPTS = 100
_SEED = 7
_GUIDANCE = 2.5


def add_to(commands: Commands) -> None:
    """Declare `quality`."""
    parser = commands.add_parser(
        "quality", help="measure quality against cost for every early exit (10 min on two cores)"
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "--weights",
        nargs="+",
        type=Path,
        default=[WEIGHTS / name for name in ("full", "small", "turbo")],
        metavar="FOLDER",
        help="pipeline folders, the full one first (default: the embedded model's)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where results go")
    parser.add_argument("--prompts", type=int, default=_PROMPTS, help="in each category")
    parser.add_argument("--seed", type=int, default=_SEED)
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="settings measured side by side, each on one thread (default: all cores)",
    )
    parser.add_argument(
        "--guidance", type=float, default=_GUIDANCE, help="guidance scale of undistilled variants"
    )
    parser.add_argument(
        "--costs",
        type=Path,
        metavar="FILE",
        help="cost table for engine seconds (default: count network operations)",
    )
    parser.add_argument(
        "--cost-threads",
        type=int,
        metavar="T",
        help="which of the file's tables, if it has several",
    )
    parser.add_argument(
        "--from",
        dest="measured",
        type=Path,
        metavar="FILE",
        help="render an earlier quality.json again, without making a picture",
    )


def run(options: argparse.Namespace) -> int:
    """Measure or read, and write quality.json, quality.md, quality.svg and pareto.json."""
    from pipelines.quality_study.rendering import render
    from pipelines.quality_study.results import Study

    table = _costs(options)
    earlier = None if options.measured is None else Study.load(options.measured)
    options.out.mkdir(parents=True, exist_ok=True)
    study = _measure(options) if earlier is None else earlier
    for path in render(study, table, options.out):
        print(path)
    return 0


def _costs(options: argparse.Namespace) -> CostTable | None:
    """The file's table for what the study measures: its size of picture, float32, on the CPU."""
    if options.costs is None:
        return None
    return CostTable.load(
        options.costs,
        width=PICTURE_PX,
        height=PICTURE_PX,
        dtype="float32",
        threads=options.cost_threads,
        device="cpu",
    )


def _measure(options: argparse.Namespace) -> Study:
    quieten_libraries()
    from pipelines.quality_study.study import Scope, run_study

    scope = Scope(
        folders=tuple(options.weights),
        prompts=options.prompts,
        seed=options.seed,
        cores=options.threads,
        guidance_scale=options.guidance,
    )
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns) as bar:
        task = bar.add_task("loading", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        return run_study(scope, options.command_line, show)
