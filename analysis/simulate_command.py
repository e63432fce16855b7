"""`python -m analysis simulate`: a configured server in virtual time, many times over."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from analysis.configured_server import configured_server
from analysis.prediction import TabulatedCosts
from analysis.provenance import ROOT, made_by
from analysis.records import Interval
from analysis.replications import Seeds, figures_of_run, replicated
from analysis.run_records import write_run
from analysis.server_config import Pool, ServerSettings, read_settings
from analysis.simulation_inputs import Arrival, Failure, Overheads, Server, Template
from analysis.simulator import simulate
from loadgen.arrivals import KINDS, Arrivals, make
from pipelines.costs import CostTable, load_tables
from policies.costs import Costs
from policies.nouns import ANY_QUALITY

FIGURES_FILE = "simulation.json"
PACKAGES = ("numpy", "scipy")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--config", type=Path, required=True, help="of the server (YAML)")
    parser.add_argument(
        "--costs",
        action="append",
        default=[],
        metavar="[POOL=]FILE",
        help="cost table of all engines, or of one pool; may be repeated (default: the config's)",
    )
    _add_load(parser)
    parser.add_argument(
        "--overheads",
        default="0,0,0",
        metavar="S,S,S[,S]",
        help="seconds to the dispatcher, from there to the engine, back to the client, and until"
        " an engine knows a new rung (default: %(default)s, and as a grant)",
    )
    parser.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="ENGINE:AT:BACK",
        help="an engine (main-0) dies at AT s and is back at BACK s; may be repeated",
    )
    parser.add_argument(
        "--replications", type=int, default=20, help="independent runs (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=0.0, metavar="S", help="left out of the figures"
    )
    parser.add_argument(
        "--out", type=Path, help="a new folder for the figures and the first run's requests"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def _add_load(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arrivals", choices=KINDS, default="poisson", help="(default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, metavar="PER_S", help="mean arrivals a second")
    parser.add_argument("--duration", type=float, metavar="S", help="how long requests arrive")
    parser.add_argument("--times", type=Path, help="file of arrival times, for --arrivals replay")
    parser.add_argument(
        "--seed", type=int, default=1, help="of all replications (default: %(default)s)"
    )
    parser.add_argument("--deadline", type=float, metavar="S", help="of every request")
    parser.add_argument(
        "--quality", default=ANY_QUALITY, help="the least that is wanted (default: %(default)s)"
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    options: argparse.Namespace
    server: Server
    template: Template
    jobs_expected: int

    def schedule(self, seed: int) -> Arrivals:
        o = self.options
        return make(
            o.arrivals, rate_per_s=o.rate, duration_s=o.duration, seed=seed, times_file=o.times
        )


def run(options: argparse.Namespace) -> int:
    """Simulate and print. Status 0 whatever comes out; ValueError for what has to be changed."""
    started = datetime.now(UTC)
    plan = _plan(options)
    ladder = plan.server.policy.ladder
    first: list[dict[str, Any]] = []
    console = Console(stderr=True)

    with _progress(console, plan.jobs_expected * options.replications) as advance:

        def figures(seeds: Seeds) -> Mapping[str, float]:
            schedule = plan.schedule(seeds.arrivals)
            arrivals = [Arrival(t, plan.template) for t in schedule.times_s.tolist()]
            server = replace(plan.server, seed=seeds.policy)
            result = simulate(arrivals, server, advance)
            if options.out is not None and not first:
                header = made_by(_command(options), started, seed=options.seed, packages=PACKAGES)
                network_s = server.overheads.network_s
                write_run(options.out, result, schedule, ladder, header, network_s=network_s)
                first.append(header)
            return figures_of_run(result, ladder, schedule.duration_s, options.warm_up)

        found = replicated(figures, options.seed, options.replications)
    document = _document(options, started, found)
    if options.out is not None:
        text = json.dumps(document, indent=2) + "\n"
        (options.out / FIGURES_FILE).write_text(text, encoding="utf-8")
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        _print(found, options.replications)
    return 0


def _plan(options: argparse.Namespace) -> _Plan:
    settings = read_settings(options.config)
    if options.deadline is not None and not options.deadline > 0:
        raise ValueError(f"--deadline {options.deadline} must be above 0 seconds")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed} must not be negative")
    if options.replications < 2:
        raise ValueError(
            f"--replications {options.replications} must be at least 2 for a confidence interval"
        )
    if options.warm_up < 0:
        raise ValueError(f"--warm-up {options.warm_up} must not be negative")
    if options.out is not None and options.out.exists():
        raise ValueError(f"--out {options.out} is there already; name a new folder")
    if options.arrivals == "replay" and options.times is not None:
        _check_readable(options.times)
    server = configured_server(
        settings,
        costs_of(settings, options.config.parent, options.costs),
        _overheads(options.overheads),
        [_failure(text) for text in options.fail],
    )
    template = Template(
        settings.ladder.floor_for(options.quality), deadline_after_s=options.deadline
    )
    plan = _Plan(options, server, template, 0)
    expected = len(plan.schedule(options.seed))
    if not expected:
        raise ValueError("no request falls into this run; raise --rate or --duration")
    return replace(plan, jobs_expected=expected)


def _check_readable(path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"--times {path} cannot be read ({error.strerror})") from None


def costs_of(settings: ServerSettings, folder: Path, named: Sequence[str] = ()) -> dict[str, Costs]:
    """A cost table for every pool: the one `named` ([POOL=]FILE), else the one of the configuration
    in `folder`. ValueError says what is missing."""
    files: dict[str, Path] = {}
    pools = {pool.name for pool in settings.pools}
    for text in named:
        name, _, file = text.rpartition("=")
        if name and name not in pools:
            raise ValueError(f"--costs {text}: there is no pool {name!r}")
        files[name] = Path(file)
    sections = {section["name"]: section for section in settings.content["engines"]}
    found: dict[str, Costs] = {}
    for pool in settings.pools:
        told = sections[pool.name].get("costs")
        path = files.get(pool.name) or files.get("") or (folder / told if told else None)
        if path is None:
            raise ValueError(f"pool {pool.name!r} has no cost table; name one with --costs FILE")
        table = _table(path, settings, pool)
        found[pool.name] = TabulatedCosts(table, pool.variants, pool.max_batch)
    return found


def _table(path: Path, settings: ServerSettings, pool: Pool) -> CostTable:
    """The only table of the file, whatever it was measured on, or the one of the pool's setting."""
    if len(load_tables(path)) == 1:
        return CostTable.load(path)
    return CostTable.load(
        path,
        width=settings.width,
        height=settings.height,
        dtype=settings.dtypes[pool.variants[0]],
        threads=pool.threads,
        device=None if pool.device == "auto" else pool.device,
    )


