"""`anova`: measure execution time over all combinations of settings, and analyse its variance."""

from __future__ import annotations

import argparse
import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.anova.observations import read_experiment
from analysis.anova.page import blocks
from analysis.anova.study import study
from analysis.document import write_page
from analysis.progress import Steps
from analysis.provenance import ROOT, made_by
from analysis.server_process import run_python

OUT = Path("analysis/benchmarks/anova")
SECONDS_MAX = 300.0
PACKAGES = ("numpy", "scipy", "statsmodels", "pandas")
RAW = ".jsonl"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help="writes OUT.json, OUT.md, its figures, and the raw data OUT.jsonl (default: %(default)s)",
    )
    parser.add_argument(
        "--from", dest="raw", type=Path, help="analyse these raw data instead of measuring"
    )
    parser.add_argument(
        "--seconds-max",
        type=float,
        default=SECONDS_MAX,
        help="begin no replicate that would end later; two are measured in any case"
        " (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a small design, for a trial")


def run(options: argparse.Namespace) -> int:
    """Measure, analyse, write. ValueError for what has to be changed, MeasurementError if it fails."""
    if options.seconds_max <= 0 or options.seed < 0:
        raise ValueError("--seconds-max must be above 0, and --seed 0 or more")
    if options.raw is not None and options.quick:
        raise ValueError("--quick chooses what is measured; leave it out with --from")
    started, console = datetime.now(UTC), Console()
    out = options.out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: {error.strerror}; name another") from None
    raw = out.with_name(out.name + RAW) if options.raw is None else options.raw
    with Steps(console, 4 if options.raw is None else 3) as steps:
        if options.raw is None:
            steps.begin("measuring all combinations of settings (minutes)")
            _measure(options, raw)
        found = study(read_experiment(raw), options.seed, steps.begin)
        steps.finish()
    found = {
        "made_by": made_by(_words(options), started, seed=options.seed, packages=PACKAGES)
    } | found
    pages = write_page(blocks(found), out.with_name(out.name + ".md"))
    written = [_write(found, out.with_name(out.name + ".json")), *pages]
    console.print("Written: " + ", ".join(_named(path) for path in written), highlight=False)
    return 0


def _measure(options: argparse.Namespace, raw: Path) -> None:
    """In a process of its own, which loads torch; what it says stays beside the data if it fails."""
    arguments = ["-m", "pipelines.benchmarks", "factorial", "--out", _named(raw)]
    arguments += ["--seconds-max", f"{options.seconds_max:g}", "--seed", str(options.seed)]
    arguments += ["--quick"] * options.quick
    log = raw.with_suffix(".log")
    run_python(arguments, log, "the factorial experiment")
    log.unlink()


def _write(found: dict[str, Any], path: Path) -> Path:
    """JSON with one line for each part, so that the long lists do not take a line for each number."""
    lines = [
        f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in found.items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def _words(options: argparse.Namespace) -> str:
    """The command, with paths relative to the project."""
    words = ["python", "-m", "analysis", "anova", "--out", _named(options.out.resolve())]
    if options.raw is not None:
        words += ["--from", _named(options.raw.resolve())]
    else:
        words += ["--seconds-max", f"{options.seconds_max:g}"]
    return shlex.join([*words, "--seed", str(options.seed), *["--quick"] * options.quick])


def _named(path: Path) -> str:
    """Relative to the project if it lies inside."""
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
