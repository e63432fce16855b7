"""What a simulation gives back: one record a request, the time line, and figures over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from policies import Counts

Status = Literal["ok", "rejected", "expired", "cancelled"]
EarlyExit = Literal["none", "replan", "finish", "hand_over"]
"""How the load ended a run early. A convergence exit depends on the picture: no model knows it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request. Times are seconds from the start; latency counts from scheduled_s.

    finished_s is the end of decoding, answered_s when the client has the picture. deadline_s is
    absolute, at the dispatcher. `reason` says why a request was refused or dropped. steps_planned
    is the first plan, cut_steps how many of steps_run were without guidance because the rung guides
    a share only. early_exit is the last that happened. degraded: delivered below the rung that the
    job gets without pressure.

    `redone` counts pictures thrown away by a cascade, `lost` runs that broke off with their
    engine. engine_s is its share of the engines' time, thrown away pictures included: of every
    second of an engine, one part for each job in it; `price` is what that cost. Fields are None
    where the job never ran.
    """

    index: int
    status: Status
    scheduled_s: float
    started_s: float | None
    finished_s: float | None
    answered_s: float
    latency_s: float
    variant: str | None = None
    steps_planned: int | None = None
    steps_run: int | None = None
    rung_admitted: int | None = None
    rung_delivered: int | None = None
    cut_steps: int = 0
    early_exit: EarlyExit = "none"
    degraded: bool = False
    engine_id: str | None = None
    pool: str | None = None
    tenant: str = ""
    tier: str = "default"
    deadline_s: float | None = None
    reason: str = ""
    redone: int = 0
    lost: int = 0
    engine_s: float = 0.0
    price: float = 0.0

    @property
    def late(self) -> bool:
        """Whether it had a deadline and no picture by then; who hung up before is not late."""
        if self.deadline_s is None:
            return False
        if self.status == "ok":
            return self.answered_s > self.deadline_s
        return self.status == "expired"


class TimePoint(NamedTuple):
    """The dispatcher's counts and rung from t_s on, until the next point."""

    t_s: float
    waiting: int
    running: int
    rung: int


@dataclass(frozen=True, slots=True)
class Result:
    """One simulated run. busy_s is the time that each engine spent in boundaries."""

    records: tuple[Record, ...]
    timeline: tuple[TimePoint, ...]
    counts: Counts
    busy_s: Mapping[str, float]

    def latencies_s(self, warm_up: int = 0) -> NDArray[np.float64]:
        """Latencies of the requests with a picture, without the first `warm_up` requests."""
        return np.array([r.latency_s for r in self.records[warm_up:] if r.status == "ok"])


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over records. Percentiles and means are over the requests with a picture."""

    requests: int
    ok: int
    rejected: int
    expired: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    mean_steps: float
    degraded_share: float


def summarise(records: Iterable[Record]) -> Summary:
    """The figures of a run; ValueError if no request got a picture."""
    listed = list(records)
    served = [record for record in listed if record.status == "ok"]
    if not served:
        raise ValueError("no request got a picture, so there is nothing to summarise")
    latencies_s = np.array([record.latency_s for record in served])
    p50_s, p95_s, p99_s = np.percentile(latencies_s, [50, 95, 99])
    return Summary(
        requests=len(listed),
        ok=len(served),
        rejected=sum(record.status == "rejected" for record in listed),
        expired=sum(record.status == "expired" for record in listed),
        mean_s=float(latencies_s.mean()),
        p50_s=float(p50_s),
        p95_s=float(p95_s),
        p99_s=float(p99_s),
        mean_steps=float(np.mean([record.steps_run or 0 for record in served])),
        degraded_share=sum(record.degraded for record in served) / len(served),
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over replications with the half-width of its confidence interval."""

    mean: float
    half_width: float
    replications: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and abs(value - self.mean) <= self.half_width


def confidence_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval for the mean of independent replications; needs at least two."""
    n = len(values)
    if n < 2:
        raise ValueError(f"a confidence interval needs at least 2 replications, got {n}")
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1")
    sample = np.asarray(values, dtype=np.float64)
    quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
    half_width = quantile * float(sample.std(ddof=1)) / math.sqrt(n)
    return Interval(float(sample.mean()), half_width, n)
