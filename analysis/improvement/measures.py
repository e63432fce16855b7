"""What is compared: each measure of a run, measured or simulated, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from analysis.comparison.evidence import Evidence
from analysis.records import Record

GOALS_S = (1.0, 2.0)
"""Goodput: shares of all requests answered with a picture within these times."""

PERCENT: Final = "percent"
POINTS: Final = "points"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a run. Improvements are told in percent of the base system's, or in points of a
    share; `better` is the direction of an improvement. `kind` sorts them for readers."""

    key: str
    title: str
    unit: str
    told_in: Literal["percent", "points"]
    better: Literal["less", "more"]
    kind: Literal["speed", "work", "quality"]

    @property
    def sign(self) -> float:
        """+1 where more is better."""
        return 1.0 if self.better == "more" else -1.0


MEASURES = (
    Measure("mean_s", "mean latency", "s", PERCENT, "less", "speed"),
    Measure("p95_s", "p95 latency", "s", PERCENT, "less", "speed"),
    Measure("p99_s", "p99 latency", "s", PERCENT, "less", "speed"),
    Measure("pictures_per_s", "pictures a second", "1/s", PERCENT, "more", "speed"),
    Measure("within_1s", "answered within 1 s", "", POINTS, "more", "speed"),
    Measure("within_2s", "answered within 2 s", "", POINTS, "more", "speed"),
    Measure("engine_s", "engine seconds a picture", "s", PERCENT, "less", "work"),
    Measure("steps", "steps a picture", "", PERCENT, "more", "quality"),
    Measure("all_right", "pictures with every attribute right", "", POINTS, "more", "quality"),
)

BY_KEY = {measure.key: measure for measure in MEASURES}

Values = dict[str, float | None]
"""Of one run by measure's key; None where it was not measured."""


def measured_values(evidence: Evidence) -> Values:
    """Of a run on a live server. ValueError if no picture was served."""
    run, figures = evidence.run, evidence.measured
    if not run.outcomes:
        raise ValueError(f"no request of {run.name} was served; look at the server's log")
    served = [r for r in run.requests if r.outcome is not None]
    latencies_s = [float(r.latency_s or math.inf) for r in served]
    in_time = sum(float(r.answered_s or math.inf) <= run.duration_s for r in served)
    busy_s = sum(sums.total_s for sums in evidence.window.whole.values())
    return {
        "mean_s": figures.mean_s,
        "p95_s": figures.p95_s,
        "p99_s": figures.p99_s,
        "pictures_per_s": in_time / run.duration_s,
        **_within(latencies_s, len(run.requests)),
        "engine_s": busy_s / len(served) if evidence.window.known else None,
        "steps": figures.mean_steps,
        "all_right": None if run.quality is None else run.quality.all_right,
    }


def simulated_values(records: Sequence[Record], duration_s: float) -> Values:
    """Of a simulated run; quality is not simulated. ValueError if no picture was served."""
    served = [record for record in records if record.status == "ok"]
    if not served:
        raise ValueError("a simulated run served no request; lower the load or make it longer")
    latencies_s = np.array([record.latency_s for record in served])
    p95_s, p99_s = (float(value) for value in np.percentile(latencies_s, (95, 99)))
    return {
        "mean_s": float(latencies_s.mean()),
        "p95_s": p95_s,
        "p99_s": p99_s,
        "pictures_per_s": sum(r.answered_s <= duration_s for r in served) / duration_s,
        **_within(latencies_s.tolist(), len(records)),
        "engine_s": float(np.mean([record.engine_s for record in served])),
        "steps": float(np.mean([record.steps_run or 0 for record in served])),
        "all_right": None,
    }


def _within(latencies_s: Sequence[float], requests: int) -> dict[str, float]:
    return {
        f"within_{goal_s:g}s": sum(latency_s <= goal_s for latency_s in latencies_s) / requests
        for goal_s in GOALS_S
    }
