"""The compiled loops. Each goes once through the jobs, in time O(1) a job for a fixed server.

Random numbers come in as arrays, one element a job in order of arrival, so that a job brings the
same work under every server. Nothing is cached on disk: compiling takes about a second a loop and
writes nowhere, so that read-only installations work. The loops hold no lock of the interpreter's.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analysis.service_times import Array

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


@njit(nogil=True, error_model="numpy")
def _replace_first(keys: Array, jobs: Integers, size: int, key: float, job: int) -> None:
    """Put (key, job) in the place of the least of a binary heap of `size` elements."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[place], jobs[place] = keys[child], jobs[child]
        place = child
    keys[place], jobs[place] = key, job


@njit(nogil=True, error_model="numpy")
def _insert(keys: Array, jobs: Integers, size: int, key: float, job: int) -> None:
    """Add (key, job) to a binary heap of `size` elements."""
    place = size
    while place > 0:
        parent = (place - 1) // 2
        if keys[parent] <= key:
            break
        keys[place], jobs[place] = keys[parent], jobs[parent]
        place = parent
    keys[place], jobs[place] = key, job


@njit(nogil=True, error_model="numpy")
def one_line(
    arrived_s: Array,
    service_s: Array,
    patience_s: Array,
    servers: int,
    up_at: int,
    down_at: int,
    speed_up: float,
    started_s: Array,
    left_s: Array,
    fast: Flags,
) -> None:
    """First come first served on the server that is free first (Kiefer, Wolfowitz 1955).

    `up_at` -1 and an empty `patience_s` mean none. A job leaves at least K others behind just if
    the K-th after it has arrived when it starts. A job that gives up before it starts leaves no
    trace for those behind it; its start is NaN.
    """
    jobs = arrived_s.size
    free_s, places = np.zeros(servers), np.zeros(servers, np.int64)
    is_fast = False
    for job in range(jobs):
        start_s = max(arrived_s[job], free_s[0])
        if patience_s.size > 0 and start_s - arrived_s[job] > patience_s[job]:
            started_s[job], left_s[job] = math.nan, arrived_s[job] + patience_s[job]
            continue
        takes_s = service_s[job]
        if up_at >= 0:
            kept_by = job + (down_at + 1 if is_fast else up_at)
            is_fast = kept_by < jobs and arrived_s[kept_by] <= start_s
        if is_fast:
            takes_s /= speed_up
            fast[job] = True
        started_s[job], left_s[job] = start_s, start_s + takes_s
        _replace_first(free_s, places, servers, start_s + takes_s, 0)


@njit(nogil=True, error_model="numpy")
def in_flight(
    arrived_s: Array,
    work_s: Array,
    servers: int,
    slow_speed: float,
    fast_speed: float,
    up_at: int,
    down_at: int,
    first: int,
    stop: int,
    started_s: Array,
    left_s: Array,
    fast: Flags,
    fast_work_s: Array,
) -> tuple[float, float, float, int]:
    """Events in turn, completions in the time of a clock that runs at the servers' speed.

    Between the arrivals of the jobs `first` and `stop` it integrates, and returns, the jobs in the
    system, the busy servers, the fast time (each times seconds) and counts the turns to fast.
    """
    jobs = arrived_s.size
    ends, running = np.empty(servers), np.empty(servers, np.int64)
    busy, came, begun = 0, 0, 0  # begun: the first of those who wait
    now_s, clock, fast_clock = 0.0, 0.0, 0.0
    is_fast, counting = False, False
    system_s, busy_s, fast_s, ups = 0.0, 0.0, 0.0, 0
    while came < jobs or busy > 0:
        speed = fast_speed if is_fast else slow_speed
        arrival_s = arrived_s[came] if came < jobs else math.inf
        end_s = now_s + (ends[0] - clock) / speed if busy > 0 else math.inf
        arrives = arrival_s <= end_s
        then_s = arrival_s if arrives else end_s
        then = clock + (then_s - now_s) * speed if arrives else ends[0]
        if counting:
            system_s += (then_s - now_s) * (came - begun + busy)
            busy_s += (then_s - now_s) * busy
            fast_s += then_s - now_s if is_fast else 0.0
        if is_fast:
            fast_clock += then - clock
        now_s, clock = then_s, then
        starts = False
        if arrives:
            counting = first <= came < stop
            came += 1
            starts = busy < servers
            if not is_fast and came - begun + busy >= up_at:
                is_fast = True
                ups += 1 if counting else 0
        else:
            job = running[0]
            left_s[job], fast[job] = now_s, is_fast
            fast_work_s[job] += fast_clock
            busy -= 1
            starts = begun < came
            if not starts:
                _replace_first(ends, running, busy, ends[busy], running[busy])
            if is_fast and came - begun + busy <= down_at:
                is_fast = False
        if starts:
            started_s[begun], fast_work_s[begun] = now_s, -fast_clock
            if arrives:
                _insert(ends, running, busy, clock + work_s[begun], begun)
            else:
                _replace_first(ends, running, busy + 1, clock + work_s[begun], begun)
            busy += 1
            begun += 1
    return system_s, busy_s, fast_s, ups


@njit(nogil=True, error_model="numpy")
def bulk(
    arrived_s: Array,
    setup_s: float,
    per_job_s: float,
    batch_max: int,
    started_s: Array,
    left_s: Array,
    leads: Flags,
) -> None:
    """Batches in turn; `leads` marks the first job of each."""
    jobs = arrived_s.size
    free_s = 0.0
    job = 0
    while job < jobs:
        start_s = max(arrived_s[job], free_s)
        after = job + 1
        while after < jobs and after - job < batch_max and arrived_s[after] <= start_s:
            after += 1
        free_s = start_s + setup_s + per_job_s * (after - job)
        leads[job] = True
        for member in range(job, after):
            started_s[member], left_s[member] = start_s, free_s
        job = after


@njit(nogil=True, error_model="numpy")
def time_within(begin_s: Array, end_s: Array, low_s: float, high_s: float) -> float:
    """How much of [low_s, high_s] the intervals cover together; those that begin at NaN do not."""
    total_s = 0.0
    for one in range(begin_s.size):
        if begin_s[one] < high_s and end_s[one] > low_s:
            total_s += min(end_s[one], high_s) - max(begin_s[one], low_s)
    return total_s
