"""Stands in for the processes that the study starts: several servers at once, each simulated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.faults import MeasurementError
from analysis.improvement import measure
from analysis.prediction import World
from analysis.runs import read_run
from analysis.server_config import read_settings
from analysis.study import world_of
from pipelines.service_costs import CostSums, Sums
from tests.analysis.synthetic_demo import (
    OVERHEADS,
    STARTED_UNIX_S,
    cost_table,
    write_run,
    write_unloaded,
)
from tests.analysis.validation.synthetic_servers import CALLS, POOL, counted

ENCODE_NEW_S, ENCODE_AGAIN_S = 0.003, 0.0005
SLOWNESS = 1.25
"""Of the engines in all runs but the probes, by what they count."""

ACCURACY = {"static": 0.9, "at_start": 0.88, "in_flight": 0.86}
VARIANTS = {
    "full": {"source": "embedded:full"},
    "turbo": {"source": "embedded:turbo", "sampler": "lcm"},
}


class Processes:
    """Every process; keeps what was asked of it. `judge_fails` and `fails_at` end badly."""

    def __init__(self) -> None:
        self.loads: list[dict[str, str]] = []
        self.judged: list[str] = []
        self.up: dict[str, Path] = {}
        self.most_up = 0
        self.judge_fails = False
        self.fails_at = ""

    def world(self, url: str) -> World:
        return world_of(read_settings(self.up[url]), cost_table(), OVERHEADS)

    @contextmanager
    def running_server(self, config: Path, port: int, log: Path) -> Iterator[str]:
        url = f"http://127.0.0.1:{port}"
        self.up[url] = config
        self.most_up = max(self.most_up, len(self.up))
        try:
            yield url
        finally:
            del self.up[url]

    def ask_one_by_one(self, url: str, prompts: Sequence[str], seed: int, path: Path) -> None:
        write_unloaded(path, self.world(url))

    def run_python(
        self, arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
    ) -> int:
        if arguments[2] == "judge":
            return self._judge([Path(word) for word in arguments[3:]])
        words = [word for word in arguments[3:] if word != "--save-pictures"]
        options = dict(zip(words[::2], words[1::2], strict=True))
        saved = {"saved": str("--save-pictures" in arguments)}
        self.loads.append(options | saved | {"config": self.up[options["--url"]].stem})
        out = Path(options["--out"])
        if out.name == self.fails_at:
            return 1
        rate_per_s, seconds = float(options["--rate"]), float(options["--duration"])
        world = self.world(options["--url"])
        write_run(out, world, rate_per_s, seconds, int(options["--seed"]), accuracy=None)
        if options["--arrivals"] == "deterministic":
            write_unloaded(out / "requests.jsonl", world)
        self._write_costs(out, seconds)
        return 0

    def _write_costs(self, out: Path, seconds: float) -> None:
        slowness = 1.0 if out.name.startswith("probe") else SLOWNESS
        spent = counted(cost_table(), max(CALLS, len(read_run(out).outcomes)), slowness)
        encode_s = {measure.NEW: ENCODE_NEW_S, measure.AGAIN: ENCODE_AGAIN_S}.get(out.name)
        if encode_s is not None:
            spent = replace(spent, encode={("full", 1): Sums(5, 5 * encode_s, 5 * encode_s**2)})
        lines = []
        for at_s, sums in ((-1.0, CostSums()), (seconds, spent)):
            engines = {"one": {"pool": POOL, "sums": sums.to_plain()}}
            lines.append(json.dumps({"unix_s": STARTED_UNIX_S + at_s, "engines": engines}))
        (out / "costs.jsonl").write_text("\n".join(lines) + "\n")

    def _judge(self, runs: Sequence[Path]) -> int:
        if self.judge_fails:
            raise MeasurementError("judging the pictures failed")
        for number, run in enumerate(runs):
            self.judged.append(run.name)
            share = ACCURACY[run.name.split("-")[0]] + 0.001 * (number % 3)
            judged: dict[str, Any] = {"pictures": 60, "all_right": share}
            judged |= {"attributes": {}, "by_rung": {}}
            (run / "quality.json").write_text(json.dumps(judged))
        return 0

    def take_the_place_of_real_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("run_python", "running_server", "ask_one_by_one"):
            monkeypatch.setattr(measure, name, getattr(self, name))
