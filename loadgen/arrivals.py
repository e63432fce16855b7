"""Arrival schedules as data: made up front from a seed, independent of what the server does.

A schedule is a sorted float64 array of shape (n,): seconds after the run's start, all in
[0, duration_s). The same seed always gives the same array, in the load generator and in the
simulator alike. numpy only, so that both may import it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

KINDS = ("poisson", "deterministic", "bursty", "diurnal", "replay")

DAY_CELLS = 4096
"""Parts of a day between which its rate is taken as constant: within 0.1 % of the mean rate."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Shape of a bursty (two-state Markov-modulated Poisson) stream.

    ``factor`` is the rate inside a burst over the mean rate, ``share`` the share of time spent in
    bursts, ``mean_s`` the mean length of one burst in seconds (exponentially distributed).
    """

    factor: float = 5.0
    share: float = 0.1
    mean_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise ValueError(f"burst share must lie between 0 and 1, got {self.share}.")
        if not (math.isfinite(self.mean_s) and self.mean_s > 0.0):
            raise ValueError(f"mean burst length must be a positive time, got {self.mean_s} s.")
        if not 1.0 < self.factor <= 1.0 / self.share:
            raise ValueError(
                f"burst factor must be above 1 and at most 1/share = {1.0 / self.share:g} "
                f"(more would need a negative rate between bursts), got {self.factor}."
            )

    @property
    def quiet_factor(self) -> float:
        """Rate between bursts over the mean rate."""
        return (1.0 - self.share * self.factor) / (1.0 - self.share)

    @property
    def mean_quiet_s(self) -> float:
        """Mean time between bursts, in seconds."""
        return self.mean_s * (1.0 - self.share) / self.share

    def dispersion_limit(self, rate_per_s: float) -> float:
        """Index of dispersion for counts over long windows (Fischer, Meier-Hellstern 1993)."""
        spread = rate_per_s * (self.factor - self.quiet_factor)
        switching_per_s = 1.0 / self.mean_s + 1.0 / self.mean_quiet_s
        weight = self.share * (1.0 - self.share)
        return 1.0 + 2.0 * weight * spread**2 / (rate_per_s * switching_per_s)


@dataclass(frozen=True, slots=True)
class Day:
    """Shape of a day that begins at the night's trough: the rate over the mean rate at time t is

        1 - swing * cos(2 pi t / period_s) - second * cos(4 pi t / period_s).

    ``period_s`` None: the day is as long as the schedule. With the defaults the trough is 0.1 times
    the mean, a third and two thirds of the day are peaks of 1.45 times, and midday between them
    is at 1.3 times. ``second`` 0 leaves a plain sinusoid of amplitude ``swing``; a second peak
    appears when ``second`` is above a quarter of ``swing``.
    """

    period_s: float | None = None
    swing: float = 0.6
    second: float = 0.3

    def __post_init__(self) -> None:
        period_s = self.period_s
        if period_s is not None and not (math.isfinite(period_s) and period_s > 0.0):
            raise ValueError(f"a day must last a positive number of seconds, got {period_s}.")
        if not (self.swing >= 0.0 and self.second >= 0.0 and self.swing + self.second <= 1.0):
            raise ValueError(
                "a day's swing and second must be 0 or more and together at most 1 (more would need"
                f" a negative rate at night), got {self.swing} and {self.second}."
            )

    def rate_factor(self, share: float) -> float:
        """Rate over the mean rate at this share (0 to 1) of the day."""
        angle = 2.0 * math.pi * share
        return 1.0 - self.swing * math.cos(angle) - self.second * math.cos(2.0 * angle)

    def cumulative(self, shares: Times) -> Times:
        """Integral of ``rate_factor`` from 0 to each share; whole days count 1 each."""
        angles = 2.0 * math.pi * shares
        waves = self.swing * np.sin(angles) + 0.5 * self.second * np.sin(2.0 * angles)
        return np.asarray(shares - waves / (2.0 * math.pi), dtype=np.float64)

    @property
    def peak_factor(self) -> float:
        """Highest rate over the mean rate."""
        if 4.0 * self.second <= self.swing:
            return 1.0 + self.swing - self.second
        return 1.0 + self.swing**2 / (8.0 * self.second) + self.second

    @property
    def trough_factor(self) -> float:
        """Lowest rate over the mean rate."""
        return 1.0 - self.swing - self.second


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """A schedule and how it was made; ``times_s`` is sorted, in seconds after the start."""

    kind: str
    times_s: Times
    rate_per_s: float
    duration_s: float
    seed: int
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times_s)


def _check(rate_per_s: float, duration_s: float) -> None:
    if not (math.isfinite(rate_per_s) and rate_per_s > 0.0):
        raise ValueError(
            f"rate must be a positive number of arrivals per second, got {rate_per_s}."
        )
    if not (math.isfinite(duration_s) and duration_s > 0.0):
        raise ValueError(f"duration must be a positive number of seconds, got {duration_s}.")


def _unit_poisson(length: float, rng: np.random.Generator) -> Times:
    """Points of a Poisson process of rate 1 on [0, length)."""
    chunks: list[Times] = []
    last = 0.0
    size = max(16, math.ceil(length + 4.0 * math.sqrt(length)))
    while last < length:
        chunk = last + np.cumsum(rng.exponential(1.0, size))
        chunks.append(chunk)
        last = float(chunk[-1])
    points = np.concatenate(chunks)
    return points[points < length]


def poisson(rate_per_s: float, duration_s: float, seed: int) -> Times:
    """A Poisson process: independent exponential gaps of mean ``1 / rate_per_s``.

    Raises ValueError for a rate or duration that is not positive.
    """
    _check(rate_per_s, duration_s)
    rng = np.random.default_rng(seed)
    return _unit_poisson(rate_per_s * duration_s, rng) / rate_per_s


def deterministic(rate_per_s: float, duration_s: float) -> Times:
    """Equal gaps of ``1 / rate_per_s``, the first arrival at 0."""
    _check(rate_per_s, duration_s)
    # The small subtraction keeps rounding from adding an arrival exactly at the end.
    count = math.ceil(rate_per_s * duration_s * (1.0 - 1e-12))
    return np.arange(count, dtype=np.float64) / rate_per_s


def bursty(rate_per_s: float, duration_s: float, seed: int, burst: Burst | None = None) -> Times:
    """A two-state Markov-modulated Poisson process with mean rate ``rate_per_s``.

    The state path is drawn first, started in its stationary law; a rate-1 Poisson process is then
    mapped through the inverse of the cumulative rate (time change), which is exact.
    """
    _check(rate_per_s, duration_s)
    burst = burst or Burst()
    rng = np.random.default_rng(seed)
    edges_s = [0.0]
    cumulative = [0.0]
    in_burst = bool(rng.random() < burst.share)
    while edges_s[-1] < duration_s:
        stay_s = rng.exponential(burst.mean_s if in_burst else burst.mean_quiet_s)
        end_s = min(duration_s, edges_s[-1] + stay_s)
        factor = burst.factor if in_burst else burst.quiet_factor
        cumulative.append(cumulative[-1] + (end_s - edges_s[-1]) * rate_per_s * factor)
        edges_s.append(end_s)
        in_burst = not in_burst
    if cumulative[-1] <= 0.0:
        return np.empty(0, dtype=np.float64)
    points = _unit_poisson(cumulative[-1], rng)
    times: Times = np.interp(points, cumulative, edges_s)
    return times[times < duration_s]


def diurnal(rate_per_s: float, duration_s: float, seed: int, day: Day | None = None) -> Times:
    """A Poisson process whose rate follows the day, with mean ``rate_per_s`` over whole days.

    A rate-1 Poisson process is mapped through the inverse of the cumulative rate (time change;
    Lewis, Shedler 1979), which is known in closed form and inverted between `DAY_CELLS` points a day.
    """
    _check(rate_per_s, duration_s)
    day = day or Day()
    period_s = day.period_s or duration_s
    days = duration_s / period_s
    cells = max(DAY_CELLS, math.ceil(DAY_CELLS * days))
    shares = np.linspace(0.0, days, cells + 1)
    expected = rate_per_s * period_s * day.cumulative(shares)
    points = _unit_poisson(float(expected[-1]), np.random.default_rng(seed))
    times: Times = np.interp(points, expected, shares * period_s)
    return times[times < duration_s]


def replay(path: Path, duration_s: float | None = None) -> Times:
    """Arrival times read from a text file, one number (seconds) a line; ``#`` starts a comment.

    With ``duration_s``, later arrivals are cut off. Raises ValueError with the line at fault when
    a line is no number, is negative, or goes back in time, and OSError when unreadable.
    """
    times: list[float] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{path} line {number}: {text!r} is not a time in seconds.") from None
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{path} line {number}: a time must be 0 or more, got {text}.")
        if times and value < times[-1]:
            raise ValueError(f"{path} line {number}: {text} is earlier than the line before it.")
        times.append(value)
    if not times:
        raise ValueError(f"{path} holds no arrival times; write one number of seconds a line.")
    result = np.array(times, dtype=np.float64)
    return result if duration_s is None else result[result < duration_s]


def make(
    kind: str,
    *,
    rate_per_s: float | None,
    duration_s: float | None,
    seed: int,
    burst: Burst | None = None,
    day: Day | None = None,
    times_file: Path | None = None,
) -> Arrivals:
    """A schedule of the named kind (see ``KINDS``).

    ``replay`` needs ``times_file`` and takes no rate; every other kind needs rate and duration.
    Raises ValueError with one sentence that says what to change.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown arrivals {kind!r}: choose one of {', '.join(KINDS)}.")
    if kind == "replay":
        return _make_replay(rate_per_s, duration_s, seed, times_file)
    if times_file is not None:
        raise ValueError(f"a file of times is for replay, not for {kind} arrivals.")
    if rate_per_s is None or duration_s is None:
        raise ValueError(f"{kind} arrivals need a rate and a duration.")
    parameters: dict[str, float | str] = {}
    if kind == "poisson":
        times = poisson(rate_per_s, duration_s, seed)
    elif kind == "deterministic":
        times = deterministic(rate_per_s, duration_s)
    elif kind == "diurnal":
        day = day or Day()
        times = diurnal(rate_per_s, duration_s, seed, day)
        parameters = {
            "day_s": day.period_s or duration_s,
            "day_swing": day.swing,
            "day_second": day.second,
        }
    else:
        burst = burst or Burst()
        times = bursty(rate_per_s, duration_s, seed, burst)
        parameters = {
            "burst_factor": burst.factor,
            "burst_share": burst.share,
            "mean_burst_s": burst.mean_s,
        }
    return Arrivals(kind, times, rate_per_s, duration_s, seed, parameters)


