"""Measures what the check compares: runs of live servers, and what their engines' work cost.

One folder holds everything: for each run the load generator's files and `costs.jsonl`, the sums
of the engines' work as they stood before it, about once a second during it, and after it.
`analysis.sim_check.check` computes from it.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from analysis.demo import PROMPTS, read_prompts
from analysis.faults import MeasurementError
from analysis.live_plans import check_plan, free_port, new_folder
from analysis.provenance import made_by
from analysis.runs import read_requests, read_run
from analysis.server_config import (
    DEFAULT_CONFIG,
    ROOT,
    ServerSettings,
    read_settings,
    write_variants,
)
from analysis.server_process import ask_one_by_one, run_python, running_server
from analysis.sim_check.sums import SUMS_FILE, PoolSums, polled_sums, read_window, tables_of
from analysis.study import unloaded_from
from policies.costs import completion_rate_per_s
from policies.nouns import Ladder, Rung

META_FILE = "sim_check.json"
UNLOADED_FILE = "unloaded.jsonl"
STATIC, CONTROLLED = "static", "controlled"
LOADS = ((STATIC, 0.6), (CONTROLLED, 0.8), (CONTROLLED, 1.2), (CONTROLLED, 1.6))
"""Controller and offered load as a share of the full-step capacity."""

ROUNDS = 2
SECONDS = 40.0
SECONDS_MIN = 5.0
PROBE_SECONDS = 6.0
PROBE_LOAD = 2.5
"""Times the rate at which one picture after another would be made."""

WARM_UP_REQUESTS = 3
UNLOADED_REQUESTS = 20
UNLOADED_SEED = 900_000
SEED_APART = 100_000
LOADGEN_FINE = (0, 1)  # 1: the run's audit failed, which the report tells


@dataclass(frozen=True, slots=True)
class Turn:
    """One run: a load on a server, the `round` telling apart those of one load."""

    controller: str
    load: float
    round: int

    @property
    def name(self) -> str:
        """Folder of the run."""
        return f"{self.controller}-{self.load:g}-{self.round}"


def sessions() -> tuple[tuple[str, tuple[Turn, ...]], ...]:
    """Which server runs when, with what loads. There and back again, so that a machine that slowly
    changes its speed does so alike for both rounds of every load on the average."""
    static = [Turn(c, load, 1) for c, load in LOADS if c == STATIC]
    there = [Turn(c, load, 1) for c, load in LOADS if c == CONTROLLED]
    back = [Turn(turn.controller, turn.load, 2) for turn in reversed(there)]
    again = [Turn(turn.controller, turn.load, 2) for turn in static]
    return (
        (STATIC, tuple(static)),
        (CONTROLLED, (*there, *back)),
        (STATIC, tuple(again)),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `out` is the folder of the raw data, `command` what the results will tell."""

    out: Path
    config: Path = DEFAULT_CONFIG
    seconds: float = SECONDS
    seed: int = 1
    port: int | None = None
    prompts: Path = PROMPTS
    command: str = ""

    def __post_init__(self) -> None:
        check_plan(self.seconds, SECONDS_MIN, "run", self.seed, self.port)

    def seed_of(self, turn: Turn) -> int:
        """Arrival seed of a run: its own for each."""
        place = [(c, load) for c, load in LOADS].index((turn.controller, turn.load))
        return self.seed + SEED_APART * (2 * place + turn.round)


def portable(path: Path) -> str:
    """A path within the project from its root, and of any other the name alone."""
    place = path.resolve()
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else place.name


TOLD = 1 + sum(1 + len(turns) for _, turns in sessions())
"""How often `measure` tells its progress."""


@dataclass(slots=True)
class _Session:
    """What is known so far while measuring."""

    plan: Plan
    folder: Path
    tell: Callable[[str], None]
    capacity: float = 0.0
    commands: list[str] = field(default_factory=list)

    def python(self, arguments: Sequence[str]) -> Sequence[str]:
        """Notes a command and hands its arguments on."""
        words = [portable(Path(w)) if Path(w).is_absolute() else w for w in arguments]
        self.commands.append(shlex.join(["python", *words]))
        return arguments


