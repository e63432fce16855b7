"""`python -m analysis demo` runs the demonstration, and reports on it."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from analysis.demo import PROMPTS, SECONDS, STEPS_TOTAL, Plan, default_folder, measure
from analysis.progress import Steps
from analysis.server_config import DEFAULT_CONFIG

REPORT_STEPS = 4 + 1
"""How often `write_report` tells its progress."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, help="a new folder (default: runs/<time>)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of arrivals per load (default: %(default)g)"
    )
    parser.add_argument("--port", type=int, help="for the servers (default: one that is free)")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default: 1)")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the controlled server (YAML)"
    )
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line"
    )
    parser.add_argument(
        "--again", type=Path, metavar="FOLDER", help="report on an earlier demo, measure nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Measure and report. ConfigError or MeasurementError for what stops it, DataError for a folder
    of an earlier demo that cannot be used."""
    if options.again is not None:
        with Steps(Console(stderr=True), REPORT_STEPS) as steps:
            return _write(options.again, steps)
    plan = Plan(
        out=options.out or default_folder(),
        config=options.config,
        seconds=options.seconds,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
    )
    with Steps(Console(stderr=True), STEPS_TOTAL + REPORT_STEPS) as steps:
        return _write(measure(plan, steps.begin), steps)


def _write(folder: Path, steps: Steps) -> int:
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.demo_report import write_report
    from analysis.tables import print_study

    study, page = write_report(folder, steps.begin)
    steps.finish()
    print_study(study, Console())
    print(f"report: {page}")
    return 0
