"""`python -m analysis improvement`: early exit against full service, in pairs on running servers."""

from __future__ import annotations

import argparse
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from analysis.demo import PROMPTS
from analysis.document import write_page
from analysis.improvement.measure import measure
from analysis.improvement.page import blocks, findings
from analysis.improvement.plan import ROUNDS, SECONDS, SYSTEMS, Plan
from analysis.improvement.simulated import FACTOR_LOADS, LOADS, REPLICATIONS
from analysis.improvement.study import study
from analysis.progress import Steps
from analysis.server_config import DEFAULT_CONFIG, ROOT, ConfigError
from analysis.validation.measure import portable

OUT = Path("analysis/benchmarks/improvement")
STUDY_TOLD = 1 + len(LOADS) + len(FACTOR_LOADS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--out", type=Path, default=OUT, help="writes OUT.json and OUT.md (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, help="a new folder for the raw data (default: runs/improvement-<time>)"
    )
    parser.add_argument(
        "--again", type=Path, metavar="RUNS", help="only compute, from the raw data of this folder"
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        help="the base first; fewer need less memory (default: all)",
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="each with every load on every system"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of arrivals a run (default: %(default)g)"
    )
    parser.add_argument(
        "--replications", type=int, default=REPLICATIONS, help="of every simulated load"
    )
    parser.add_argument("--port", type=int, help="the first server's, the others' follow")
    parser.add_argument("--seed", type=int, default=1, help="of all draws (default: %(default)s)")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the optimised system (YAML)"
    )
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, simulate and write; 0 whatever comes out. ValueError or MeasurementError, in one
    sentence, for what has to be changed."""
    began = datetime.now(UTC)
    if options.replications < 2:
        raise ConfigError(f"--replications must be at least 2, got {options.replications}")
    plan = None if options.again else _plan(options, began)
    with Steps(Console(stderr=True), STUDY_TOLD + (plan.steps if plan else 0)) as steps:
        folder = measure(plan, steps.begin) if plan else options.again
        results = study(folder, steps.begin, replications=options.replications)
        steps.finish()
    document = options.out.with_suffix(".json")
    for path in write_page(blocks(results), options.out.with_suffix(".md")):
        print(path)
    document.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(document)
    for sentence in findings(results):
        print(sentence)
    return 0


def _plan(options: argparse.Namespace, began: datetime) -> Plan:
    return Plan(
        out=options.runs or ROOT / "runs" / f"improvement-{began:%Y-%m-%dT%H-%M-%SZ}",
        config=options.config,
        systems=tuple(options.systems),
        rounds=options.rounds,
        seconds=options.seconds,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
        command=_command(options),
    )


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "improvement", "--rounds", str(options.rounds)]
    words += ["--seconds", f"{options.seconds:g}", "--seed", str(options.seed)]
    if tuple(options.systems) != SYSTEMS:
        words += ["--systems", *options.systems]
    if options.config != DEFAULT_CONFIG:
        words += ["--config", portable(options.config)]
    return shlex.join(words)
