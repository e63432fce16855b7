"""Little's law on a log: number in the system = rate of arrival * time in the system.

Over a window that starts and ends empty it is an identity of any log (Little 1961; Stidham 1974), and
with the time that those inside at the end still spend it is one of any window that starts empty (Kim,
Whitt 2013, section 2). So a log alone cannot break it. It says something where two sides are measured
apart: the number by the server's own count (`/v1/status`), the times by the requests' stamps. A request
that is lost from the log, or has a wrong stamp, is in the count and not in the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.estimation.service_law import Estimate
from analysis.intervals import block_bootstrap, mean_of
from analysis.runs import TOO_MANY, Request, StatusPoint

Array = NDArray[np.float64]

LOOKS_MIN = 10
"""Fewer looks at the server's count carry no interval."""
TRAVEL_S = 0.02
"""The server counts a job until it hears of its end, and from a little after its receipt. A gap that
this much a request explains is no sign of a lost one."""
ROUNDING_S = 0.001
FAR = 10.0
"""A stamp this many times as far from the median as the 95th percentile is suspicious."""
DRAWS = 2000
SEED = 1


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A request, by its index, and what is wrong with its line."""

    index: int
    why: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Both sides of the law over [0, window_s], from stamps: `number` in the system by integration,
    `rate_per_s` times `time_s`, and the `edge` that those inside at the end spend afterwards.

    number = rate_per_s * time_s - edge, up to rounding.
    """

    window_s: float
    arrivals: int
    number: float
    rate_per_s: float
    time_s: float
    edge: float

    @property
    def residual(self) -> float:
        """What is left of the identity: rounding, else a mistake in the arithmetic."""
        return self.number - (self.rate_per_s * self.time_s - self.edge)


@dataclass(frozen=True, slots=True)
class Counted:
    """The server's own count at `looks` instants beside that from stamps at the same instants.

    `gap`: counted minus stamped, with its interval; `gap_s`: seconds more a request that would
    explain it.
    """

    looks: int
    counted: float
    stamped: float
    gap: Estimate
    gap_s: float


@dataclass(frozen=True, slots=True)
class LittlesLaw:
    """The law on one run. `holds` is None where nobody counted apart from the log."""

    balance: Balance
    counted: Counted | None
    served: int
    pictures: int | None
    suspicious: tuple[Suspicion, ...]
    holds: bool | None
    verdict: str


def check_littles_law(
    requests: Sequence[Request],
    status: Sequence[StatusPoint],
    *,
    scheduled: int | None = None,
    pictures: int | None = None,
) -> LittlesLaw:
    """The law on a run's log: `status` by polling, `scheduled` requests by the plan, `pictures` that
    the engines counted (None: not known).

    ValueError if no request was received by a server that stamps.
    """
    spans = stays(requests)
    if not len(spans):
        raise ValueError("no request has the server's stamps: Little's law has nothing to go by")
    arrived_s, left_s = spans[:, 0], spans[:, 1]
    ends = [float(r.answered_s) for r in requests if r.answered_s is not None]
    window_s = max([float(arrived_s.max()), *ends])
    looks = [point for point in status if 0 <= point.t_s <= window_s]
    counted = counted_beside(looks, arrived_s, left_s) if len(looks) >= LOOKS_MIN else None
    served = sum(request.outcome is not None for request in requests)
    suspicious = tuple(suspicions(requests, scheduled))
    balance = balance_of(arrived_s, left_s, window_s)
    holds = None
    if counted is not None or pictures is not None:
        holds = (counted is None or not _gapes(counted, balance.rate_per_s)) and (
            pictures is None or pictures == served
        )
    verdict = _verdict(counted, balance, served, pictures, suspicious)
    return LittlesLaw(balance, counted, served, pictures, suspicious, holds, verdict)


def stays(requests: Sequence[Request]) -> Array:
    """From receipt to the end of decoding (else to the answer; else for ever), one row a request that
    was received and not refused: arrived_s, left_s."""
    rows = []
    for one in requests:
        if one.received_s is None or one.status == TOO_MANY:
            continue
        left_s = float("inf") if one.answered_s is None else float(one.answered_s)
        if one.queue_s is not None and one.service_s is not None:
            left_s = one.received_s + one.queue_s + one.service_s
        rows.append((float(one.received_s), left_s))
    return np.array(sorted(rows), dtype=np.float64).reshape(-1, 2)


def balance_of(arrived_s: Array, left_s: Array, window_s: float) -> Balance:
    """Both sides over [0, window_s]; those who never left stay to its end. ValueError for a window
    without length or without arrivals."""
    if not window_s > 0 or not arrived_s.size:
        raise ValueError("Little's law needs a window with arrivals in it")
    left_s = np.where(np.isinf(left_s), window_s, left_s)
    inside = arrived_s <= window_s
    arrived_s, left_s = arrived_s[inside], left_s[inside]
    events_s = np.concatenate((arrived_s, np.minimum(left_s, window_s)))
    changes = np.concatenate((np.ones_like(arrived_s), -np.ones_like(left_s)))
    order = np.argsort(events_s, kind="stable")
    numbers = np.cumsum(changes[order])
    lengths_s = np.diff(np.append(events_s[order], window_s))
    return Balance(
        window_s=window_s,
        arrivals=arrived_s.size,
        number=float(numbers @ lengths_s) / window_s,
        rate_per_s=arrived_s.size / window_s,
        time_s=float((left_s - arrived_s).mean()),
        edge=float(np.maximum(0.0, left_s - window_s).sum()) / window_s,
    )


