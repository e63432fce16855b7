"""How one stream is divided among several dispatchers, and what else stands before the engines.

A dispatcher is one process, and a picture costs it a few events. The time of an event is measured
(`python -m analysis bench-dispatcher`); only so much of a core is planned for these decisions,
because the messages to and from it take the rest, which is an assumption. A stream that is divided
at random stays Poisson (thinning), so each shard is a smaller system by itself; that it cannot use
another's free places is the loss, told by the chain of full service.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.planning.answers import full_model, least_full
from analysis.planning.demand import Fleet

DISPATCHER = Path("analysis/benchmarks/dispatcher.json")

EVENTS_PER_PICTURE = 4
"""An arrival, an engine's report, a finish and a tick, as in a round of the measurement."""

DECISION_SHARE = 0.25
"""Of a dispatcher's core; assumed: the rest is for messages, garbage collection and peaks."""

PER_GATEWAY_S = 100.0
"""Requests a second of one gateway process; assumed, to be measured where it is to be deployed."""

BYTES_PER_PIXEL = 3
BASE64 = 4 / 3


@dataclass(frozen=True)
class DispatcherTimes:
    """Microseconds an event (mean), with as many engines and waiting jobs as were measured."""

    mean_us: float
    p99_us: float
    engines: int
    waiting: int
    machine: str

    @property
    def pictures_per_s(self) -> float:
        """That one dispatcher is planned for."""
        return DECISION_SHARE * 1e6 / (EVENTS_PER_PICTURE * self.mean_us)


def dispatcher_times(path: Path = DISPATCHER) -> DispatcherTimes:
    """The slower of the two measured states of hysteresis, first come first served, emptiest engine.

    ValueError, one sentence, if the file cannot be read or was not written by bench-dispatcher.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            row
            for row in content["timed"]
            if (row["controller"], row["order"], row["routing"])
            == ("Hysteresis", "Fifo", "ShortestQueue")
        ]
        slowest = max(rows, key=lambda row: float(row["mean_us"]))
        command = content["made_by"]["command"]
        sizes = {name: int(n) for name, n in re.findall(r"--(engines|waiting) (\d+)", command)}
        return DispatcherTimes(
            float(slowest["mean_us"]),
            float(slowest["p99_us"]),
            sizes["engines"],
            sizes["waiting"],
            str(content["made_by"]["machine"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no times of a dispatcher ({error!r}); measure them with"
            " `python -m analysis bench-dispatcher`"
        ) from None


def shards_needed(rate_per_s: float, engines: int, times: DispatcherTimes) -> int:
    """Dispatchers for this rate and these engines: none works on more than was measured."""
    by_events = math.ceil(rate_per_s / times.pictures_per_s - 1e-9)
    by_engines = math.ceil(engines / times.engines)
    return max(1, by_events, by_engines)


def split(fleet: Fleet, rate_per_s: float, slo_p95_s: float, shards: int) -> tuple[int, float]:
    """Engines of all shards at full service, and the p95 of one, with a stream divided at random."""
    each = least_full(fleet, rate_per_s / shards, slo_p95_s)
    return shards * each, full_model(fleet, rate_per_s / shards, each).quantile_s(0.95)


def losses(
    fleet: Fleet, rate_per_s: float, slo_p95_s: float, counts: Sequence[int]
) -> list[dict[str, float]]:
    """Engines of all shards for several numbers of shards; the first row is one big queue."""
    rows = []
    for shards in sorted({1, *counts}):
        engines, p95_s = split(fleet, rate_per_s, slo_p95_s, shards)
        rows.append({"shards": shards, "engines": engines, "p95_s": p95_s})
    one = rows[0]["engines"]
    return [row | {"loss": row["engines"] / one - 1} for row in rows]


def gateways_needed(rate_per_s: float) -> int:
    """Gateway processes at the assumed rate of one."""
    return max(1, math.ceil(rate_per_s / PER_GATEWAY_S))


def bytes_per_s_at_most(rate_per_s: float, width: int, height: int) -> float:
    """Of pictures in answers: raw pixels in base64. Arithmetic; compressed ones are smaller."""
    return rate_per_s * width * height * BYTES_PER_PIXEL * BASE64
