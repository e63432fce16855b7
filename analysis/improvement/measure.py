"""Measures the rounds on servers that are all up at once, and leaves everything in one folder.

The base server comes first: requests alone, new ones and then the same again (what the cache of
encoded prompts saves), before and after the others are up (what idle servers beside it cost), and a
probe of each variant in batches of every size. `analysis.improvement.study` computes from the folder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from analysis.comparison.sums import COSTS_FILE, read_window
from analysis.demo import read_prompts
from analysis.faults import MeasurementError
from analysis.improvement.plan import BASE, Plan
from analysis.live_plans import free_port, new_folder
from analysis.provenance import load_average, made_by
from analysis.runs import REQUESTS_FILE, RUN_FILE, read_requests
from analysis.server_config import Mode, ServerSettings, is_embedded, read_settings, write_modes
from analysis.server_process import ask_one_by_one, run_python, running_server
from analysis.study import unloaded_from
from analysis.validation.measure import PROBE_LOAD, capacity_of, portable, rungs_to_probe

META_FILE = "improvement.json"
NEW, AGAIN, BESIDE = "alone-new", "alone-again", "alone-beside"
"""Runs of requests one at a time: with new prompts, the same again, and with idle servers beside."""

ALONE = 10
ALONE_GAP = 2.0
"""Between requests one at a time, in latencies of one: the server is idle when the next comes."""

WARM_UP = 3
ALONE_SEED = 900_000
PROBE_SECONDS = 6.0
LOADGEN_FINE = (0, 1)  # 1: the run's audit failed, which the results tell


def probe_name(variant: str) -> str:
    """Folder of a probe."""
    return f"probe-{variant}"


@dataclass(slots=True)
class _Work:
    """What is known so far while measuring."""

    plan: Plan
    folder: Path
    tell: Callable[[str], None]
    commands: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def python(self, arguments: Sequence[str]) -> Sequence[str]:
        """Notes a command and hands its arguments on."""
        words = [portable(Path(w)) if Path(w).is_absolute() else w for w in arguments]
        self.commands.append(shlex.join(["python", *words]))
        return arguments


def measure(plan: Plan, tell: Callable[[str], None] = lambda what: None) -> Path:
    """Make all runs and return their folder.

    ConfigError or MeasurementError, one sentence, for what stops it; what was measured so far stays.
    """
    prompts = list(reversed(read_prompts(plan.prompts)))
    folder = new_folder(plan.out)
    configs = write_modes(plan.config, folder, plan.systems)
    settings = read_settings(configs[BASE])
    began, load_before = datetime.now(UTC), load_average()
    work = _Work(plan, folder, tell)
    with ExitStack() as servers:
        urls: dict[Mode, str] = {}

        def start(system: Mode) -> None:
            port = free_port() if plan.port is None else plan.port + len(urls)
            work.python(["-m", "serve", "--config", str(configs[system]), "--port", str(port)])
            server = running_server(configs[system], port, folder / f"server-{system}.log")
            urls[system] = servers.enter_context(server)
            ask_one_by_one(
                urls[system],
                _some(prompts, 0, WARM_UP),
                ALONE_SEED,
                folder / f"warm-{system}.jsonl",
            )

        tell(f"starting the {BASE} server")
        start(BASE)
        tell("requests alone, and each variant in batches of every size")
        for name in (NEW, AGAIN):
            _drive_alone(work, urls[BASE], name, prompts)
        capacity = _probe(work, urls[BASE], settings)
        tell(f"full-step capacity {capacity:.2f} pictures a second; starting the others")
        for system in plan.systems[1:]:
            start(system)
        tell("requests alone beside idle servers")
        _drive_alone(work, urls[BASE], BESIDE, prompts)
        for turn in plan.turns():
            tell(f"round {turn.round}: {turn.system} at {turn.load:g} times the capacity")
            seed = plan.seed_of(turn.load, turn.round)
            load = _poisson(turn.load * capacity, plan.seconds, seed, plan.prompts)
            _drive(work, urls[turn.system], turn.name, [*load, "--save-pictures"])
    tell("judging the pictures")
    _judge(work, settings)
    meta = {
        "made_by": made_by(plan.command, began, seed=plan.seed, packages=("torch", "ray")),
        "load_average_before": load_before,
        "config": portable(plan.config),
        "systems": plan.systems,
        "capacity_per_s": capacity,
        "seconds": plan.seconds,
        "turns": [
            {**turn._asdict(), "seed": plan.seed_of(turn.load, turn.round)} for turn in plan.turns()
        ],
        "commands": work.commands,
        "problems": work.problems,
    }
    (folder / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return folder


def _some(prompts: Sequence[str], first: int, number: int) -> list[str]:
    """From the file's end: as far as they go, texts that no run has sent before."""
    return [prompts[n % len(prompts)] for n in range(first, first + number)]


