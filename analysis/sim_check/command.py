"""`python -m analysis sim-check`: live runs beside the simulator's replays of them."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from analysis.demo import PROMPTS
from analysis.progress import Steps
from analysis.provenance import made_by
from analysis.server_config import DEFAULT_CONFIG, ROOT
from analysis.sim_check.check import REPLAYS_TOLD, check
from analysis.sim_check.measure import SECONDS, TOLD, Plan, measure, portable
from analysis.sim_check.report import summary, write

OUT = Path("analysis/benchmarks/sim_check")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--out", type=Path, default=OUT, help="writes OUT.json and OUT.md (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, help="a new folder for the raw data (default: runs/sim-check-<time>)"
    )
    parser.add_argument(
        "--again", type=Path, metavar="RUNS", help="only compute, from the raw data of this folder"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of arrivals a run (default: %(default)g)"
    )
    parser.add_argument("--port", type=int, help="for the servers (default: one that is free)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the arrivals (default: %(default)s)"
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the controlled server (YAML)"
    )
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, compare and write. Status 0 whatever comes out; ValueError or MeasurementError, in one
    sentence, for what has to be changed."""
    began = datetime.now(UTC)
    with Steps(Console(stderr=True), REPLAYS_TOLD + (0 if options.again else TOLD)) as steps:
        folder = options.again or _measure(options, began, steps)
        found = check(folder, steps.begin)
        steps.finish()
    header = made_by(_command(options), began)
    paths = write(found, header, options.out)
    for sentence in summary(found):
        print(sentence)
    for path in paths:
        print(path)
    return 0


def _measure(options: argparse.Namespace, began: datetime, steps: Steps) -> Path:
    folder = options.runs or ROOT / "runs" / f"sim-check-{began:%Y-%m-%dT%H-%M-%SZ}"
    plan = Plan(
        out=folder,
        config=options.config,
        seconds=options.seconds,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
        command=_command(options),
    )
    return measure(plan, steps.begin)


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "sim-check"]
    if options.again:
        return shlex.join([*words, "--again", portable(options.again)])
    words += ["--seconds", f"{options.seconds:g}", "--seed", str(options.seed)]
    if options.config != DEFAULT_CONFIG:
        words += ["--config", portable(options.config)]
    return shlex.join(words)