def counted_beside(looks: Sequence[StatusPoint], arrived_s: Array, left_s: Array) -> Counted:
    """The server's count beside that from stamps. ValueError for no looks."""
    at_s = np.array([look.t_s for look in looks])
    counts = np.array([look.waiting + look.running for look in looks], dtype=np.float64)
    came = np.searchsorted(np.sort(arrived_s), at_s, side="right")
    went = np.searchsorted(np.sort(left_s), at_s, side="right")
    stamped = (came - went).astype(np.float64)
    gaps = counts - stamped
    gap = Estimate(float(gaps.mean()), block_bootstrap(gaps, mean_of, SEED, draws=DRAWS))
    rate_per_s = arrived_s.size / float(at_s.max() or 1.0)
    return Counted(
        len(looks), float(counts.mean()), float(stamped.mean()), gap, gap.value / rate_per_s
    )


def suspicions(requests: Sequence[Request], scheduled: int | None = None) -> list[Suspicion]:
    """Lines that cannot be right, or are far from all others; and lines that are not there."""
    found = []
    seen: set[int] = set()
    before_max_s = _far(
        [r.received_s - r.scheduled_s for r in requests if r.received_s is not None]
    )
    after_max_s = _far([r.after_s for r in requests if r.after_s is not None])
    for one in requests:
        whys = list(_wrong_with(one))
        if one.index in seen:
            whys.append("it is there twice")
        seen.add(one.index)
        if one.received_s is not None and one.received_s - one.scheduled_s > before_max_s:
            whys.append(f"it was received {one.received_s - one.scheduled_s:.3g} s after its time")
        if one.after_s is not None and one.after_s > after_max_s:
            whys.append(f"its answer came {one.after_s:.3g} s after its picture was ready")
        found += [Suspicion(one.index, why) for why in whys]
    total = max(seen, default=-1) + 1 if scheduled is None else scheduled
    found += [Suspicion(n, "it is missing from the log") for n in range(total) if n not in seen]
    return sorted(found, key=lambda one: one.index)


def _wrong_with(one: Request) -> list[str]:
    wrong = []
    if one.answered_s is None:
        wrong.append("it was never answered")
    if one.received_s is not None and one.received_s < one.scheduled_s - ROUNDING_S:
        wrong.append("it was received before its time")
    if one.after_s is not None and one.after_s < -ROUNDING_S:
        wrong.append("its answer came before its picture was ready")
    if min(one.queue_s or 0.0, one.service_s or 0.0) < 0:
        wrong.append("it was in the queue or in service for less than no time")
    if one.answered_s is not None and one.latency_s is not None:
        off_s = one.answered_s - one.scheduled_s - one.latency_s
        if abs(off_s) > ROUNDING_S:
            wrong.append(f"its latency differs by {abs(off_s):.3g} s from its stamps")
    if one.status == 200 and one.outcome is None:
        wrong.append("it was answered without the facts of its service")
    return wrong


def _far(values: Sequence[float]) -> float:
    if len(values) < LOOKS_MIN:
        return float("inf")
    middle, high = np.quantile(values, (0.5, 0.95))
    return float(middle + FAR * max(high - middle, ROUNDING_S))


def _gapes(counted: Counted, rate_per_s: float) -> bool:
    allowed = rate_per_s * TRAVEL_S
    return counted.gap.band.low > allowed or counted.gap.band.high < -allowed


def _verdict(
    counted: Counted | None,
    balance: Balance,
    served: int,
    pictures: int | None,
    suspicious: Sequence[Suspicion],
) -> str:
    told = []
    if counted is None:
        told.append("The server's own count was not polled, so the log's times stand alone.")
    else:
        gap, band = counted.gap.value, counted.gap.band
        found = (
            f"On average the server counts {counted.counted:.2f} requests and the stamps"
            f" {counted.stamped:.2f} ({gap:+.2f}, 95 % {band.low:+.2f} to {band.high:+.2f})"
        )
        if _gapes(counted, balance.rate_per_s):
            told.append(f"{found}: requests are missing from the log or wrongly stamped.")
        else:
            told.append(f"{found}: no sign of requests that are lost or wrongly stamped.")
            if counted.stamped > 0:
                # What the interval and the allowed travel leave room for.
                room = counted.gap.band.half_width + balance.rate_per_s * TRAVEL_S
                told.append(f"A loss of {100 * room / counted.stamped:.2g} % of them would show.")
    if pictures is not None and pictures != served:
        told.append(f"The engines made {pictures} pictures, and {served} requests were served.")
    if suspicious:
        count = len({one.index for one in suspicious})
        told.append(f"{count} requests are suspicious.")
    return " ".join(told)
