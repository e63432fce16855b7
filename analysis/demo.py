"""The demonstration: measure this machine, load two servers, keep the raw data.

Everything measured goes into one folder; `analysis.study` computes from that folder alone.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.faults import MeasurementError
from analysis.live_plans import check_plan, free_port, new_folder
from analysis.prediction import capacity_per_s
from analysis.server_config import (
    DEFAULT_CONFIG,
    ROOT,
    ConfigError,
    is_embedded,
    profile_command,
    read_settings,
    write_variants,
)
from analysis.server_process import ask_one_by_one, run_python, running_server
from analysis.study import (
    CONTROLLERS,
    COSTS_FILE,
    HIGH,
    LOW,
    META_FILE,
    run_name,
    unloaded_file,
)
from pipelines.costs import CostTable

PROMPTS = ROOT / "loadgen" / "prompts.txt"
SECONDS = 50.0
"""How long requests arrive in each load. The static server needs half of it again to drain."""

SECONDS_MIN = 5.0
WARM_UP_REQUESTS = 3
UNLOADED_REQUESTS = 15
UNLOADED_SEED = 900_000
LOADGEN_FINE = (0, 1)  # 1: the run's audit failed, which the report tells


def portable(text: str) -> str:
    """The text with paths relative to the project, so that what is recorded can be run elsewhere."""
    return text.replace(f"{ROOT}/", "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    out: Path
    config: Path = DEFAULT_CONFIG
    seconds: float = SECONDS
    seed: int = 1
    port: int | None = None
    prompts: Path = PROMPTS

    def __post_init__(self) -> None:
        check_plan(self.seconds, SECONDS_MIN, "load", self.seed, self.port)

    def seed_of(self, load: float) -> int:
        """Arrival seed of a load: the same for both servers, so that their runs are paired."""
        return self.seed if load == LOW else self.seed + 100_000


@dataclass(slots=True)
class _Notes:
    """What was done, kept for the report."""

    commands: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def python(self, arguments: Sequence[str]) -> Sequence[str]:
        """Notes a command and hands its arguments on."""
        self.commands.append(portable(shlex.join(["python", *arguments])))
        return arguments


STEPS_TOTAL = 2 + 2 * 4 + 1
"""How often `measure` tells its progress."""


def measure(plan: Plan, on_progress: Callable[[str], None] = lambda what: None) -> Path:
    """Run the whole experiment and return its folder.

    ConfigError or MeasurementError, one sentence, for what stops it; what was measured so far stays.
    """
    settings = read_settings(plan.config)
    prompts = read_prompts(plan.prompts)
    notes = _Notes()
    folder = new_folder(plan.out, " with --out")
    configs = dict(zip(CONTROLLERS, write_variants(plan.config, folder), strict=True))
    began_unix_s = time.time()

    on_progress("measuring what a step costs on this machine")
    # As written: its sources are absolute, wherever the original stands.
    written = read_settings(configs["controlled"])
    profile = notes.python(profile_command(written, folder / COSTS_FILE))
    run_python(profile, folder / "profile.log", "measuring the cost table")
    costs = CostTable.load(folder / COSTS_FILE)
    capacity = capacity_per_s(settings, costs)
    on_progress(f"full-step capacity {capacity:.2f} pictures a second")

    port = plan.port or free_port()
    for controller in CONTROLLERS:
        on_progress(f"starting the {controller} server")
        config = configs[controller]
        notes.python(["-m", "serve", "--config", str(config), "--port", str(port)])
        with running_server(config, port, folder / f"server-{controller}.log") as url:
            on_progress(f"{controller} server: one request at a time")
            _measure_unloaded(url, prompts, folder / unloaded_file(controller))
            for load in (LOW, HIGH):
                on_progress(f"{controller} server at {load:g} times capacity")
                _drive(plan, url, folder, controller, load, load * capacity, notes)

    on_progress("judging the pictures")
    _judge(folder, is_embedded(settings), notes)
    meta = _meta(plan, costs, capacity, port, began_unix_s, notes)
    text = json.dumps(meta, indent=2, ensure_ascii=False)
    (folder / META_FILE).write_text(text + "\n", encoding="utf-8")
    return folder


def read_prompts(path: Path) -> list[str]:
    """The lines of the prompts' file; ConfigError if it cannot be read or holds none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read; name a file of prompts with --prompts") from None
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ConfigError(f"{path} holds no prompts; write one a line, or name another file")
    return prompts


def default_folder() -> Path:
    """runs/<time>, in UTC."""
    return ROOT / "runs" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def _measure_unloaded(url: str, prompts: Sequence[str], path: Path) -> None:
    """Prompts from the file's end, each but once as far as they go: their texts are encoded."""
    last_first = list(reversed(prompts))
    wanted = WARM_UP_REQUESTS + UNLOADED_REQUESTS
    chosen = [last_first[number % len(last_first)] for number in range(wanted)]
    ask_one_by_one(url, chosen[:WARM_UP_REQUESTS], UNLOADED_SEED, path)
    ask_one_by_one(url, chosen[WARM_UP_REQUESTS:], UNLOADED_SEED + WARM_UP_REQUESTS, path)


def _drive(
    plan: Plan,
    url: str,
    folder: Path,
    controller: str,
    load: float,
    rate_per_s: float,
    notes: _Notes,
) -> None:
    """One load by the load generator, as a process; it keeps the server's own figures beside it."""
    name = run_name(controller, load)
    options = {
        "--url": url,
        "--arrivals": "poisson",
        "--rate": f"{rate_per_s:.6f}",
        "--duration": f"{plan.seconds:g}",
        "--seed": str(plan.seed_of(load)),
        "--prompts": str(plan.prompts),
        "--out": str(folder / name),
    }
    words = [word for option in options.items() for word in option]
    command = notes.python(["-m", "loadgen", "run", *words, "--save-pictures"])
    run_python(command, folder / f"{name}.log", f"the load {name}", fine=LOADGEN_FINE)
    if not (folder / name / "run.json").exists():
        raise MeasurementError(f"the load {name} left no results; see {folder / name}.log")


def _judge(folder: Path, can_be_judged: bool, notes: _Notes) -> None:
    """A judge that fails costs the quality's verdicts, not the measurements."""
    if not can_be_judged:
        notes.problems.append(
            "the pictures were not judged: the judge reads those of the embedded model only"
        )
        return
    runs = [str(folder / run_name(c, load)) for load in (LOW, HIGH) for c in CONTROLLERS]
    command = notes.python(["-m", "pipelines", "judge", *runs])
    try:
        run_python(command, folder / "judge.log", "judging the pictures")
    except MeasurementError as error:
        notes.problems.append(str(error))


def _meta(
    plan: Plan, costs: CostTable, capacity: float, port: int, began_unix_s: float, notes: _Notes
) -> dict[str, Any]:
    return {
        "began": datetime.fromtimestamp(began_unix_s, UTC).isoformat(timespec="seconds"),
        "took_s": round(time.time() - began_unix_s, 1),
        "machine": costs.machine,
        "commit": costs.commit,
        "config": portable(str(plan.config)),
        "seconds": plan.seconds,
        "port": port,
        "capacity_per_s": capacity,
        "seeds": {f"{load:g}": plan.seed_of(load) for load in (LOW, HIGH)},
        "commands": notes.commands,
        "problems": notes.problems,
    }
