"""Runs of servers that are the simulator itself, with what such servers tell of their costs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.comparison.lags import Lags
from analysis.comparison.profile import schedule
from analysis.comparison.replays import Conditions, Pace, replay
from analysis.prediction import capacity_per_s
from analysis.server_config import ServerSettings
from analysis.simulator import Overheads
from loadgen.arrivals import poisson
from pipelines.costs import CostTable, Measurement
from pipelines.service_costs import CostSums, Sums
from tests.analysis.synthetic_demo import BATCH, OVERHEADS, STARTED_UNIX_S, cost_table

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


@dataclass(frozen=True)
class Truth:
    """The server that really serves: engines `slowness` times slower than the table, in the seconds
    from `slow_from_s` on `later` times that, and these ways."""

    settings: ServerSettings
    slowness: float = 1.0
    later: float = 1.0
    slow_from_s: float = 0.0
    overheads: Overheads = OVERHEADS

    def pace(self) -> Pace:
        if self.later == 1.0:
            return Pace()
        return Pace((-math.inf, self.slow_from_s), (1.0, self.later))


def write_measured(
    folder: Path,
    truth: Truth,
    *,
    load: float,
    seconds: float,
    seed: int,
    times_s: Sequence[float] | None = None,
    costs: bool = True,
) -> Path:
    """A run's folder as the load generator leaves it, at `load` times the table's capacity."""
    settings, table = truth.settings, cost_table()
    rate_per_s = load * capacity_per_s(settings, table)
    if times_s is None:
        times_s = poisson(rate_per_s, seconds, seed).tolist()
    ways = truth.overheads
    slow = _slower(table, truth.slowness)
    trace = schedule(times_s, ways.network_s)
    conditions = Conditions(
        {POOL: slow},
        Lags(ways.grant_s, ways.grant_s),
        ways.response_s,
        ways.announce_s,
        truth.pace(),
    )
    served = replay(settings, conditions, trace, 0)
    assert served.rejected == 0
    assert len(served.outcomes) == len(trace.received_s)
    lines = []
    for index, (outcome, stay) in enumerate(zip(served.outcomes, served.stays, strict=True)):
        lines.append(
            {
                "index": index,
                "prompt": f"a red circle, number {index}",
                "scheduled_s": times_s[index],
                "received_s": stay.received_s,
                "answered_s": times_s[index] + outcome.latency_s,
                "latency_s": outcome.latency_s,
                "status": 200,
                "image": None,
                "serving": {
                    "variant": outcome.variant,
                    "steps_run": outcome.steps,
                    "cut_steps": outcome.cut_steps,
                    "early_exit": "none",
                    "queue_ms": 1000 * (stay.started_s - stay.received_s),
                    "service_ms": 1000 * (stay.ended_s - stay.started_s),
                },
            }
        )
    folder.mkdir(parents=True)
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = {
        "rate_per_s": rate_per_s,
        "duration_s": seconds,
        "seed": seed,
        "arrivals": "poisson",
        "request": {"model": None, "quality": None, "steps": None, "deadline_s": None},
        "commit": "abc1234",
        "hardware": {"cpu": "a machine"},
        "started_at": STARTED_UNIX_S,
        "audit": {"valid": True, "reasons": []},
    }
    (folder / "run.json").write_text(json.dumps(run))
    if costs:
        write_costs(folder, truth, seconds)
    return folder


def write_costs(folder: Path, truth: Truth, seconds: float) -> None:
    """costs.jsonl: as much work in every second, at the speed that it had."""
    so_far, lines = CostSums(), []
    for second in range(int(seconds) + 2):
        plain = {"main-0": {"pool": POOL, "sums": so_far.to_plain()}}
        lines.append({"unix_s": STARTED_UNIX_S + second, "engines": plain})
        slowness = truth.slowness * truth.pace().at(second + 0.5)
        so_far = so_far.plus(counted(cost_table(), slowness=slowness))
    (folder / "costs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _slower(table: CostTable, slowness: float) -> CostTable:
    def slow(one: Measurement) -> Measurement:
        return Measurement.exactly(slowness * one.median_s)

    variants = {
        name: replace(
            costs,
            encode_s=slow(costs.encode_s),
            step_s={batch: slow(one) for batch, one in costs.step_s.items()},
            decode_s={batch: slow(one) for batch, one in costs.decode_s.items()},
        )
        for name, costs in table.variants.items()
    }
    return replace(table, variants=variants)
