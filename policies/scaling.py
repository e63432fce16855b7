"""How many engines a load needs, by the queueing model M/M/c.

Jobs arrive as a Poisson process, and every place of every engine is a server that takes an
exponential time (Erlang 1917; Kleinrock, Queueing Systems 1, 1975, section 3.8). The place's speed
is its share of what its engine finishes with a full batch. Both assumptions are cautious: a run of
a fixed number of steps varies less than an exponential one, and in a batch that is not full every
job is faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

SPARE = 0.2
"""Traffic beyond the present that fewer engines must stand before they are advised."""


@dataclass(frozen=True, slots=True)
class WaitTarget:
    """What the wait for a place should be.

    Its mean is at most `wait_s`; or, where `late_share` is given, at most this share of the jobs
    waits longer than `wait_s`. ValueError unless wait_s > 0 and 0 < late_share < 1.
    """

    wait_s: float
    late_share: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.wait_s < math.inf:
            raise ValueError(f"the target for the wait, {self.wait_s} s, must be above 0")
        if self.late_share is not None and not 0 < self.late_share < 1:
            raise ValueError(f"late_share {self.late_share} must lie between 0 and 1")

    def is_met(self, delayed: float, spare_per_s: float) -> bool:
        """Whether a queue meets it in which this share of jobs must wait, on average
        1 / spare_per_s (the capacity less the arrivals); such waits are exponential."""
        if self.late_share is None:
            return delayed / spare_per_s <= self.wait_s
        return delayed * math.exp(-spare_per_s * self.wait_s) <= self.late_share


def erlang_c(offered: float, servers: int) -> float:
    """The probability that a job must wait in M/M/c, with `offered` Erlangs below `servers`.

    By the recursion of Erlang B, which neither overflows nor cancels. ValueError unless
    0 <= offered < servers.
    """
    if not 0 <= offered < servers:
        raise ValueError(f"{offered} Erlangs do not fit {servers} servers; offer fewer")
    *_, blocked = _erlang_b(offered, servers)
    return _delayed(blocked, offered, servers)


def replicas_wanted(
    rate_per_s: float,
    engine_rate_per_s: float,
    places: int,
    target: WaitTarget,
    *,
    current: int,
    fewest: int = 1,
    most: int,
) -> int:
    """The fewest engines that meet the target at this arrival rate, between `fewest` and `most`.

    An engine finishes engine_rate_per_s jobs a second with a full batch of `places`. Fewer than
    `current` are advised only as far as they would meet the target with a fifth more traffic as
    well (`SPARE`), so that noise in the rate does not start and stop engines.
    ValueError unless rate_per_s >= 0, engine_rate_per_s > 0, places >= 1 and 0 <= fewest <= most.
    """
    if not 0 <= rate_per_s < math.inf:
        raise ValueError(f"rate_per_s {rate_per_s} must be a rate of at least 0")
    if not 0 < engine_rate_per_s < math.inf:
        raise ValueError(f"engine_rate_per_s {engine_rate_per_s} must be a rate above 0")
    if places < 1:
        raise ValueError(f"places {places} must be at least 1")
    if not 0 <= fewest <= most:
        raise ValueError(f"fewest {fewest} must be at least 0 and at most {most}")
    needed = _fewest_engines(rate_per_s, engine_rate_per_s, places, target, most)
    if needed < current:
        cautious = _fewest_engines(
            (1 + SPARE) * rate_per_s, engine_rate_per_s, places, target, most
        )
        needed = min(current, cautious)
    return max(fewest, min(most, needed))


def _fewest_engines(
    rate_per_s: float, engine_rate_per_s: float, places: int, target: WaitTarget, most: int
) -> int:
    """At most `most`, whether or not these meet the target."""
    if rate_per_s == 0:
        return 0
    offered = rate_per_s * places / engine_rate_per_s
    for servers, blocked in enumerate(_erlang_b(offered, most * places), start=1):
        engines, rest = divmod(servers, places)
        spare_per_s = engines * engine_rate_per_s - rate_per_s
        if rest or servers <= offered or spare_per_s <= 0:
            continue
        if target.is_met(_delayed(blocked, offered, servers), spare_per_s):
            return engines
    return most


def _erlang_b(offered: float, servers: int) -> Iterator[float]:
    """The share of jobs that find 1, 2, ... servers all busy and are lost (Erlang B)."""
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
        yield blocked


def _delayed(blocked: float, offered: float, servers: int) -> float:
    """Erlang C from Erlang B."""
    busy = offered / servers
    return blocked / (1 - busy * (1 - blocked))
