"""The demonstration's claims, each judged from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.intervals import (
    EFFECTIVE_MIN,
    Band,
    Growth,
    block_bootstrap,
    effective_size,
    growth,
    percentile_of,
    share_difference,
)
from analysis.runs import Quality, Run

P95_LIMIT = 3.0
"""Times the unloaded full-step latency."""

LOSS_LIMIT = 0.05
"""Share of pictures with every attribute right that the controller may cost."""

BLURRED = 0.10
"""A difference of shares known no better than this is too blurred for a claim of likeness."""

WINDOWS = 10
START_SHARE = 0.1
"""The first part of the arrivals, in which the places of the engines fill, is left out."""

BOOTSTRAP_SEED = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """holds: by the point estimate; sure: the 95 % interval says so too. tested: there was data
    to test the claim with; without, it does not hold."""

    claim: str
    holds: bool
    sure: bool
    detail: str
    tested: bool = True

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if not self.tested:
            return "NOT SHOWN"
        if self.sure:
            return "holds" if self.holds else "FAILS"
        return "holds, not beyond chance" if self.holds else "FAILS, perhaps by chance"


def queue_growth(run: Run) -> Growth:
    """Growth of the number of waiting requests while requests arrive, but for the first tenth."""
    times_s = np.linspace(START_SHARE * run.duration_s, run.duration_s, WINDOWS + 1)
    return growth(times_s.tolist(), run.waiting_at(times_s.tolist()).tolist())


def static_queue_grows(run: Run, expected_per_s: float) -> Verdict:
    """`expected_per_s` is the fluid prediction: arrival rate minus capacity."""
    found = queue_growth(run)
    holds = found.per_s > 0 and found.later_half_per_s > 0
    inside = "inside" if expected_per_s in found.band else "outside"
    return Verdict(
        "at 1.5 times capacity the static server's queue grows without bound",
        holds,
        holds and found.band.low > 0,
        f"the number of waiting requests grew by {found.per_s:.2f} a second (95 %"
        f" {found.band.low:.2f} to {found.band.high:.2f}; {found.later_half_per_s:.2f} in the later"
        f" half); arrivals minus capacity are {expected_per_s:.2f} a second, {inside} that interval",
    )


def controlled_p95(run: Run, unloaded_s: float) -> Verdict:
    """p95 of the served requests against the latency of a full-step request alone."""
    claim = f"the controlled server holds p95 at or under {P95_LIMIT:g} times the unloaded latency"
    latencies_s = np.array([outcome.latency_s for outcome in run.outcomes])
    if latencies_s.size == 0:
        return Verdict(claim, False, False, "no request was served", tested=False)
    p95_s = float(np.percentile(latencies_s, 95))
    band = block_bootstrap(latencies_s, percentile_of(0.95), BOOTSTRAP_SEED)
    limit_s = P95_LIMIT * unloaded_s
    holds = p95_s <= limit_s
    independent = effective_size(latencies_s)
    short = (
        f"; the run is short for this: its {latencies_s.size} latencies are worth"
        f" {independent:.0f} independent ones"
        if independent < EFFECTIVE_MIN
        else ""
    )
    return Verdict(
        claim,
        holds,
        (band.high <= limit_s if holds else band.low > limit_s) and not short,
        f"p95 is {p95_s:.3f} s (95 % {band.low:.3f} to {band.high:.3f}), that is"
        f" {p95_s / unloaded_s:.2f} times the unloaded {unloaded_s:.3f} s{short}",
    )


def nothing_refused(run: Run) -> Verdict:
    """Neither a refusal nor any other request without a picture."""
    fine = run.rejected == 0 and run.lost == 0 and len(run.requests) > 0
    return Verdict(
        "the controlled server rejects nothing at 1.5 times capacity",
        fine,
        True,
        f"{run.rejected} of {len(run.requests)} requests were rejected, {run.lost} failed or were"
        " never answered",
    )


def accuracy_kept(static: Run, controlled: Run) -> Verdict:
    """Loss of all-attributes-right accuracy at the same load and the same prompts."""
    claim = (
        f"the controlled server loses at most {100 * LOSS_LIMIT:g} points of prompt accuracy at"
        " 1.5 times capacity"
    )
    if static.quality is None or controlled.quality is None:
        return Verdict(claim, False, False, "the pictures were not judged", tested=False)
    loss, band = accuracy_loss(static.quality, controlled.quality)
    holds = loss <= LOSS_LIMIT
    return Verdict(
        claim,
        holds,
        band.high <= LOSS_LIMIT if holds else band.low > LOSS_LIMIT,
        f"{100 * static.quality.all_right:.1f} % right static, "
        f"{100 * controlled.quality.all_right:.1f} % controlled: a loss of {100 * loss:.1f} points"
        f" (95 % {100 * band.low:.1f} to {100 * band.high:.1f})",
    )


def same_quality(static: Run, controlled: Run) -> Verdict:
    """At low load the interval of the difference must hold 0, and be narrow enough to say so."""
    claim = "at 0.6 times capacity both servers agree in quality"
    if static.quality is None or controlled.quality is None:
        return Verdict(claim, False, False, "the pictures were not judged", tested=False)
    loss, band = accuracy_loss(static.quality, controlled.quality)
    return Verdict(
        claim,
        0.0 in band,
        band.half_width <= BLURRED or 0.0 not in band,
        f"{100 * static.quality.all_right:.1f} % right static,"
        f" {100 * controlled.quality.all_right:.1f} % controlled: a difference of"
        f" {100 * loss:.1f} points (95 % {100 * band.low:.1f} to {100 * band.high:.1f})",
    )


def accuracy_loss(static: Quality, controlled: Quality) -> tuple[float, Band]:
    """Static minus controlled, as a share of pictures, with its 95 % interval."""
    band = share_difference(static.hits, static.pictures, controlled.hits, controlled.pictures)
    return static.all_right - controlled.all_right, band


def loads_valid(runs: Sequence[Run]) -> Verdict:
    """Every run passed the load generator's audit: the load was what it claims to be."""
    faults = [f"{run.name}: {' '.join(run.reasons).rstrip('.')}" for run in runs if not run.valid]
    return Verdict(
        "all loads were open-loop Poisson as claimed (the load generator's audit)",
        not faults and bool(runs),
        True,
        "; ".join(faults) or f"all {len(runs)} runs are valid",
    )
