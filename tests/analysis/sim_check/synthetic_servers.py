"""Stands in for the processes that the check starts: servers and loads are simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis.prediction import World
from analysis.server_config import read_settings
from analysis.sim_check import measure, sums
from pipelines.costs import CostTable
from pipelines.service_costs import CostSums, Sums
from tests.analysis.synthetic_demo import (
    BATCH,
    OVERHEADS,
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
    """Every process of the check; keeps what was asked of it. Loads whose folders are named in
    `slowness` meet engines so many times slower."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.servers: list[str] = []
        self.slowness: dict[str, float] = {}
        self.loses_pictures = False
        self._config = Path()
        self._so_far = CostSums()

    def world(self) -> World:
        return world_of(read_settings(self._config), cost_table(), OVERHEADS)

    def run_python(
        self, arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
    ) -> int:
        self.commands.append(arguments)
        options = dict(zip(arguments[3::2], arguments[4::2], strict=True))
        out = Path(options["--out"])
        slowness = self.slowness.get(out.name, 1.0)
        rate_per_s, seconds = float(options["--rate"]), float(options["--duration"])
        server = self.world().slower(slowness)
        write_run(out, server, rate_per_s, seconds, int(options["--seed"]), accuracy=None)
        if not self.loses_pictures:
            self._so_far = self._so_far.plus(counted(cost_table(), slowness=slowness))
        return 0

    @contextmanager
    def running_server(self, config: Path, port: int, log: Path) -> Iterator[str]:
        self._config = config
        self._so_far = CostSums()
        self.servers.append(config.stem)
        yield f"http://127.0.0.1:{port}"

    def ask_one_by_one(self, url: str, prompts: Sequence[str], seed: int, path: Path) -> None:
        write_unloaded(path, self.world())

    def ask_sums(self, url: str) -> dict[str, CostSums]:
        return {POOL: self._so_far}

    def take_the_place_of_real_ones(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("run_python", "running_server", "ask_one_by_one"):
            monkeypatch.setattr(measure, name, getattr(self, name))
        monkeypatch.setattr(sums, "ask_sums", self.ask_sums)
