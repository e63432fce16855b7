"""The parts of a latency, most of all those outside the engine, each with intervals.

From the scheduled instant to the server's receipt; in the queue, of which the wait for a place is the
queue's own and the start after that is an overhead; in the engine; from the end of decoding to the
answer at the client. The means of the parts add up to the mean latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.lags import Stay, start_lags, stays_of
from analysis.estimation.service_law import Estimate
from analysis.intervals import block_bootstrap, mean_of, percentile_of
from analysis.runs import Request

Array = NDArray[np.float64]

SERVED_MIN = 10
DRAWS = 1000
SEED = 1


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of one part over the `n` requests that had it."""

    name: str
    n: int
    mean_s: Estimate
    median_s: Estimate
    p95_s: Estimate


@dataclass(frozen=True, slots=True)
class Overheads:
    """`latency` and the `parts` it is the sum of; `starts`: from a free place, or from the arrival
    if a place was free, to the engine's start, apart. `place_wait_s`: the mean wait for a place,
    which is what the queue has left without the starts. `inside_max`: most in service at once."""

    latency: Part
    parts: tuple[Part, ...]
    starts: tuple[Part, ...]
    place_wait_s: float
    places: int
    inside_max: int


def study_overheads(requests: Sequence[Request], places: int) -> Overheads:
    """Of a run's served requests on a server with `places` places in its engines.

    ValueError for fewer than 10 served requests with all stamps, or for more in service at once than
    there are places.
    """
    whole = [r for r in requests if r.after_s is not None and r.outcome is not None]
    if len(whole) < SERVED_MIN:
        raise ValueError(
            f"{len(whole)} served requests with all stamps tell no overheads: at least {SERVED_MIN}"
        )
    stays = stays_of(whole)
    inside = most_at_once(stays)
    if inside > places:
        raise ValueError(
            f"{inside} requests were in service at once, and the configuration has {places} places;"
            " name the one that the server ran with as --config"
        )
    ordered = sorted(whole, key=lambda r: r.scheduled_s)
    before = [float(r.received_s or 0.0) - r.scheduled_s for r in ordered]
    queue = [float(r.queue_s or 0.0) for r in ordered]
    parts = (
        part_of("schedule to receipt", before),
        part_of("queue", queue),
        part_of("engine", [float(r.service_s or 0.0) for r in ordered]),
        part_of("end of decoding to answer", [float(r.after_s or 0.0) for r in ordered]),
    )
    lags = start_lags(stays, places)
    kinds = {"start at a free place": lags.arrivals, "start at a freed place": lags.places}
    return Overheads(
        latency=part_of("latency", [float(r.latency_s or 0.0) for r in ordered]),
        parts=parts,
        starts=tuple(part_of(name, values) for name, values in kinds.items() if len(values) > 1),
        place_wait_s=float(np.mean(queue)) - float(np.mean([*lags.arrivals, *lags.places])),
        places=places,
        inside_max=inside,
    )


def part_of(name: str, values: Sequence[float]) -> Part:
    """Mean, median and 95th percentile with block-bootstrap intervals, in the order of time.

    ValueError for no values."""
    array = np.asarray(values, dtype=np.float64)

    def estimated(value: float, share: float | None) -> Estimate:
        figure = mean_of if share is None else percentile_of(share)
        return Estimate(value, block_bootstrap(array, figure, SEED, draws=DRAWS))

    return Part(
        name,
        array.size,
        estimated(float(array.mean()), None),
        estimated(float(np.median(array)), 0.5),
        estimated(float(np.quantile(array, 0.95)), 0.95),
    )


def most_at_once(stays: Sequence[Stay]) -> int:
    """Most stays in service at the same time; one that begins as another ends takes its place."""
    events = [(stay.ended_s, -1) for stay in stays] + [(stay.started_s, 1) for stay in stays]
    return int(max(np.cumsum([change for _, change in sorted(events)]), default=0))
