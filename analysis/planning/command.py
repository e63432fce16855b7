"""`python -m analysis plan`: engines, thresholds, quality and cost for a rate, before deployment."""

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

from analysis.document import Picture, to_markdown, write_page
from analysis.planning.demand import Demand, Fleet, quality_asked
from analysis.planning.page import blocks
from analysis.planning.shards import DISPATCHER, dispatcher_times
from analysis.planning.study import (
    STUDY_QUALITY,
    STUDY_RATES_PER_S,
    STUDY_SLO,
    Sources,
    facts,
    one_plan,
    study,
    sweep,
)
from analysis.planning.trials import Trials
from analysis.prediction import TabulatedCosts
from analysis.provenance import ROOT, made_by
from analysis.server_config import DEFAULT_CONFIG, SECONDS_PER_HOUR, read_settings
from analysis.simulation_inputs import Overheads
from pipelines.costs import CostTable, load_tables

COSTS = ROOT / "analysis/benchmarks/costs.json"
MEASURED = ROOT / "analysis/results/demo/results.json"
OUT = Path("analysis/benchmarks/plan")
PACKAGES = ("numpy", "scipy")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--rate", type=float, metavar="PER_S", help="mean requests a second")
    parser.add_argument("--slo-p95", type=float, metavar="S", help="95 %% are answered within")
    parser.add_argument(
        "--min-quality",
        metavar="Q",
        help="mean score of what is delivered, 0 to 1, or the worst label allowed (high, medium, low)",
    )
    parser.add_argument(
        "--burst", type=float, default=1.0, help="peak rate over the mean (default: %(default)s)"
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the server (default: the default)"
    )
    parser.add_argument(
        "--costs", type=Path, default=COSTS, help="cost table (default: the committed one)"
    )
    parser.add_argument(
        "--overheads",
        metavar="S,S,S",
        help="seconds to the dispatcher, from there to the engine, back to the client (default:"
        " those that the committed demonstration measured on an idle server)",
    )
    parser.add_argument(
        "--slower",
        type=float,
        default=1.0,
        metavar="F",
        help="engines take so many times as long as profiled (default: %(default)s)",
    )
    parser.add_argument("--price-per-hour", type=float, metavar="P", help="of one engine")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument(
        "--study",
        "--paper",
        action="store_true",
        help="the table for 10, 1,000 and 100,000 requests/s, dispatchers included",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument(
        "--out",
        type=Path,
        help=f"writes OUT.json, OUT.md and figures, with what-if sweeps (--study: {OUT})",
    )


def run(options: argparse.Namespace) -> int:
    """Plan, print, write. ValueError for what has to be changed, with what could be had instead."""
    started = datetime.now(UTC)
    fleet, sources = _fleet(options)
    demands = _demands(options, fleet)
    for demand in demands:
        fleet.check(demand)
    price = _price(options, fleet)
    trials = Trials(fleet, options.seed)
    console = Console(stderr=True)

    def tell(what: str) -> None:
        console.print(what, highlight=False)

    out = options.out or (OUT if options.study else None)
    results: dict[str, Any] = facts(fleet, sources, demands[0], price)
    if options.study:
        results |= study(trials, demands, price, dispatcher_times(ROOT / DISPATCHER), tell)
    else:
        plan = one_plan(trials, demands[0], price, tell)
        results["plans"] = [plan]
        if out is not None:
            results["sweep"] = sweep(trials, demands[0], plan, tell)
    results["jobs_simulated"] = trials.jobs_run
    header = made_by(_command(options), started, seed=options.seed, packages=PACKAGES)
    results = json.loads(json.dumps({"made_by": header} | results))
    _tell_results(options, out, results)
    return 0


def _tell_results(options: argparse.Namespace, out: Path | None, results: dict[str, Any]) -> None:
    shown = blocks(results)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    if out is not None:
        write_page(shown, out.with_suffix(".md"))
        out.with_suffix(".json").write_text(text, encoding="utf-8")
    if options.json:
        print(text, end="")
    else:
        plain = [block for block in shown if not isinstance(block, Picture)]
        Console().print(to_markdown(plain), markup=False, highlight=False)


def _fleet(options: argparse.Namespace) -> tuple[Fleet, Sources]:
    if not (math.isfinite(options.slower) and options.slower > 0):
        raise ValueError(f"--slower {options.slower:g} must be a number above 0")
    settings = read_settings(options.config)
    if len({pool.name for pool in settings.pools}) != 1:
        raise ValueError("a plan counts like engines; name a configuration with one pool of them")
    pool = settings.pools[0]
    table = CostTable.load(options.costs, **_setting_of(options, settings, pool))
    variants = settings.ladder.variants
    costs = TabulatedCosts(table, variants, pool.max_batch, options.slower)
    overheads, told = _overheads(options.overheads)
    fleet = Fleet(settings, costs, overheads)
    quality = options.min_quality or (STUDY_QUALITY if options.study else "")
    if not quality:
        raise ValueError("--min-quality is missing: give a mean score such as 0.995, or a label")
    label, _ = quality_asked(quality)
    sources = Sources(
        config=_told(options.config),
        costs=_told(options.costs),
        costs_machine=table.machine,
        overheads=told,
        slower=options.slower,
        quality=quality,
    )
    return (fleet if label is None else fleet.cut_at(label)), sources


def _setting_of(options: argparse.Namespace, settings: Any, pool: Any) -> dict[str, Any]:
    """The only table of the file, whatever it was measured on, or the one of these engines."""
    if len(load_tables(options.costs)) == 1:
        return {}
    return {
        "width": settings.width,
        "height": settings.height,
        "dtype": settings.dtypes[pool.variants[0]],
        "threads": pool.threads,
        "device": None if pool.device == "auto" else pool.device,
    }


def _demands(options: argparse.Namespace, fleet: Fleet) -> list[Demand]:
    _, score = quality_asked(options.min_quality or STUDY_QUALITY)
    slo_s = options.slo_p95
    if options.study:
        if options.rate is not None:
            raise ValueError("--study has rates of its own; leave --rate out, or --study")
        slo_s = STUDY_SLO * fleet.unloaded_s() if slo_s is None else slo_s
        first = Demand(STUDY_RATES_PER_S[0], slo_s, score, options.burst)
        return [replace(first, rate_per_s=rate) for rate in STUDY_RATES_PER_S]
    for name, value in (("--rate", options.rate), ("--slo-p95", slo_s)):
        if value is None:
            raise ValueError(f"{name} is missing; a plan needs --rate, --slo-p95 and --min-quality")
    return [Demand(options.rate, slo_s, score, options.burst)]


def _price(options: argparse.Namespace, fleet: Fleet) -> float | None:
    if options.price_per_hour is None:
        return fleet.pool.price_per_s * SECONDS_PER_HOUR or None
    if not (math.isfinite(options.price_per_hour) and options.price_per_hour > 0):
        raise ValueError(f"--price-per-hour {options.price_per_hour:g} must be above 0")
    return float(options.price_per_hour)


def _overheads(text: str | None) -> tuple[Overheads, str]:
    if text is None:
        return _measured_overheads()
    try:
        seconds = [float(part) for part in text.split(",")]
    except ValueError:
        seconds = []
    if len(seconds) != 3 or not all(math.isfinite(s) and s >= 0 for s in seconds):
        raise ValueError(f"--overheads {text} must be three numbers of seconds, such as 0,0,0")
    return Overheads(*seconds), "as given"


def _measured_overheads() -> tuple[Overheads, str]:
    try:
        content = json.loads(MEASURED.read_text(encoding="utf-8"))
        found = Overheads(**content["unloaded"]["controlled"]["overheads"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{_told(MEASURED)} holds no measured overheads ({error!r}); give --overheads S,S,S"
        ) from None
    return found, f"idle server, {_told(MEASURED)}"


def _told(path: Path) -> str:
    """The path as it may stand on a page: within the tree, or the name alone."""
    resolved = path.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else resolved.name


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "analysis", "plan"]
    for name, value in vars(options).items():
        if name in ("command", "json") or value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(_told(value) if isinstance(value, Path) else str(value))
    return shlex.join(words)
