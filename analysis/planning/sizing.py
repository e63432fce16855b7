"""How few engines keep a demand, and up to which rate so many engines do, by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analysis.planning.demand import Demand, Fleet, Mode, Setting
from analysis.planning.thresholds import family
from analysis.planning.trials import Steady, Trials

ENGINES_MAX = 128
"""More are not tried for a demand that a few engines could do but for its response time."""

FINALISTS = 3
"""So many of the settings that looked best in one run are judged."""

RATE_STEPS = 6
"""Halvings of the interval in which a highest rate is looked for."""

LOOKS = 2
"""Replications at each of these rates."""


@dataclass(frozen=True)
class Sized:
    """The answer for one mode. `bound` is the fewest engines that could do the work at all.

    binding: what one engine fewer would break: "work" (it could not do the work), "p95", "quality"
    or "p95 and quality". `fewer` are its figures, None where there is no such setting.
    """

    mode: Mode
    setting: Setting
    bound: int
    steady: Steady
    binding: str
    fewer: Steady | None


def candidates(fleet: Fleet, mode: Mode, engines: int) -> Iterator[Setting]:
    """Every way to run so many engines in this mode; full service is among them."""
    yield Setting(engines, "full")
    if mode != "full":
        rungs = fleet.ladder.last
        for one in family(engines * fleet.places, rungs, fleet.settings.hold_s):
            yield Setting(engines, mode, one)


def ranked(
    trials: Trials, demand: Demand, mode: Mode, engines: int, rate_per_s: float
) -> list[Setting]:
    """The settings by one run each: those that keep the demand, best score first; then the others,
    the nearest first. Full service comes after thresholds that are as good: these help in peaks."""
    looked = {
        one: trials.glance(demand, one, rate_per_s)
        for one in candidates(trials.fleet, mode, engines)
    }

    def place(one: Setting) -> tuple[float, ...]:
        steady = looked[one]
        unguarded = float(one.thresholds is None)
        if not steady.meets:
            return 2.0, _missed(demand, steady), unguarded
        figures = steady.figures
        worth = figures.get("score", 1 - figures["degraded_share"])
        return unguarded, -round(worth, 4), figures["p95_s"]

    return sorted(looked, key=place)


def _missed(demand: Demand, steady: Steady) -> float:
    late = max(0.0, steady.figures["p95_s"] / demand.slo_p95_s - 1)
    if demand.min_score is None:
        return late
    allowed = max(1 - demand.min_score, 1e-3)
    return late + max(0.0, demand.min_score - steady.figures["score"]) / allowed


def best_of(
    trials: Trials, demand: Demand, mode: Mode, engines: int, rate_per_s: float
) -> tuple[Setting, Steady]:
    """The first of the ranked settings that keeps the demand beyond doubt or in the mean; if no
    finalist and not even full service does, the one ranked first."""
    order = ranked(trials, demand, mode, engines, rate_per_s)
    full = Setting(engines, "full")
    finalists = order[:FINALISTS]
    # Full service is always judged: a mode with early exit then never needs more engines.
    tried = [*finalists, full] if full not in finalists else finalists
    first: tuple[Setting, Steady] | None = None
    for setting in tried:
        steady = trials.judge(demand, setting, rate_per_s)
        if steady.meets:
            return setting, steady
        first = first or (setting, steady)
    assert first is not None  # full service is always among them
    return first


def least(meets: Callable[[int], bool], low: int, most: int) -> int:
    """The least number from `low` on that meets, if all above one that does do; 0 if none up to
    `most` does. Looks in growing strides, then halves."""
    failed, stride, tried = low - 1, 1, min(low, most)
    while not meets(tried):
        failed = tried
        if tried >= most:
            return 0
        tried, stride = min(tried + stride, most), 2 * stride
    while tried - failed > 1:
        middle = (tried + failed) // 2
        if meets(middle):
            tried = middle
        else:
            failed = middle
    return tried


def size(trials: Trials, demand: Demand, mode: Mode) -> Sized:
    """The fewest engines for the demand's peak. ValueError if ENGINES_MAX engines do not keep it."""
    fleet, rate = trials.fleet, demand.peak_per_s
    bound = fleet.least_engines(rate, mode, demand.min_score)
    answers: dict[int, tuple[Setting, Steady]] = {}

    def meets(engines: int) -> bool:
        answers[engines] = best_of(trials, demand, mode, engines, rate)
        return answers[engines][1].meets

    found = least(meets, bound, max(ENGINES_MAX, 2 * bound))
    if not found:
        raise ValueError(
            f"{max(ENGINES_MAX, 2 * bound)} engines do not keep a p95 of {demand.slo_p95_s:g} s at"
            f" {rate:g} requests/s; a picture alone takes {fleet.unloaded_s():.3g} s at full"
            " service, so allow more time than that"
        )
    setting, steady = answers[found]
    if found == bound:
        return Sized(mode, setting, bound, steady, "work", None)
    fewer = answers[found - 1][1]
    names = [name for name, broken in (("p95", fewer.late), ("quality", fewer.poor)) if broken]
    return Sized(mode, setting, bound, steady, " and ".join(names), fewer)


def highest_rate_of(
    trials: Trials, demand: Demand, settings: Sequence[Setting], low: float, high: float
) -> tuple[float, Setting]:
    """The highest rate at which one of these settings keeps the demand, and which one does.

    By halving on the logarithm between `low`, which is taken to be kept, and `high`, which is not;
    each rate is looked at in LOOKS replications.
    """
    keeps = settings[0]
    for _ in range(RATE_STEPS):
        middle = math.sqrt(low * high)
        for setting in sorted(settings, key=lambda one: one != keeps):
            if _keeps(trials, demand, setting, middle):
                low, keeps = middle, setting
                break
        else:
            high = middle
    return low, keeps


def _keeps(trials: Trials, demand: Demand, setting: Setting, rate_per_s: float) -> bool:
    """Most rates are told by one run: far off, or far within."""
    one = trials.glance(demand, setting, rate_per_s)
    clear = abs(one.figures["p95_s"] / demand.slo_p95_s - 1) > 0.3
    if demand.min_score is not None and not one.late:
        clear = clear and one.poor
    if clear:
        return one.meets
    return trials.glance(demand, setting, rate_per_s, LOOKS).meets


def highest_rate(
    trials: Trials, demand: Demand, mode: Mode, engines: int, known_low: float | None = None
) -> tuple[float, Setting]:
    """The highest rate at which so many engines keep response and quality in this mode, with the
    setting that does.

    `known_low`: a rate that full service keeps, if it has been looked for; early exit is looked for
    from there on. The settings are ranked once, in the middle of the range. 0 if full service keeps
    none of the rates tried, down to a thousandth of what the work allows.
    """
    fleet, full = trials.fleet, Setting(engines, "full")
    high = engines / fleet.least_mean_engine_s(mode, demand.min_score)
    if mode == "full":
        low = high / 4
        least_per_s = high / 1_000
        while not _keeps(trials, demand, full, low):
            low, high = low / 4, low
            if low < least_per_s:
                return 0.0, full
        return highest_rate_of(trials, demand, [full], low, high)
    low = known_low or highest_rate(trials, demand, "full", engines)[0]
    if not low:
        return 0.0, full
    order = ranked(trials, demand, mode, engines, math.sqrt(low * high))
    guarded = [one for one in order if one.thresholds is not None][:FINALISTS]
    rate, setting = highest_rate_of(trials, demand, guarded or [full], low, high)
    return (rate, setting) if rate > low else (low, full)
