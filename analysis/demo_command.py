"""`python -m analysis demo` runs the demonstration; `python -m analysis report RUN` reports again."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from analysis.demo import PROMPTS, SECONDS, STEPS_TOTAL, Plan, default_folder, measure
from analysis.progress import Steps
from analysis.server_config import DEFAULT_CONFIG

REPORT_STEPS = 4 + 1
"""How often `write_report` tells its progress."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands to `python -m analysis`."""
    demo = commands.add_parser("demo", help="overload a static and a controlled server (8 minutes)")
    demo.add_argument("--out", type=Path, help="a new folder (default: runs/<time>)")
    demo.add_argument(
        "--seconds", type=float, default=SECONDS, help="of arrivals per load (default: %(default)g)"
    )
    demo.add_argument("--port", type=int, help="for the servers (default: one that is free)")
    demo.add_argument("--seed", type=int, default=1, help="of the arrivals (default: 1)")
    demo.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the controlled server (YAML)"
    )
    demo.add_argument("--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line")
    report = commands.add_parser("report", help="build the report of a demo again from its data")
    report.add_argument("folder", type=Path, help="the demo's folder, such as runs/<time>")


def run(options: argparse.Namespace) -> int:
    """Measure and report. ConfigError or DemoError for what stops it."""
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


def run_report(options: argparse.Namespace) -> int:
    """Report on what was measured before. DataError or ValueError for what is wrong with it."""
    with Steps(Console(stderr=True), REPORT_STEPS) as steps:
        return _write(options.folder, steps)


def _write(folder: Path, steps: Steps) -> int:
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.report import write_report
    from analysis.tables import print_study

    study, page = write_report(folder, steps.begin)
    steps.finish()
    print_study(study, Console())
    print(f"report: {page}")
    return 0
