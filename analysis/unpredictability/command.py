"""`python -m analysis unpredictability`: the variance of latency by cause, on a running server."""

from __future__ import annotations

import argparse
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from analysis.demo import PROMPTS
from analysis.document import write_page
from analysis.progress import Steps
from analysis.provenance import ROOT
from analysis.server_config import DEFAULT_CONFIG
from analysis.unpredictability.measure import SECONDS_MAX, TOLD, Plan, measure, portable
from analysis.unpredictability.page import blocks, findings
from analysis.unpredictability.study import study

OUT = Path("analysis/benchmarks/unpredictability")
STUDY_TOLD = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--out", type=Path, default=OUT, help="writes OUT.json and OUT.md (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=Path, help="a new folder for the raw data (default: runs/<name>-<time>)"
    )
    parser.add_argument(
        "--again", type=Path, metavar="RUNS", help="only compute, from the raw data of this folder"
    )
    parser.add_argument(
        "--seconds-max",
        type=float,
        default=SECONDS_MAX,
        help="of measuring; then no further block begins (default: %(default)g)",
    )
    parser.add_argument("--port", type=int, help="for the server (default: one that is free)")
    parser.add_argument("--seed", type=int, default=1, help="of all draws (default: %(default)s)")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="whose full service is measured (YAML)"
    )
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, analyse and write; 0 whatever comes out. ValueError or MeasurementError, in one
    sentence, for what has to be changed."""
    began = datetime.now(UTC)
    with Steps(Console(stderr=True), STUDY_TOLD + (0 if options.again else TOLD)) as steps:
        folder = options.again or _measure(options, began, steps)
        results = study(folder, steps.begin)
        steps.finish()
    document = options.out.with_suffix(".json")
    for path in write_page(blocks(results), options.out.with_suffix(".md")):
        print(path)
    document.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(document)
    for sentence in findings(results):
        print(sentence)
    return 0


def _measure(options: argparse.Namespace, began: datetime, steps: Steps) -> Path:
    folder = options.runs or ROOT / "runs" / f"unpredictability-{began:%Y-%m-%dT%H-%M-%SZ}"
    plan = Plan(
        out=folder,
        config=options.config,
        seconds_max=options.seconds_max,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
        command=_command(options),
    )
    return measure(plan, steps.begin)


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "unpredictability"]
    words += ["--seconds-max", f"{options.seconds_max:g}", "--seed", str(options.seed)]
    if options.config != DEFAULT_CONFIG:
        words += ["--config", portable(str(options.config.resolve()), ROOT)]
    return shlex.join(words)
