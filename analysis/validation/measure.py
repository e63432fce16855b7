"""Measures what is validated: calibrations and loads on servers of its own, one folder for all.

Each mode has its session: a server is started and warmed up, its profile is measured apart from the
loads (requests one at a time on the idle server, a probe of each variant that meets every batch
size, a calibration load), then come the loads, and another calibration load, so that the profile
sees how the machine's speed drifts. The load generator keeps the server's own figures beside each.
`analysis.validation.study` computes from the folder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.sums import COSTS_FILE, PoolSums, added, read_window, tables_of
from analysis.demo import read_prompts
from analysis.faults import MeasurementError
from analysis.live_plans import free_port, new_folder
from analysis.provenance import load_average, made_by
from analysis.runs import RUN_FILE, read_requests
from analysis.server_config import ROOT, Mode, ServerSettings, read_settings, write_modes
from analysis.server_process import ask_one_by_one, run_python, running_server
from analysis.study import unloaded_from
from analysis.validation.plan import (
    CALIBRATION_LOAD,
    MODES,
    Load,
    Plan,
    calibration_name,
    idle_file,
    probe_name,
)
from policies.costs import completion_rate_per_s
from policies.nouns import Ladder, Rung

META_FILE = "validation.json"
PACKAGES = ("torch", "ray")
PROBE_LOAD = 2.5
"""Times the rate at which one picture after another would be made."""

WARM_UP_REQUESTS = 2
"""For each variant."""

IDLE_SEED = 900_000
LOADGEN_FINE = (0, 1)  # 1: the run's audit failed, which the results tell


def portable(path: Path) -> str:
    """A path within the project from its root, and of any other the name alone."""
    place = path.resolve()
    return str(place.relative_to(ROOT)) if place.is_relative_to(ROOT) else place.name


@dataclass(slots=True)
class _Work:
    """What is known so far while measuring."""

    plan: Plan
    folder: Path
    tell: Callable[[str], None]
    began: datetime
    load_average_before: float | None
    capacity_per_s: float | None = None
    commands: list[str] = field(default_factory=list)

    def python(self, arguments: Sequence[str]) -> Sequence[str]:
        """Notes a command and hands its arguments on."""
        words = [portable(Path(w)) if Path(w).is_absolute() else w for w in arguments]
        self.commands.append(shlex.join(["python", *words]))
        return arguments

    def save(self) -> None:
        """Write down how far the measurement has come."""
        meta = {
            "made_by": made_by(
                self.plan.command, self.began, seed=self.plan.seed, packages=PACKAGES
            ),
            "load_average_before": self.load_average_before,
            "config": portable(self.plan.config),
            "capacity_per_s": self.capacity_per_s,
            "plan": self.plan.as_plain(),
            "commands": self.commands,
        }
        text = json.dumps(meta, indent=2) + "\n"
        (self.folder / META_FILE).write_text(text, encoding="utf-8")


def measure(plan: Plan, tell: Callable[[str], None] = lambda what: None) -> Path:
    """Make all runs and return their folder.

    ConfigError or MeasurementError, one sentence, for what stops it; what was measured so far stays.
    """
    prompts = list(reversed(read_prompts(plan.prompts)))
    folder = new_folder(plan.out)
    configs = write_modes(plan.config, folder, MODES)
    work = _Work(plan, folder, tell, datetime.now(UTC), load_average())
    work.save()
    port = plan.port or free_port()
    try:
        for mode, loads in plan.sessions():
            _hold_session(work, mode, loads, configs[mode], port, prompts)
    except MeasurementError as error:
        raise MeasurementError(
            f"{error}; `python -m analysis validate --again {portable(folder)}` computes from what"
            " was measured"
        ) from None
    return folder


def _hold_session(
    work: _Work,
    mode: Mode,
    loads: Sequence[Load],
    config: Path,
    port: int,
    prompts: Sequence[str],
) -> None:
    work.tell(f"starting the {mode} server")
    work.python(["-m", "serve", "--config", str(config), "--port", str(port)])
    with running_server(config, port, work.folder / f"server-{mode}.log") as url:
        capacity_per_s = _prepare(work, url, mode, read_settings(config), prompts)
        for load in loads:
            work.tell(f"{mode}: {load.share:g} times the capacity")
            rate_per_s = load.share * capacity_per_s
            seconds = work.plan.duration_s(load, capacity_per_s)
            _drive(work, url, load.name, rate_per_s, seconds, work.plan.seed_of(load))
        _calibrate(work, url, mode, 1, capacity_per_s)


def _prepare(
    work: _Work, url: str, mode: Mode, settings: ServerSettings, prompts: Sequence[str]
) -> float:
    """All that comes before a session's loads; the capacity that they are shares of, which is what
    the first session's probe and calibration load found."""
    work.tell(f"{mode}: the idle server, and each variant in batches of every size")
    _warm_up(work, url, mode, settings, prompts)
    _probe(work, url, mode, settings, prompts)
    known_per_s = work.capacity_per_s
    seen = [probe_name(mode, settings.ladder.best.variant)]
    _calibrate(work, url, mode, 0, known_per_s or capacity_of(settings, _spent(work, seen)))
    if known_per_s is None:
        known_per_s = capacity_of(settings, _spent(work, [*seen, calibration_name(mode, 0)]))
        work.capacity_per_s = known_per_s
        work.save()
    return known_per_s