def _overheads(text: str) -> Overheads:
    try:
        seconds = [float(part) for part in text.split(",")]
    except ValueError:
        seconds = []
    if not 3 <= len(seconds) <= 4 or not all(math.isfinite(s) for s in seconds):
        raise ValueError(f"--overheads {text} must be three or four numbers of seconds")
    return Overheads(*seconds)


def _failure(text: str) -> Failure:
    engine_id, *times = text.split(":")
    try:
        at_s, back_s = (float(time) for time in times)
    except ValueError:
        raise ValueError(f"--fail {text} must be ENGINE:AT:BACK, such as main-0:60:90") from None
    return Failure(engine_id, at_s, back_s)


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, defaults and all."""
    words = ["python", "-m", "analysis", "simulate"]
    for name, value in vars(options).items():
        flag = f"--{name.replace('_', '-')}"
        if name == "command" or value is None or value is False:
            continue
        if value is True:
            words.append(flag)
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [flag, str(one).replace(f"{ROOT}/", "")]
    return shlex.join(words)


def _document(
    options: argparse.Namespace, started: datetime, found: Mapping[str, Interval]
) -> dict[str, Any]:
    header = made_by(_command(options), started, seed=options.seed, packages=PACKAGES)
    return {
        "made_by": header,
        "replications": options.replications,
        "level": 0.95,
        "figures": {name: asdict(interval) for name, interval in found.items()},
    }


def _print(found: Mapping[str, Interval], replications: int) -> None:
    table = Table(title=f"{replications} replications, 95 % confidence")
    for heading in ("figure", "mean", "±"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, interval in found.items():
        table.add_row(name, f"{interval.mean:.5g}", f"{interval.half_width:.2g}")
    Console().print(table)


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Any]:
    """A function that takes the jobs answered so far in the present run; a bar on a terminal."""
    bar = Progress(
        TextColumn("{task.completed:.0f} jobs"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=total)
    before = [0, 0]  # jobs of finished runs, and of this one

    def advance(answered: int) -> None:
        if answered < before[1]:
            before[0] += before[1]
        before[1] = answered
        bar.update(task, completed=before[0] + answered)

    with bar:
        yield advance
