"""Was the load what it claims to be? A run that fails a gate is marked invalid, with reasons.

Gates: every scheduled request was sent; it was sent on time; requests arrived at the server with
the gaps of the schedule; and, for Poisson arrivals, with the gaps and counts of a Poisson process.
A closed loop (a client that waits for answers before it sends) fails the second by its own stamps,
and the last two by the server's, even if its own stamps were wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from loadgen.arrivals import Arrivals, Times, dispersion_index, gap_cv
from loadgen.records import RequestRecord

# The lag may be 1 % of the median service time, and at least a few ms: where generator and server
# share cores, the operating system's time slices alone delay one wake-up in a hundred by 5 ms.
# Latency counts from the scheduled instant, so this lag is in every figure and hides nothing.
LAG_SHARE = 0.01
LAG_FLOOR_S = 0.010
# Requests without the server's receive stamp leave holes in the arrivals; a few do not matter.
UNSTAMPED_SHARE_MAX = 0.01
# How far the CV at the server may be from the schedule's (network and accept jitter).
CV_TOLERANCE = 0.1
# Chance that a perfect Poisson run fails one of the two Poisson gates.
FALSE_ALARM = 0.001
# Below this many arrivals the Poisson bands are so wide that they would pass nearly anything.
ARRIVALS_MIN = 10
_REPLICATES = 20_000
_EXACT_GAPS_MAX = 500
_NORMAL_QUANTILE = 3.2905  # two-sided, at FALSE_ALARM


@dataclass(frozen=True, slots=True)
class Audit:
    """The verdict: ``reasons`` say why a run is invalid, ``notes`` what could not be checked."""

    valid: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    facts: dict[str, float | int | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The audit as JSON values."""
        return {
            "valid": self.valid,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "facts": self.facts,
        }