def _make_replay(
    rate_per_s: float | None, duration_s: float | None, seed: int, times_file: Path | None
) -> Arrivals:
    if times_file is None:
        raise ValueError("replay arrivals need a file of times.")
    if rate_per_s is not None:
        raise ValueError(
            "replay arrivals take their rate from the file of times: leave the rate out."
        )
    times = replay(times_file, duration_s)
    # Just past the last arrival, so that every time lies in [0, duration_s).
    length_s = duration_s or math.nextafter(float(times[-1]), math.inf)
    return Arrivals(
        "replay", times, len(times) / length_s, length_s, seed, {"times_file": str(times_file)}
    )


def thin(count: int, workers: int, seed: int) -> NDArray[np.int64]:
    """The worker (0 … workers-1) that sends each of ``count`` arrivals, drawn independently.

    Independent thinning keeps every worker's share of a Poisson process Poisson; dealing arrivals
    out in turn would not. The union over workers is the whole schedule. Shape (count,).
    """
    if workers < 1:
        raise ValueError(f"the schedule needs at least one worker, got {workers}.")
    return np.random.default_rng([seed, 2]).integers(0, workers, size=count, dtype=np.int64)


def gap_cv(times_s: Times) -> float:
    """Coefficient of variation of the gaps (1 for Poisson, 0 for equal gaps); nan below 2 gaps."""
    if len(times_s) < 3:
        return math.nan
    gaps = np.diff(np.sort(times_s))
    mean = float(gaps.mean())
    return float(gaps.std(ddof=1)) / mean if mean > 0.0 else math.nan


def window_counts(times_s: Times, duration_s: float, windows: int) -> NDArray[np.int64]:
    """Arrivals in each of ``windows`` equal parts of [0, duration_s]; strays go to the end ones."""
    clipped = np.clip(times_s, 0.0, duration_s)
    counts, _ = np.histogram(clipped, bins=windows, range=(0.0, duration_s))
    return counts.astype(np.int64)


def dispersion_index(times_s: Times, duration_s: float, windows: int) -> float:
    """Variance over mean of the counts in equal windows: 1 for Poisson; nan when nothing came."""
    counts = window_counts(times_s, duration_s, windows)
    mean = float(counts.mean())
    return float(counts.var(ddof=1)) / mean if mean > 0.0 and windows > 1 else math.nan
