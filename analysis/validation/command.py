"""`python -m analysis validate`: loads on the running server, held against every prediction."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.demo import PROMPTS
from analysis.document import write_page
from analysis.progress import Steps
from analysis.provenance import made_by
from analysis.server_config import DEFAULT_CONFIG, ROOT, ConfigError
from analysis.validation.measure import measure, portable
from analysis.validation.plan import FULL_EXTENT, SHORT_EXTENT, Plan
from analysis.validation.study import compute, steps_of

BENCHMARKS = Path("analysis/benchmarks")
PACKAGES = ("numpy", "scipy")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--full", action="store_true", help="all twelve loads, and longer (default: six)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="writes OUT.json, OUT.md and OUT.svg (default: analysis/benchmarks/validation with"
        " --full, validation_short without)",
    )
    parser.add_argument(
        "--runs", type=Path, help="a new folder for the raw data (default: runs/validation-<time>)"
    )
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FOLDER",
        help="only compute, from the raw data of this folder",
    )
    parser.add_argument(
        "--measure-only", action="store_true", help="only measure; --again computes from it"
    )
    parser.add_argument(
        "--requests",
        type=int,
        help=f"a load (default: {FULL_EXTENT.requests} with --full, {SHORT_EXTENT.requests} without)",
    )
    parser.add_argument("--port", type=int, help="for the servers (default: one that is free)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the arrivals and the order (default: %(default)s)"
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
    console = Console(stderr=True)
    if options.again is not None and options.measure_only:
        raise ConfigError("--again measures nothing and --measure-only nothing else; drop one")
    folder = options.again or _measure(options, began, console)
    if options.measure_only:
        print(folder)
        return 0
    with Steps(console, steps_of(folder)) as steps:
        results = compute(folder, steps.begin)
        steps.finish()
    for path in _write(options, results, began):
        print(path)
    return 0


def _measure(options: argparse.Namespace, began: datetime, console: Console) -> Path:
    extent = FULL_EXTENT if options.full else SHORT_EXTENT
    if options.requests is not None:
        extent = replace(extent, requests=options.requests)
    plan = Plan(
        out=options.runs or ROOT / "runs" / f"validation-{began:%Y-%m-%dT%H-%M-%SZ}",
        extent=extent,
        config=options.config,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
        command=_command(options),
    )
    with Steps(console, plan.steps) as steps:
        folder = measure(plan, steps.begin)
        steps.finish()
    return folder


def _write(options: argparse.Namespace, results: dict[str, Any], began: datetime) -> list[Path]:
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.validation.page import blocks, summary

    full = len(results["measured"]["plan"]["loads"]) == len(FULL_EXTENT.loads)
    out: Path = options.out or BENCHMARKS / ("validation" if full else "validation_short")
    header = made_by(_command(options), began, packages=PACKAGES)
    document = _without_nan({"made_by": header, "name": out.name, **results})
    data = out.with_name(f"{out.name}.json")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(document, indent=1, allow_nan=False) + "\n"
        data.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{data} cannot be written ({error.strerror}); name another --out"
        ) from None
    pages = write_page(blocks(document), out.with_name(f"{out.name}.md"))
    for sentence in summary(document):
        print(sentence)
    if results["missing"]:
        print(f"Not measured: {', '.join(results['missing'])}.")
    return [data, *pages]


def _without_nan(value: Any) -> Any:
    """JSON has no word for a figure that is not defined but null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return value


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "validate"]
    if options.again:
        return shlex.join([*words, "--again", portable(options.again)])
    if options.full:
        words.append("--full")
    if options.requests is not None:
        words += ["--requests", str(options.requests)]
    words += ["--seed", str(options.seed)]
    if options.config != DEFAULT_CONFIG:
        words += ["--config", portable(options.config)]
    return shlex.join(words)