def _drive_alone(work: _Work, url: str, name: str, prompts: Sequence[str]) -> None:
    """The same few requests, each when the one before has long been answered."""
    path = work.folder / "alone-prompts.txt"
    lines = _some(prompts, WARM_UP, ALONE)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    warm = read_requests(work.folder / f"warm-{BASE}.jsonl")[1:]  # the first of all is slower
    gap_s = ALONE_GAP * float(np.median([one.latency_s or 0.0 for one in warm]))
    options = {"--arrivals": "deterministic", "--rate": f"{1 / gap_s:.6f}"}
    options |= {"--duration": f"{ALONE * gap_s:.6f}", "--seed": str(ALONE_SEED)}
    words = [word for option in options.items() for word in option]
    _drive(work, url, name, [*words, "--prompts", str(path)])


def _probe(work: _Work, url: str, settings: ServerSettings) -> float:
    """Load every variant; the full-step capacity by what the best one's work cost."""
    alone = unloaded_from(read_requests(work.folder / AGAIN / REQUESTS_FILE))
    best, model = settings.ladder.best, settings.content["model"]["id"]
    for rung in rungs_to_probe(settings.ladder):
        # In proportion to the steps: every batch size is met, and none for long.
        rate_per_s = PROBE_LOAD / float(np.median(alone.service_s)) * best.steps / rung.steps
        seconds = PROBE_SECONDS if rung is best else PROBE_SECONDS / 2
        load = _poisson(rate_per_s, seconds, ALONE_SEED, work.plan.prompts)
        asked = ["--model", f"{model}/{rung.variant}", "--steps", str(rung.steps)]
        _drive(work, url, probe_name(rung.variant), [*load, *asked])
    window = read_window(work.folder / probe_name(best.variant) / COSTS_FILE)
    return capacity_of(settings, window.whole)


def _poisson(rate_per_s: float, seconds: float, seed: int, prompts: Path) -> list[str]:
    options = {
        "--arrivals": "poisson",
        "--rate": f"{rate_per_s:.6f}",
        "--duration": f"{seconds:g}",
        "--seed": str(seed),
        "--prompts": str(prompts),
    }
    return [word for option in options.items() for word in option]


def _drive(work: _Work, url: str, name: str, load: Sequence[str]) -> None:
    """One load by the load generator, as a process; it ends when all is answered."""
    folder, log = work.folder / name, work.folder / f"{name}.log"
    words = ["-m", "loadgen", "run", "--url", url, "--out", str(folder), *load]
    run_python(work.python(words), log, f"the load {name}", fine=LOADGEN_FINE)
    for file in (RUN_FILE, COSTS_FILE):
        if not (folder / file).exists():
            raise MeasurementError(f"the load {name} left no {file}; see {log}")


def _judge(work: _Work, settings: ServerSettings) -> None:
    """A judge that fails costs the quality's figures, not the measurements."""
    if not is_embedded(settings):
        work.problems.append(
            "the pictures were not judged: the judge reads those of the embedded model only"
        )
        return
    runs = [str(work.folder / turn.name) for turn in work.plan.turns()]
    command = work.python(["-m", "pipelines", "judge", *runs])
    try:
        run_python(command, work.folder / "judge.log", "judging the pictures")
    except MeasurementError as error:
        work.problems.append(str(error))
