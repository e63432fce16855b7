"""Stands in for the processes that a validation starts: servers and loads are simulated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from analysis.faults import MeasurementError
from analysis.prediction import World
from analysis.runs import read_run
from analysis.server_config import read_settings
from analysis.validation import measure
from pipelines.costs import CostTable
from pipelines.service_costs import CostSums, Sums
from tests.analysis.synthetic_demo import (
    BATCH,
    OVERHEADS,
    STARTED_UNIX_S,
    cost_table,
    world_of,
    write_run,
    write_unloaded,
)

CALLS = 200
POOL = "main"
SIZE = (64, 64)


def counted(table: CostTable, calls: int = CALLS, slowness: float = 1.0) -> CostSums:
    """What an engine of these costs counts when it does everything `calls` times."""

    def often(seconds: float) -> Sums:
        spent_s = slowness * seconds
        return Sums(calls, calls * spent_s, calls * spent_s**2)

    batches = range(1, BATCH + 1)
    variants = table.variants
    return CostSums(
        encode={(v, 1): often(table.encode_s(v)) for v in variants},
        step={(v, *SIZE, b, b): often(table.step_s(v, b)) for v in variants for b in batches},
        decode={(v, *SIZE, b): often(table.decode_s(v, b)) for v in variants for b in batches},
    )


class Processes:
    """Every process of a validation; keeps what was asked of it. Loads whose folders are named in
    `slowness` meet engines so many times slower; `fails_at` names one that does not end well."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.servers: list[str] = []
        self.asked: list[Mapping[str, Any]] = []
        self.slowness: dict[str, float] = {}
        self.fails_at = ""
        self.tells_costs = True
        self._config = Path()

    def options(self) -> list[dict[str, str]]:
        """Of each load, as it was asked for."""
        return [dict(zip(c[3::2], c[4::2], strict=True)) for c in self.commands]

    def world(self) -> World:
        return world_of(read_settings(self._config), cost_table(), OVERHEADS)

    def run_python(
        self, arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
    ) -> int:
        self.commands.append(arguments)
        options = self.options()[-1]
        out = Path(options["--out"])
        if out.name == self.fails_at:
            raise MeasurementError(f"{what} failed")
        slowness = self.slowness.get(out.name, 1.0)
        rate_per_s, seconds = float(options["--rate"]), float(options["--duration"])
        server = self.world().slower(slowness)
        write_run(out, server, rate_per_s, seconds, int(options["--seed"]), accuracy=None)
        asked = {"model": options.get("--model"), "steps": options.get("--steps")}
        run = json.loads((out / "run.json").read_text())
        (out / "run.json").write_text(json.dumps({**run, "request": asked}))
        if self.tells_costs:
            self._write_costs(out, seconds, slowness)
        return 0

    def _write_costs(self, out: Path, seconds: float, slowness: float) -> None:
        served = len(read_run(out).outcomes)
        spent = counted(cost_table(), max(CALLS, served), slowness)
        lines = []
        for at_s, sums in ((-1.0, CostSums()), (seconds, spent)):
            engines = {"one": {"pool": POOL, "sums": sums.to_plain()}}
            lines.append(json.dumps({"unix_s": STARTED_UNIX_S + at_s, "engines": engines}))
        (out / "costs.jsonl").write_text("\n".join(lines) + "\n")

    @contextmanager
    def running_server(self, config: Path, port: int, log: Path) -> Iterator[str]:
        self._config = config
        self.servers.append(config.stem)
        yield f"http://127.0.0.1:{port}"

    def ask_one_by_one(
        self,
        url: str,
        prompts: Sequence[str],
        seed: int,
        path: Path,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self.asked.append(fields or {})
        write_unloaded(path, self.world())

    def take_the_place_of_real_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("run_python", "running_server", "ask_one_by_one"):
            monkeypatch.setattr(measure, name, getattr(self, name))