@lru_cache(maxsize=64)
def cv_band(gaps: int) -> tuple[float, float]:
    """Where the CV of ``gaps`` exponential gaps lies but for FALSE_ALARM of all runs.

    Simulated for short runs (the CV is biased low and skewed there); beyond, normal with standard
    deviation 1/sqrt(gaps), which is the delta method's value for the exponential distribution.
    """
    if gaps > _EXACT_GAPS_MAX:
        half = _NORMAL_QUANTILE / math.sqrt(gaps)
        return 1.0 - half, 1.0 + half
    rng = np.random.default_rng(gaps)
    cvs: list[Times] = []
    for _ in range(20):  # in parts, to keep the memory small
        draws = rng.exponential(1.0, (_REPLICATES // 20, gaps))
        cvs.append(draws.std(axis=1, ddof=1) / draws.mean(axis=1))
    low, high = np.quantile(np.concatenate(cvs), (FALSE_ALARM / 2.0, 1.0 - FALSE_ALARM / 2.0))
    return float(low), float(high)


@lru_cache(maxsize=64)
def dispersion_band(arrivals: int, windows: int) -> tuple[float, float]:
    """Where the dispersion index lies but for FALSE_ALARM of all Poisson runs.

    Given their number, Poisson arrivals are spread evenly, so the counts are multinomial: an exact
    conditional test, simulated.
    """
    rng = np.random.default_rng([arrivals, windows])
    shares = np.full(windows, 1.0 / windows)
    counts = rng.multinomial(arrivals, shares, size=_REPLICATES)
    indices = counts.var(axis=1, ddof=1) / (arrivals / windows)
    low, high = np.quantile(indices, (FALSE_ALARM / 2.0, 1.0 - FALSE_ALARM / 2.0))
    return float(low), float(high)


def windows_for(arrivals: int) -> int:
    """How many windows to count in: about five arrivals in each, 2 to 50 windows."""
    return max(2, min(50, arrivals // 5))


def audit(records: Sequence[RequestRecord], schedule: Arrivals) -> Audit:
    """Checks a run's records against its schedule; gates and limits are this module's constants."""
    reasons: list[str] = []
    notes: list[str] = []
    facts: dict[str, float | int | None] = {"scheduled": len(schedule)}
    _check_sent(records, schedule, reasons, facts)
    _check_lag(records, reasons, notes, facts)
    _check_arrivals(records, schedule, reasons, notes, facts)
    rounded = {k: round(v, 6) if isinstance(v, float) else v for k, v in facts.items()}
    return Audit(not reasons, tuple(reasons), tuple(notes), rounded)


def _check_sent(
    records: Sequence[RequestRecord],
    schedule: Arrivals,
    reasons: list[str],
    facts: dict[str, float | int | None],
) -> None:
    sent = len({r.index for r in records if r.sent_s is not None})
    facts["sent"] = sent
    if sent != len(schedule):
        reasons.append(
            f"{len(schedule) - sent} of {len(schedule)} scheduled requests were not sent."
        )


def _check_lag(
    records: Sequence[RequestRecord],
    reasons: list[str],
    notes: list[str],
    facts: dict[str, float | int | None],
) -> None:
    lags = np.array([r.sent_s - r.scheduled_s for r in records if r.sent_s is not None])
    if not len(lags):
        return
    services_ms = [
        float(r.serving["service_ms"])
        for r in records
        if r.serving and isinstance(r.serving.get("service_ms"), (int, float))
    ]
    allowed_s = LAG_FLOOR_S
    if services_ms:
        service_s = float(np.median(services_ms)) / 1000.0
        facts["service_median_s"] = service_s
        allowed_s = max(LAG_FLOOR_S, LAG_SHARE * service_s)
    else:
        notes.append(
            "no answer told its service time: the send lag was held to "
            f"{LAG_FLOOR_S * 1000:g} ms instead of 1 % of it."
        )
    lag_p99_s = float(np.percentile(lags, 99))
    facts["send_lag_p50_s"] = float(np.percentile(lags, 50))
    facts["send_lag_p99_s"] = lag_p99_s
    facts["send_lag_max_s"] = float(lags.max())
    facts["send_lag_allowed_s"] = allowed_s
    if lag_p99_s > allowed_s:
        reasons.append(
            f"requests went out late: p99 of the send lag is {lag_p99_s * 1000:.1f} ms, "
            f"allowed are {allowed_s * 1000:.1f} ms."
        )
    if float(lags.min()) < -0.001:
        reasons.append(f"a request went out {-float(lags.min()) * 1000:.1f} ms before its instant.")


def _check_arrivals(
    records: Sequence[RequestRecord],
    schedule: Arrivals,
    reasons: list[str],
    notes: list[str],
    facts: dict[str, float | int | None],
) -> None:
    received = np.array([r.received_s for r in records if r.received_s is not None])
    facts["received"] = len(received)
    sent = sum(r.sent_s is not None for r in records)
    if sent != len(schedule):
        notes.append("not every request was sent, so the arrivals were not compared.")
        return
    missing = sent - len(received)
    if missing > UNSTAMPED_SHARE_MAX * sent:
        reasons.append(
            f"{missing} of {sent} sent requests have no receive stamp from the server "
            "(header x-received-at), so the arrivals there cannot be checked."
        )
        return
    _transit_facts(records, facts)
    if len(received) < ARRIVALS_MIN:
        notes.append(
            f"{len(received)} arrivals are too few to check their gaps (at least {ARRIVALS_MIN})."
        )
        return
    # The server's clock may be offset from ours: only differences of its stamps count.
    received = np.sort(received) - received.min() + schedule.times_s[0]
    cv, cv_scheduled = gap_cv(received), gap_cv(schedule.times_s)
    facts["cv_server"], facts["cv_scheduled"] = cv, cv_scheduled
    if not abs(cv - cv_scheduled) <= CV_TOLERANCE:
        reasons.append(
            f"arrivals at the server are not the schedule's: CV of their gaps is {cv:.2f}, "
            f"scheduled was {cv_scheduled:.2f}."
        )
    if schedule.kind == "poisson":
        _check_poisson(received, cv, schedule.duration_s, reasons, facts)


def _check_poisson(
    received: Times,
    cv: float,
    duration_s: float,
    reasons: list[str],
    facts: dict[str, float | int | None],
) -> None:
    low, high = cv_band(len(received) - 1)
    facts["cv_low"], facts["cv_high"] = low, high
    if not low <= cv <= high:
        reasons.append(
            f"arrivals at the server are not Poisson: CV of their gaps is {cv:.2f}, "
            f"outside {low:.2f} to {high:.2f}."
        )
    windows = windows_for(len(received))
    dispersion = dispersion_index(received, duration_s, windows)
    low, high = dispersion_band(len(received), windows)
    facts["dispersion_server"] = dispersion
    facts["dispersion_low"], facts["dispersion_high"] = low, high
    facts["dispersion_windows"] = windows
    if not low <= dispersion <= high:
        reasons.append(
            f"arrivals at the server are not Poisson: dispersion index of their counts in "
            f"{windows} windows is {dispersion:.2f}, outside {low:.2f} to {high:.2f}."
        )


def _transit_facts(records: Sequence[RequestRecord], facts: dict[str, float | int | None]) -> None:
    """Sent to received: told, not judged, for a slow accept is the server's and is latency."""
    transits = np.array(
        [
            r.received_s - r.sent_s
            for r in records
            if r.received_s is not None and r.sent_s is not None
        ]
    )
    if len(transits):
        facts["transit_p50_s"] = float(np.percentile(transits, 50))
        facts["transit_p99_s"] = float(np.percentile(transits, 99))
