"""`python -m pipelines judge RUN ...` judges the pictures that load runs were served."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands import Commands


def add_to(commands: Commands) -> None:
    """Declare `judge`."""
    parser = commands.add_parser("judge", help="judge the pictures that load runs were served")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Judge every run and keep the figures beside its pictures; ValueError if it has none."""
    from pipelines.embedded.judge import load_judge
    from pipelines.judging import QUALITY_FILE, judge_run

    judge = load_judge()
    for folder in options.runs:
        figures = judge_run(folder, judge)
        print(
            f"{folder / QUALITY_FILE}: {figures['pictures']} pictures, "
            f"{figures['all_right']:.1%} all right"
        )
    return 0
