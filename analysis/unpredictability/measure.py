"""Measures the blocks of a design on a server of its own and leaves everything in one folder.

`visits.jsonl` has a line for each request that was asked alone, each replay is a folder of the load
generator, and `session.json`, written at the end, says what was done. `analysis.unpredictability.study`
computes from that folder alone.
"""

from __future__ import annotations

import json
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml

from analysis.demo import PROMPTS, read_prompts
from analysis.faults import MeasurementError
from analysis.live_plans import check_seed_and_port, free_port, new_folder
from analysis.provenance import made_by
from analysis.runs import REQUESTS_FILE, Request, read_requests
from analysis.server_config import DEFAULT_CONFIG, ROOT, ConfigError, read_settings, write_modes
from analysis.server_process import REQUEST_TIMEOUT_S, run_python, running_server
from analysis.unpredictability.design import (
    BLOCKS,
    ENGINES,
    PANEL,
    REPLAY,
    REPLAYED_ON,
    TRACE,
    VISIT,
    Design,
    Turn,
    as_plain,
    design_of,
    prompt_lines,
    two_engines,
)

SESSION_FILE = "session.json"
VISITS_FILE = "visits.jsonl"
CONFIG_FILE = "two-engines.yaml"
TIMES_FILE = "times.txt"
WARM_UP = "warm-up"

SECONDS_MAX = 150.0
SECONDS_MIN = 10.0
BLOCKS_MIN = 2
TOLD = 2 + BLOCKS
"""How often `measure` tells its progress, at most."""

LOADGEN_FINE = (0, 1)  # 1: the audit's gates are for longer runs than a trace of some seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `out` is the folder of the raw data, `command` what the results will tell.

    No block begins that would likely end later than `seconds_max` after the first began, but for the
    two that intervals need.
    """

    out: Path
    config: Path = DEFAULT_CONFIG
    seconds_max: float = SECONDS_MAX
    seed: int = 1
    port: int | None = None
    prompts: Path = PROMPTS
    command: str = ""

    def __post_init__(self) -> None:
        check_seed_and_port(self.seed, self.port)
        if self.seconds_max < SECONDS_MIN:
            raise ConfigError(
                f"--seconds-max must be at least {SECONDS_MIN:g}, got {self.seconds_max:g}: less shows"
                " nothing"
            )


@dataclass(slots=True)
class _Session:
    plan: Plan
    folder: Path
    design: Design
    url: str
    model: str
    visits: TextIO
    began_s: float = field(default_factory=time.monotonic)
    sent_first: tuple[str, ...] = ()
    commands: list[str] = field(default_factory=list)

    def model_on(self, engine: str) -> str:
        """The model's name that only this engine serves."""
        return f"{self.model}/{engine}"


def measure(plan: Plan, tell: Callable[[str], None] = lambda what: None) -> Path:
    """Measure and return the folder.

    ConfigError or MeasurementError, one sentence, for what stops it; what was measured so far stays.
    """
    design = design_of(plan.seed, read_prompts(plan.prompts))
    folder = new_folder(plan.out)
    static = read_settings(write_modes(plan.config, folder, ("static",))["static"])
    config = folder / CONFIG_FILE
    config.write_text(yaml.safe_dump(two_engines(static), sort_keys=False), encoding="utf-8")
    began = datetime.now(UTC)
    tell("starting the server with two engines")
    with _session(plan, folder, design, config) as session:
        tell("warming up: the panel on both engines, the trace once")
        alone_s = _warm_up(session)
        done = _blocks(session, tell)
    meta = {
        "made_by": made_by(plan.command, began, seed=plan.seed, packages=("torch", "ray")),
        "alone_s": alone_s,
        "blocks": done,
        "blocks_planned": len(design.blocks),
        "design": as_plain(design, done),
        "commands": session.commands,
    }
    (folder / SESSION_FILE).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    return folder


@contextmanager
def _session(plan: Plan, folder: Path, design: Design, config: Path) -> Iterator[_Session]:
    model = str(read_settings(config).content["model"]["id"])
    with (
        running_server(config, plan.port or free_port(), folder / "server.log") as url,
        (folder / VISITS_FILE).open("w", encoding="utf-8") as visits,
    ):
        yield _Session(plan, folder, design, url, model, visits)


