"""Arrivals and servers of the textbook. Times are seconds, or any other unit used throughout.

============ ======================================================================================
OneLine      M/G/c: one line, first come first served, service fixed at its start; if wished, faster
             for a job that leaves a long line behind, or with jobs that give up (Erlang-A)
InFlight     all servers work faster while many jobs are in the system, also in mid-service
Bulk         one server takes all who wait, up to a batch, at once
============ ======================================================================================

Laws of service times are those of `analysis.service_times`; Erlang-k is `Gamma(mean, 1 / k)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis.service_times import Array, Deterministic, Empirical, Gamma, Lognormal, ServiceTime

PHASES_AT_ONCE = 1024


def _positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} {value} must be a finite number above 0")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} {value} must be at least {least}")


def draw(law: ServiceTime, size: int, generator: np.random.Generator) -> Array:
    """`size` independent times of a law of `analysis.service_times`; TypeError for another law."""
    if isinstance(law, Deterministic):
        return np.full(size, law.mean_s)
    if isinstance(law, Gamma):
        if law.cv2 == 1:
            return law.mean_s * generator.standard_exponential(size)
        return law.mean_s * law.cv2 * generator.standard_gamma(1 / law.cv2, size)
    if isinstance(law, Lognormal):
        sigma2 = math.log1p(law.cv2)
        return generator.lognormal(math.log(law.mean_s) - sigma2 / 2, math.sqrt(sigma2), size)
    if isinstance(law, Empirical):
        times_s: Array = np.asarray(law.times_s)[generator.integers(len(law.times_s), size=size)]
        return times_s
    raise TypeError(f"no way is known to draw from {law!r}; use a law of analysis.service_times")


# -- arrivals -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Poisson:
    """A Poisson stream."""

    rate_per_s: float

    def __post_init__(self) -> None:
        _positive("rate_per_s", self.rate_per_s)

    @property
    def mean_rate_per_s(self) -> float:
        """Jobs a second in the long run."""
        return self.rate_per_s

    def times_s(self, jobs: int, generator: np.random.Generator) -> Array:
        """The first `jobs` arrivals, ascending."""
        times_s: Array = np.cumsum(generator.standard_exponential(jobs)) / self.rate_per_s
        return times_s


@dataclass(frozen=True, slots=True)
class Mmpp:
    """Poisson arrivals whose rate follows phases that come in turn (Fischer, Meier-Hellstern 1993).

    A stay in phase i is exponential, with mean 1 / leave_per_s[i]. With two phases this is
    every MMPP(2).
    """

    rates_per_s: tuple[float, ...]
    leave_per_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rates_per_s) < 2 or len(self.rates_per_s) != len(self.leave_per_s):
            raise ValueError(
                f"rates_per_s {self.rates_per_s} and leave_per_s {self.leave_per_s} must have one"
                " number for each of at least two phases"
            )
        for rate_per_s in self.rates_per_s:
            if not 0 <= rate_per_s < math.inf:
                raise ValueError(f"a phase's rate {rate_per_s} must be finite and at least 0")
        _positive("the highest of rates_per_s", max(self.rates_per_s))
        for leave_per_s in self.leave_per_s:
            _positive("a phase's leave_per_s", leave_per_s)

    @property
    def mean_rate_per_s(self) -> float:
        """Jobs a second in the long run."""
        return float(self._time_shares() @ np.asarray(self.rates_per_s))

    def times_s(self, jobs: int, generator: np.random.Generator) -> Array:
        """The first `jobs` arrivals, ascending; the first phase is drawn from the long run's.

        A unit Poisson stream in the time in which arrivals are expected at rate 1, carried over to
        real time through the integrated rate, which is a line in each phase.
        """
        expected = np.cumsum(generator.standard_exponential(jobs))
        shares = self._time_shares()
        phase = int(generator.choice(len(shares), p=shares))
        stays_s: list[Array] = [np.zeros(1)]
        counts: list[Array] = [np.zeros(1)]
        reached = 0.0
        while reached <= expected[-1]:
            phases = (phase + np.arange(PHASES_AT_ONCE)) % len(shares)
            stay_s = generator.standard_exponential(PHASES_AT_ONCE)
            stay_s /= np.asarray(self.leave_per_s)[phases]
            count = stay_s * np.asarray(self.rates_per_s)[phases]
            stays_s.append(stay_s)
            counts.append(count)
            reached += float(count.sum())
            phase = int(phases[-1] + 1) % len(shares)
        ends_s, integrated = np.cumsum(np.concatenate(stays_s)), np.cumsum(np.concatenate(counts))
        times_s: Array = np.interp(expected, integrated, ends_s)
        return times_s

    def _time_shares(self) -> Array:
        stays_s = 1 / np.asarray(self.leave_per_s)
        shares: Array = stays_s / stays_s.sum()
        return shares


Arrivals = Poisson | Mmpp


# -- servers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartThreshold:
    """A job that leaves at least `waiting` others behind when it starts is served faster.

    So are those behind it, until one leaves at most `back_at`. None is waiting - 1: no hysteresis.
    """

    waiting: int
    speed_up: float
    back_at: int | None = None

    def __post_init__(self) -> None:
        _at_least("waiting", self.waiting, 0)
        _positive("speed_up", self.speed_up)
        if self.back_at is not None and not 0 <= self.back_at < self.waiting:
            raise ValueError(
                f"back_at {self.back_at} must be from 0 to below waiting {self.waiting}"
            )

    @property
    def lower(self) -> int:
        """Jobs left behind at which fast ends; -1 if it never does."""
        return self.waiting - 1 if self.back_at is None else self.back_at


@dataclass(frozen=True, slots=True)
class OneLine:
    """M/G/c, first come first served; a service's length is known when it starts.

    With `patience` a job that has waited so long without starting leaves (Erlang-A for exponential
    laws). Patience and a threshold exclude each other.
    """

    service: ServiceTime
    servers: int = 1
    threshold: StartThreshold | None = None
    patience: ServiceTime | None = None

    def __post_init__(self) -> None:
        _at_least("servers", self.servers, 1)
        if self.threshold is not None and self.patience is not None:
            raise ValueError("a line with a threshold cannot have patience too; choose one of them")

    @property
    def capacity_per_s(self) -> float:
        """Jobs a second beyond which the line grows without bound."""
        if self.patience is not None:
            return math.inf
        speed_up = 1.0 if self.threshold is None else self.threshold.speed_up
        return self.servers * speed_up / self.service.mean_s


@dataclass(frozen=True, slots=True)
class InFlight:
    """Every server's speed follows the jobs in the system, those in service included.

    An arrival that makes them `up_at` turns fast on, a departure that leaves `down_at` turns it
    off, and work that is under way goes on at the new speed. `down_at` None is up_at - 1: fast
    whenever at least `up_at` are there. `work` is the time of a service at speed 1.
    """

    work: ServiceTime
    slow_speed: float
    fast_speed: float
    up_at: int
    down_at: int | None = None
    servers: int = 1

    def __post_init__(self) -> None:
        _at_least("servers", self.servers, 1)
        _positive("slow_speed", self.slow_speed)
        _positive("fast_speed", self.fast_speed)
        _at_least("up_at", self.up_at, 1)
        if not 0 <= self.lower < self.up_at:
            raise ValueError(f"down_at {self.down_at} must be from 0 to below up_at {self.up_at}")

    @property
    def lower(self) -> int:
        """Jobs in the system at which fast ends."""
        return self.up_at - 1 if self.down_at is None else self.down_at

    @property
    def capacity_per_s(self) -> float:
        """Jobs a second beyond which the line grows without bound."""
        return self.servers * self.fast_speed / self.work.mean_s


@dataclass(frozen=True, slots=True)
class Bulk:
    """One server takes min(waiting, batch_max) jobs as soon as any waits; all end together.

    A batch of n takes setup_s + n * per_job_s.
    """

    setup_s: float
    per_job_s: float
    batch_max: int

    def __post_init__(self) -> None:
        _at_least("batch_max", self.batch_max, 1)
        if min(self.setup_s, self.per_job_s) < 0:
            raise ValueError(
                f"setup_s {self.setup_s} and per_job_s {self.per_job_s} must be at least 0"
            )
        _positive("the time of a batch", self.setup_s + self.per_job_s)

    @property
    def capacity_per_s(self) -> float:
        """Jobs a second beyond which the line grows without bound."""
        return self.batch_max / (self.setup_s + self.batch_max * self.per_job_s)


Server = OneLine | InFlight | Bulk