def _warm_up(
    work: _Work, url: str, mode: Mode, settings: ServerSettings, prompts: Sequence[str]
) -> None:
    for rung in rungs_to_probe(settings.ladder):
        chosen = _some(prompts, WARM_UP_REQUESTS)
        path = work.folder / f"warm-up-{mode}-{rung.variant}.jsonl"
        ask_one_by_one(url, chosen, IDLE_SEED, path, _asking_for(settings, rung))


def _probe(
    work: _Work, url: str, mode: Mode, settings: ServerSettings, prompts: Sequence[str]
) -> None:
    """The overheads of the idle server, and what every variant costs in batches of every size."""
    extent = work.plan.extent
    path = work.folder / idle_file(mode)
    ask_one_by_one(url, _some(prompts, extent.idle_requests), IDLE_SEED, path)
    alone_s = float(np.median(unloaded_from(read_requests(path)).service_s))
    best = settings.ladder.best
    for rung in rungs_to_probe(settings.ladder):
        # In proportion to the steps: every batch size is met, and none for long.
        rate_per_s = PROBE_LOAD / alone_s * best.steps / rung.steps
        seconds = extent.probe_s if rung is best else extent.probe_s / 2
        asked = {f"--{name}": str(value) for name, value in _asking_for(settings, rung).items()}
        _drive(work, url, probe_name(mode, rung.variant), rate_per_s, seconds, IDLE_SEED, asked)


def _asking_for(settings: ServerSettings, rung: Rung) -> dict[str, Any]:
    """A request's fields that leave the server no choice of variant, and no more steps."""
    return {"model": f"{settings.content['model']['id']}/{rung.variant}", "steps": rung.steps}


def _some(prompts: Sequence[str], number: int) -> list[str]:
    return [prompts[n % len(prompts)] for n in range(number)]


def rungs_to_probe(ladder: Ladder) -> list[Rung]:
    """The best rung of each variant."""
    found: dict[str, Rung] = {}
    for rung in ladder.rungs:
        found.setdefault(rung.variant, rung)
    return list(found.values())


def _spent(work: _Work, names: Sequence[str]) -> PoolSums:
    """What the engines' work took in these runs."""
    spent: PoolSums = {}
    for name in names:
        spent = added(spent, read_window(work.folder / name / COSTS_FILE).whole)
    return spent


def capacity_of(settings: ServerSettings, sums: PoolSums) -> float:
    """Full-step pictures a second with every engine at its batch limit, by costs in service."""
    best, tables = settings.ladder.best, tables_of(settings, sums)
    return sum(
        pool.replicas * completion_rate_per_s(tables[pool.name], best, pool.max_batch)
        for pool in settings.pools
        if best.variant in pool.variants
    )


def _calibrate(work: _Work, url: str, mode: Mode, number: int, capacity_per_s: float) -> None:
    work.tell(f"{mode}: calibration{' again' if number else ''}")
    _drive(
        work,
        url,
        calibration_name(mode, number),
        CALIBRATION_LOAD * capacity_per_s,
        work.plan.extent.calibrations_s[number],
        work.plan.calibration_seed(mode, number),
    )


def _drive(
    work: _Work,
    url: str,
    name: str,
    rate_per_s: float,
    seconds: float,
    seed: int,
    more: Mapping[str, str] | None = None,
) -> None:
    """One load by the load generator, as a process, which keeps the server's figures beside it."""
    folder, log = work.folder / name, work.folder / f"{name}.log"
    options = {
        "--url": url,
        "--arrivals": "poisson",
        "--rate": f"{rate_per_s:.6f}",
        "--duration": f"{seconds:g}",
        "--seed": str(seed),
        "--prompts": str(work.plan.prompts),
        "--out": str(folder),
        **(more or {}),
    }
    words = [word for option in options.items() for word in option]
    command = work.python(["-m", "loadgen", "run", *words])
    run_python(command, log, f"the load {name}", fine=LOADGEN_FINE)
    for file in (RUN_FILE, COSTS_FILE):
        if not (folder / file).exists():
            raise MeasurementError(f"the load {name} left no {file}; see {log}")
    work.save()
