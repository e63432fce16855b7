"""`python -m pipelines cost-study` measures steps of many architectures, to predict others from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.commands import Commands
from pipelines.commands.arguments import check_folder_of, numbers, quieten_libraries

if TYPE_CHECKING:
    from pipelines.cost_predictor import Predictor


def add_to(commands: Commands) -> None:
    """Declare `cost-study`."""
    parser = commands.add_parser(
        "cost-study", help="measure steps of many UNets and learn to predict others (6 minutes)"
    )
    parser.set_defaults(command=run)
    parser.add_argument(
        "--out", type=Path, required=True, help="where the JSON goes; a page and figure beside it"
    )
    parser.add_argument(
        "--rows",
        type=numbers,
        default=(1, 2, 4, 8, 16),
        metavar="1,2,4",
        help="of the model call: 1 is a job without guidance, 2 one with it (default: to 8 jobs)",
    )
    parser.add_argument(
        "--latents",
        type=numbers,
        default=(8, 16, 24),
        metavar="8,16",
        help="sides of square latents (default: 8,16,24)",
    )
    parser.add_argument("--threads", type=numbers, default=(1, 2), metavar="1,2")
    parser.add_argument(
        "--dtype", action="append", default=[], help="may be repeated (default: float32, bfloat16)"
    )
    parser.add_argument("--repetitions", type=int, default=4, help="turns of each step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the measurements")


def run(options: argparse.Namespace) -> int:
    """Measure, learn, save, report. ValueError, one sentence, for input to be changed."""
    quieten_libraries()
    from pipelines.cost_predictor import learn
    from pipelines.cost_study import StudySettings, run_study
    from pipelines.cost_study_report import write_report
    from pipelines.loading import hide_loading_bars

    hide_loading_bars()
    check_folder_of(options.out)
    settings = StudySettings(
        rows=tuple(dict.fromkeys(options.rows)),
        latents=tuple(dict.fromkeys(options.latents)),
        threads=tuple(dict.fromkeys(options.threads)),
        dtypes=tuple(dict.fromkeys(options.dtype or ("float32", "bfloat16"))),
        repetitions=options.repetitions,
        device=options.device,
    )
    study = run_study(settings, seed=options.seed, command=options.command_line)
    predictor = learn(study)
    study.save(options.out, predictor.report())
    page = options.out.with_suffix(".md")
    write_report(study, predictor, page)
    console = Console()
    console.print(_table(predictor))
    console.print(f"study: {options.out}, page: {page}", highlight=False)
    return 0


def _table(predictor: Predictor) -> Table:
    shown = Table(title=f"relative error on what was left out; kept: {predictor.form}")
    for heading in ("form", "left out"):
        shown.add_column(heading)
    for heading in ("mean", "median", "90 % below", "interval held"):
        shown.add_column(heading, justify="right")
    for form, by_split in predictor.held_out.items():
        for split, held_out in by_split.items():
            errors = (held_out.mean_error, held_out.quantile(0.5), held_out.quantile(0.9))
            figures = [f"{value:.1%}" for value in (*errors, held_out.coverage)]
            shown.add_row(form, split, *figures)
    return shown
