"""Runs of the textbook's servers: one line a job, figures over a run, replications.

A run has three parts: jobs that only warm the server up, jobs that count, and some behind them so
that the last that count meet a line like any other. Time averages are from the arrival of the
first job that counts to that of the first that does not any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from analysis.models.steady import Unstable
from analysis.records import Interval, Record, confidence_interval
from analysis.service_times import Array
from analysis.textbook import kernels
from analysis.textbook.kernels import Flags
from analysis.textbook.models import Arrivals, Bulk, InFlight, OneLine, Server, draw

WARM_UP_MIN = 10_000
WARM_UP_SHARE = 0.01
COOL_DOWN = 2_000
"""Jobs before and behind those that count, if the caller does not say."""

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one run over the jobs that count; None where the server knows no such thing.

    Wait is until service or giving up; response, until the end of service, and its percentiles
    (exact over the sample, linear between order statistics) are over the jobs served. `fast` is
    the threshold's speed: `fast_share` of the jobs start in it (OneLine) or end in it (InFlight),
    `any_fast_share` had some of their work done in it, `mean_fast_work_s` how much. `arrivals_per_s`
    is as realised, `switch_ups_per_s` how often fast is turned on.
    """

    jobs: int
    arrivals_per_s: float
    mean_wait_s: float
    mean_wait_served_s: float
    mean_response_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    utilisation: float
    mean_in_system: float
    abandoned_share: float | None = None
    fast_share: float | None = None
    fast_time_share: float | None = None
    any_fast_share: float | None = None
    mean_fast_work_s: float | None = None
    switch_ups_per_s: float | None = None
    mean_batch: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run job by job, in order of arrival, warm-up and cool-down included.

    Times are seconds from the start. started_s is NaN for a job that gave up, whose left_s is then
    the time at which it did. `fast`: started fast (OneLine) or ended fast (InFlight). Jobs from
    `first` to below `stop` count.
    """

    arrived_s: Array
    started_s: Array
    left_s: Array
    fast: Flags
    first: int
    stop: int
    figures: Figures

    def to_records(self, limit: int = 100_000) -> list[Record]:
        """The first `limit` jobs that count, as `analysis.simulator` and the live log give them.

        These servers know neither variants nor steps nor rungs: those fields are empty. A job that
        gave up is `cancelled`.
        """
        if limit < 1:
            raise ValueError(f"limit {limit} must be at least 1")
        return [
            self._record(job, job - self.first)
            for job in range(self.first, min(self.stop, self.first + limit))
        ]

    def _record(self, job: int, index: int) -> Record:
        arrived_s, left_s = float(self.arrived_s[job]), float(self.left_s[job])
        served = not np.isnan(self.started_s[job])
        return Record(
            index=index,
            status="ok" if served else "cancelled",
            scheduled_s=arrived_s,
            started_s=float(self.started_s[job]) if served else None,
            finished_s=left_s if served else None,
            answered_s=left_s,
            latency_s=left_s - arrived_s,
            degraded=bool(self.fast[job]),
        )


def simulate(
    arrivals: Arrivals,
    server: Server,
    jobs: int,
    seed: int | np.random.SeedSequence,
    *,
    warm_up: int | None = None,
    cool_down: int = COOL_DOWN,
) -> Run:
    """Simulate `jobs` jobs that count; the same seed gives the same run.

    `warm_up` jobs come before them (None: a hundredth, at least 10,000), `cool_down` behind. Needs
    about 100 bytes a job. Raises Unstable if the arrivals exceed the server's capacity, ValueError
    if the line is so long that the cool-down is over before the last job that counts has left.
    """
    if jobs < 1 or cool_down < 1 or (warm_up is not None and warm_up < 0):
        raise ValueError(
            f"jobs {jobs} and cool_down {cool_down} must be at least 1 and warm_up {warm_up} not"
            " below 0"
        )
    load = arrivals.mean_rate_per_s / server.capacity_per_s
    if load >= 1:
        raise Unstable(load)
    first = max(WARM_UP_MIN, round(WARM_UP_SHARE * jobs)) if warm_up is None else warm_up
    stop = first + jobs
    generator = np.random.Generator(np.random.PCG64(seed))
    arrived_s = arrivals.times_s(stop + cool_down, generator)
    match server:
        case OneLine():
            run = _one_line(arrived_s, server, generator, first, stop)
        case InFlight():
            run = _in_flight(arrived_s, server, generator, first, stop)
        case Bulk():
            run = _bulk(arrived_s, server, first, stop)
    if run.left_s[first:stop].max() > arrived_s[-1]:
        raise ValueError(
            f"the line did not let the last job out within {cool_down} arrivals; the load of"
            f" {load:.3f} is close to 1, so allow a longer cool_down"
        )
    return run


def replicate(
    arrivals: Arrivals,
    server: Server,
    jobs: int,
    seed: int,
    replications: int,
    *,
    warm_up: int | None = None,
    finished: Callable[[], None] = lambda: None,
) -> list[Figures]:
    """Independent runs: each gets a stream of its own, spawned from the seed by numpy.

    `finished` is called after each. The loops hold no lock, so threads may call this side by side.
    """
    if replications < 1:
        raise ValueError(f"replications {replications} must be at least 1")
    figures: list[Figures] = []
    for stream in np.random.SeedSequence(seed).spawn(replications):
        figures.append(simulate(arrivals, server, jobs, stream, warm_up=warm_up).figures)
        finished()
    return figures


def intervals(runs: Sequence[Figures], level: float = 0.99) -> dict[str, Interval]:
    """Student's interval of every figure that the runs have, by the figure's name."""
    known = [field.name for field in fields(Figures) if getattr(runs[0], field.name) is not None]
    return {name: confidence_interval([getattr(r, name) for r in runs], level) for name in known}


# -- servers --------------------------------------------------------------------------------------


def _one_line(
    arrived_s: Array, server: OneLine, generator: np.random.Generator, first: int, stop: int
) -> Run:
    size = arrived_s.size
    service_s = draw(server.service, size, generator)
    impatient, threshold = server.patience, server.threshold
    patience_s = np.empty(0) if impatient is None else draw(impatient, size, generator)
    started_s, left_s, fast = np.empty(size), np.empty(size), np.zeros(size, np.bool_)
    kernels.one_line(
        arrived_s,
        service_s,
        patience_s,
        server.servers,
        -1 if threshold is None else threshold.waiting,
        -1 if threshold is None else threshold.lower,
        1.0 if threshold is None else threshold.speed_up,
        started_s,
        left_s,
        fast,
    )
    within = (float(arrived_s[first]), float(arrived_s[stop]))
    busy_s = kernels.time_within(started_s[:stop], left_s[:stop], *within)
    some = slice(first, stop)
    more: dict[str, float] = {}
    if impatient is not None:
        more["abandoned_share"] = float(np.isnan(started_s[some]).mean())
    if threshold is not None:
        more["fast_share"] = more["any_fast_share"] = float(fast[some].mean())
        work_s = (left_s[some] - started_s[some]) * threshold.speed_up
        more["mean_fast_work_s"] = float((work_s * fast[some]).mean())
        ups = fast[first + 1 : stop] & ~fast[first : stop - 1]
        more["switch_ups_per_s"] = int(ups.sum()) / (within[1] - within[0])
    return _run(arrived_s, started_s, left_s, fast, first, stop, busy_s / server.servers, more)


def _in_flight(
    arrived_s: Array, server: InFlight, generator: np.random.Generator, first: int, stop: int
) -> Run:
    size = arrived_s.size
    started_s, left_s, fast_work_s = np.empty(size), np.empty(size), np.zeros(size)
    fast = np.zeros(size, np.bool_)
    system_s, busy_s, fast_s, ups = kernels.in_flight(
        arrived_s,
        draw(server.work, size, generator),
        server.servers,
        server.slow_speed,
        server.fast_speed,
        server.up_at,
        server.lower,
        first,
        stop,
        started_s,
        left_s,
        fast,
        fast_work_s,
    )
    window_s = float(arrived_s[stop] - arrived_s[first])
    more = {
        "mean_in_system": system_s / window_s,
        "fast_share": float(fast[first:stop].mean()),
        "fast_time_share": fast_s / window_s,
        "any_fast_share": float((fast_work_s[first:stop] > 0).mean()),
        "mean_fast_work_s": float(fast_work_s[first:stop].mean()),
        "switch_ups_per_s": ups / window_s,
    }
    return _run(arrived_s, started_s, left_s, fast, first, stop, busy_s / server.servers, more)


def _bulk(arrived_s: Array, server: Bulk, first: int, stop: int) -> Run:
    size = arrived_s.size
    started_s, left_s, leads = np.empty(size), np.empty(size), np.zeros(size, np.bool_)
    shape = (server.setup_s, server.per_job_s, server.batch_max)
    kernels.bulk(arrived_s, *shape, started_s, left_s, leads)
    within = (float(arrived_s[first]), float(arrived_s[stop]))
    busy_s = kernels.time_within(started_s[leads], left_s[leads], *within)
    more = {"mean_batch": (stop - first) / max(1, int(leads[first:stop].sum()))}
    nothing = np.zeros(size, np.bool_)
    return _run(arrived_s, started_s, left_s, nothing, first, stop, busy_s, more)


def _run(
    arrived_s: Array,
    started_s: Array,
    left_s: Array,
    fast: Flags,
    first: int,
    stop: int,
    busy_s: float,
    more: dict[str, float],
) -> Run:
    """Put a run together; `busy_s` is the time in the window for one server."""
    begin_s, end_s = float(arrived_s[first]), float(arrived_s[stop])
    window_s = end_s - begin_s
    if "mean_in_system" not in more:
        stays_s = kernels.time_within(arrived_s[:stop], left_s[:stop], begin_s, end_s)
        more["mean_in_system"] = stays_s / window_s
    arrived, left = arrived_s[first:stop], left_s[first:stop]
    response_s = left - arrived
    wait_s = waited_s = started_s[first:stop] - arrived
    if "abandoned_share" in more:
        served = ~np.isnan(waited_s)
        if not served.any():
            raise ValueError("every job gave up, so there is no response to speak of")
        wait_s = np.where(served, waited_s, response_s)
        waited_s, response_s = waited_s[served], response_s[served]
    p50_s, p95_s, p99_s = np.percentile(response_s, PERCENTILES)
    figures = Figures(
        jobs=stop - first,
        arrivals_per_s=(stop - first) / window_s,
        mean_wait_s=float(wait_s.mean()),
        mean_wait_served_s=float(waited_s.mean()),
        mean_response_s=float(response_s.mean()),
        p50_s=float(p50_s),
        p95_s=float(p95_s),
        p99_s=float(p99_s),
        utilisation=busy_s / window_s,
        **more,
    )
    return Run(arrived_s, started_s, left_s, fast, first, stop, figures)