def measure(plan: Plan, tell: Callable[[str], None] = lambda what: None) -> Path:
    """Make all runs and return their folder.

    ConfigError or MeasurementError, one sentence, for what stops it; what was measured so far stays.
    """
    folder = new_folder(plan.out)
    tell("reading the configuration")
    configs = dict(zip((STATIC, CONTROLLED), write_variants(plan.config, folder), strict=True))
    session = _Session(plan, folder, tell)
    began, load_average = datetime.now(UTC), round(os.getloadavg()[0], 2)
    port = plan.port or free_port()
    for number, (controller, turns) in enumerate(sessions()):
        tell(f"starting the {controller} server")
        config = configs[controller]
        session.python(["-m", "serve", "--config", str(config), "--port", str(port)])
        with running_server(config, port, folder / f"server-{number}.log") as url:
            _settle_in(session, url, first=number == 0)
            for turn in turns:
                tell(f"{turn.controller} server at {turn.load:g} times capacity, {turn.round}")
                rate = turn.load * session.capacity
                _drive(session, url, turn.name, rate, plan.seconds, plan.seed_of(turn))
    meta = {
        "made_by": made_by(plan.command, began, seed=plan.seed, packages=("torch", "ray")),
        "load_average_before": load_average,
        "config": portable(plan.config),
        "seconds": plan.seconds,
        "capacity_per_s": session.capacity,
        "seeds": {turn.name: plan.seed_of(turn) for _, turns in sessions() for turn in turns},
        "commands": session.commands,
    }
    (folder / META_FILE).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return folder


def _settle_in(session: _Session, url: str, *, first: bool) -> None:
    """Warm the server up; the first one also tells the overheads, the capacity, and what the
    variants cost that the loads may not reach."""
    prompts = list(reversed(read_prompts(session.plan.prompts)))
    wanted = WARM_UP_REQUESTS + (UNLOADED_REQUESTS if first else 0)
    chosen = [prompts[number % len(prompts)] for number in range(wanted)]
    warm = session.folder / "warm-up.jsonl"
    ask_one_by_one(url, chosen[:WARM_UP_REQUESTS], UNLOADED_SEED, warm)
    if not first:
        return
    path = session.folder / UNLOADED_FILE
    ask_one_by_one(url, chosen[WARM_UP_REQUESTS:], UNLOADED_SEED + WARM_UP_REQUESTS, path)
    alone = unloaded_from(read_requests(path))
    settings = read_settings(session.folder / f"{STATIC}.yaml")
    best = settings.ladder.best
    model = str(settings.content["model"]["id"])
    for rung in rungs_to_probe(settings.ladder):
        # In proportion to the steps: every batch size is met, and none for long.
        rate = PROBE_LOAD / float(np.median(alone.service_s)) * best.steps / rung.steps
        seconds = PROBE_SECONDS if rung is best else PROBE_SECONDS / 2
        options = {"--model": f"{model}/{rung.variant}", "--steps": str(rung.steps)}
        name = probe_name(rung.variant)
        _drive(session, url, name, rate, seconds, UNLOADED_SEED, options)
    window = read_window(session.folder / f"{probe_name(best.variant)}.{SUMS_FILE}")
    session.capacity = capacity_of(settings, window.whole)


def rungs_to_probe(ladder: Ladder) -> list[Rung]:
    """The best rung of each variant."""
    found: dict[str, Rung] = {}
    for rung in ladder.rungs:
        found.setdefault(rung.variant, rung)
    return list(found.values())


def probe_name(variant: str) -> str:
    """Folder of a probe."""
    return f"probe-{variant}"


def capacity_of(settings: ServerSettings, sums: PoolSums) -> float:
    """Full-step pictures a second with every engine at its batch limit, by costs in service."""
    best, tables = settings.ladder.best, tables_of(settings, sums)
    return sum(
        pool.replicas * completion_rate_per_s(tables[pool.name], best, pool.max_batch)
        for pool in settings.pools
        if best.variant in pool.variants
    )


def _drive(
    session: _Session,
    url: str,
    name: str,
    rate_per_s: float,
    seconds: float,
    seed: int,
    more: Mapping[str, str] | None = None,
) -> None:
    """One load by the load generator, as a process; the engines' sums beside it."""
    folder = session.folder / name
    options = {
        "--url": url,
        "--arrivals": "poisson",
        "--rate": f"{rate_per_s:.6f}",
        "--duration": f"{seconds:g}",
        "--seed": str(seed),
        "--prompts": str(session.plan.prompts),
        "--out": str(folder),
        **(more or {}),
    }
    words = [word for option in options.items() for word in option]
    command = session.python(["-m", "loadgen", "run", *words])
    with polled_sums(url, session.folder / f"{name}.{SUMS_FILE}") as kept:
        run_python(command, session.folder / f"{name}.log", f"the load {name}", fine=LOADGEN_FINE)
        if not (folder / "run.json").exists():
            raise MeasurementError(
                f"the load {name} left no results; see {session.folder / name}.log"
            )
        kept.wait_for(len(read_run(folder).outcomes))
