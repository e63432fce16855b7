"""Independent replications of a simulation: their figures with confidence intervals.

Every replication has its own seeds, spawned from one: numpy's `SeedSequence` makes the streams of
its children independent, which consecutive numbers as seeds do not promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.records import Interval, Record, Result, confidence_interval, summarise
from policies.nouns import Ladder


@dataclass(frozen=True, slots=True)
class Seeds:
    """Of one replication: for its arrivals, and for what the policy draws."""

    arrivals: int
    policy: int


def spawned(seed: int, replications: int) -> Iterator[Seeds]:
    """Independent seeds for each replication. ValueError for a negative seed or fewer than 2."""
    if seed < 0:
        raise ValueError(f"seed {seed} must not be negative")
    if replications < 2:
        raise ValueError(f"a confidence interval needs at least 2 replications, got {replications}")
    for child in np.random.SeedSequence(seed).spawn(replications):
        arrivals, policy = child.generate_state(2)
        yield Seeds(int(arrivals), int(policy))


def replicated(
    run: Callable[[Seeds], Mapping[str, float]],
    seed: int,
    replications: int,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Every figure of `run` with Student's interval over the replications.

    ValueError if a replication has other figures than the first, or as for `spawned`.
    """
    columns: dict[str, list[float]] = {}
    for number, seeds in enumerate(spawned(seed, replications)):
        figures = run(seeds)
        if number and figures.keys() != columns.keys():
            raise ValueError(f"replication {number} has other figures than the first")
        for name, value in figures.items():
            columns.setdefault(name, []).append(value)
    return {name: confidence_interval(values, level) for name, values in columns.items()}


def figures_of_run(
    result: Result, ladder: Ladder, duration_s: float, warm_up_s: float = 0.0
) -> dict[str, float]:
    """What one simulated run comes to, over the requests scheduled from warm_up_s on.

    Latencies, steps and price are of the requests with a picture, shares of all; `late_share` is
    among those with a deadline, and `score` is the mean quality delivered: both are there only if
    there is something to tell. Busy and peak_waiting are of the whole run. ValueError if no request
    got a picture.
    """
    records = [record for record in result.records if record.scheduled_s >= warm_up_s]
    summary = summarise(records)
    served = [record for record in records if record.status == "ok"]
    ended_s = max(duration_s, max(record.answered_s for record in result.records))
    figures = {
        "mean_s": summary.mean_s,
        "p50_s": summary.p50_s,
        "p95_s": summary.p95_s,
        "p99_s": summary.p99_s,
        "mean_steps": summary.mean_steps,
        "degraded_share": summary.degraded_share,
        "refused_share": 1.0 - summary.ok / summary.requests,
        "busy_share": sum(result.busy_s.values()) / len(result.busy_s) / ended_s,
        "peak_waiting": float(max((point.waiting for point in result.timeline), default=0)),
        "engine_s_per_picture": sum(record.engine_s for record in records) / len(served),
        "price_per_picture": sum(record.price for record in records) / len(served),
    }
    promised = [record for record in records if record.deadline_s is not None]
    if promised:
        figures["late_share"] = sum(record.late for record in promised) / len(promised)
    if all(rung.score is not None for rung in ladder.rungs):
        figures["score"] = _mean_score(served, ladder.scores())
    return figures


def _mean_score(served: list[Record], scores: tuple[float, ...]) -> float:
    """Of the rungs delivered; what an early exit leaves of a rung's quality no score tells."""
    return float(np.mean([scores[record.rung_delivered or 0] for record in served]))