def _warm_up(session: _Session) -> float:
    """Every text has been encoded after it, and it is known what one request takes alone, and in
    which order the load generator sends the prompts; the seconds of the first."""
    latencies = []
    for engine in ENGINES:
        for number in range(PANEL):
            answer = _ask(session, engine, number)
            latencies.append(answer["latency_s"])
    alone_s = float(np.median(latencies))
    times = "".join(f"{time_s}\n" for time_s in session.design.times_s(alone_s))
    (session.folder / TIMES_FILE).write_text(times, encoding="utf-8")
    served = _replay(session, WARM_UP, session.design.prompts)
    session.sent_first = tuple(request.prompt for request in served)
    return alone_s


def _blocks(session: _Session, tell: Callable[[str], None]) -> int:
    """Measure blocks until all are done or the time is up; how many were."""
    began_s = time.monotonic()
    longest_s = 0.0
    for number, block in enumerate(session.design.blocks):
        block_began_s = time.monotonic()
        left_s = session.plan.seconds_max - (block_began_s - began_s)
        if number >= BLOCKS_MIN and left_s < longest_s:
            return number
        tell(f"block {number + 1}")
        for turn in block:
            if turn.kind == VISIT:
                _visit(session, turn)
            else:
                lines = prompt_lines(session.design, session.sent_first, turn)
                _replay(session, turn.name, lines)
        longest_s = max(longest_s, time.monotonic() - block_began_s)
    return len(session.design.blocks)


def _visit(session: _Session, turn: Turn) -> None:
    for number in turn.order:
        line = {"block": turn.block, "engine": turn.what, "request": number}
        session.visits.write(json.dumps(line | _ask(session, turn.what, number)) + "\n")
    session.visits.flush()


def _ask(session: _Session, engine: str, number: int) -> dict[str, Any]:
    """One request of the panel on an engine that is idle. MeasurementError if it is not served."""
    body = {
        "model": session.model_on(engine),
        "prompt": session.design.prompts[number],
        "seed": session.design.picture_seed(number),
    }
    request = urllib.request.Request(
        f"{session.url}/v1/images/generations",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    sent_s = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as answer:
            content = answer.read()
        latency_s = time.monotonic() - sent_s
        serving = json.loads(content)["data"][0]["serving"]
        service_s = float(serving["service_ms"]) / 1000
        variant = str(serving["variant"])
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace").strip()
        raise MeasurementError(f"the server refused a request: {told}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise MeasurementError(f"the server did not answer a request ({error!r})") from None
    if variant != engine:
        raise MeasurementError(f"a request for engine {engine} was served by {variant}")
    return {
        "asked_s": round(sent_s - session.began_s, 6),
        "latency_s": round(latency_s, 6),
        "service_s": round(service_s, 6),
    }


def _replay(session: _Session, name: str, lines: Sequence[str]) -> tuple[Request, ...]:
    """The trace with these lines as its prompts, by the load generator; what was served."""
    prompts = session.folder / f"{name}.prompts.txt"
    prompts.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    options = {
        "--url": session.url,
        "--arrivals": "replay",
        "--times": str(session.folder / TIMES_FILE),
        "--seed": str(session.design.seed),
        "--prompts": str(prompts),
        "--model": session.model_on(REPLAYED_ON),
        "--out": str(session.folder / name),
    }
    command = ["-m", "loadgen", "run", *(word for option in options.items() for word in option)]
    session.commands.append(portable(shlex.join(["python", *command]), session.folder))
    log = session.folder / f"{name}.log"
    run_python(command, log, f"the replay {name}", fine=LOADGEN_FINE)
    return read_replay(session.folder / name)


def portable(text: str, folder: Path) -> str:
    """The text with paths relative to the raw data's folder and the project."""
    return text.replace(f"{folder}/", "").replace(f"{ROOT}/", "")


def read_replay(folder: Path) -> tuple[Request, ...]:
    """The requests of a replay by their place. MeasurementError if one was not served."""
    path = folder / REQUESTS_FILE
    if not path.exists():
        raise MeasurementError(f"the replay {folder.name} left no results; see {folder}.log")
    requests = tuple(sorted(read_requests(path), key=lambda request: request.index))
    if len(requests) != TRACE or any(request.outcome is None for request in requests):
        raise MeasurementError(
            f"the replay {folder.name} did not have all its {TRACE} requests served; see {folder}.log"
        )
    return requests


def replays_of(design: Design) -> list[Turn]:
    """All replays of the blocks that were measured, in their order."""
    return [turn for block in design.blocks for turn in block if turn.kind == REPLAY]
