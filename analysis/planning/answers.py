"""The answer to a demand in each mode: few engines by simulation, many by chain and in small.

Many engines at full service are a chain (`many_engines`). With early exit, SMALL_ENGINES like engines
are simulated at the same load an engine, with thresholds in proportion: a smaller system swings more,
so what its engines carry more of them carry too, and the answer errs to the safe side.
Below lies the bound that no arrangement beats, so the truth is between the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from scipy import optimize

from analysis.planning.demand import Demand, Fleet, Mode, Setting
from analysis.planning.many_engines import ManyEngines, least_engines
from analysis.planning.sizing import Sized, highest_rate, highest_rate_of, size
from analysis.planning.trials import FEWEST, Steady, Trials
from policies.controllers import Hysteresis

FEW_ENGINES = 12
"""If the work alone needs more, the engines are many."""

SMALL_ENGINES = 24
"""Simulated in place of many."""

CHECK_ENGINES = 160
"""Up to so many an answer with early exit is simulated as it stands, and raised if it must be. Full
service is not: near capacity its line takes minutes to settle, longer than can be simulated."""

CHECKS = 3
"""Replications of that."""

RAISE = 1.01
RAISES_MAX = 8

TOLD_FIGURES = ("mean_s", "p50_s", "p95_s", "p99_s", "mean_steps", "degraded_share", "score")


@dataclass(frozen=True)
class Answer:
    """Engines and settings for one mode, with what they give at the planned rate.

    figures: mean_s, p50_s, p95_s, p99_s, mean_steps, degraded_share, score (if the ladder has any)
    and utilisation. p95_interval: 95 %, None where the figure is not a mean of replications.
    binding: what fewer engines would break. fewer: figures of one engine less, if tried and not
    below the capacity. at_mean: figures at the mean rate, if the peak is another. breaks_at_per_s:
    the rate up to which these engines keep the demand.
    """

    mode: Mode
    engines: int
    bound: int
    thresholds: Hysteresis | None
    method: str
    figures: Mapping[str, float]
    p95_interval: tuple[float, float] | None
    decided: bool
    binding: str
    breaks_at_per_s: float
    fewer: Mapping[str, float] | None = None
    at_mean: Mapping[str, float] | None = None


def answer(trials: Trials, demand: Demand, mode: Mode, full: Answer | None = None) -> Answer:
    """Engines for the demand. `full`: the answer for full service, which early exit never exceeds.

    ValueError as `Fleet.check` and `size`.
    """
    fleet = trials.fleet
    fleet.check(demand)
    work = fleet.least_engines(demand.peak_per_s, "full", demand.min_score)
    if work <= FEW_ENGINES:
        return _few(trials, demand, mode)
    if mode == "full":
        return _many_full(trials, demand)
    if full is None:
        full = _many_full(trials, demand)
    return _many_early(trials, demand, mode, full)


def _few(trials: Trials, demand: Demand, mode: Mode) -> Answer:
    sized = size(trials, demand, mode)
    rate, steady = demand.peak_per_s, sized.steady
    high = sized.setting.engines / trials.fleet.least_mean_engine_s(mode, demand.min_score)
    breaks_at, _ = highest_rate_of(trials, demand, [sized.setting], rate, max(high, rate))
    return Answer(
        mode=mode,
        engines=sized.setting.engines,
        bound=sized.bound,
        thresholds=sized.setting.thresholds,
        method="simulated",
        figures=told(steady),
        p95_interval=_interval(steady),
        decided=steady.decided,
        binding=sized.binding,
        breaks_at_per_s=breaks_at,
        fewer=_fewer(trials.fleet, rate, sized),
        at_mean=_at_mean(trials, demand, sized.setting),
    )


def _fewer(fleet: Fleet, rate_per_s: float, sized: Sized) -> dict[str, float] | None:
    """None also where the line would grow without end, so that a figure would tell a run's length."""
    grows = rate_per_s >= (sized.setting.engines - 1) * fleet.full_capacity_per_s
    if sized.fewer is None or (grows and sized.mode == "full"):
        return None
    return told(sized.fewer)


def _many_full(trials: Trials, demand: Demand) -> Answer:
    fleet, rate = trials.fleet, demand.peak_per_s
    bound = fleet.least_engines(rate, "full", demand.min_score)
    engines = least_full(fleet, rate, demand.slo_p95_s)
    return Answer(
        mode="full",
        engines=engines,
        bound=bound,
        thresholds=None,
        method="chain",
        figures=chain_figures(fleet, rate, engines),
        p95_interval=None,
        decided=True,
        binding="p95" if engines > bound else "work",
        breaks_at_per_s=breaking_rate(fleet, engines, demand.slo_p95_s),
        at_mean=None if demand.burst == 1 else chain_figures(fleet, demand.rate_per_s, engines),
    )


def chain_figures(fleet: Fleet, rate_per_s: float, engines: int) -> dict[str, float]:
    """What the chain says of full service; ValueError beyond the capacity."""
    model = full_model(fleet, rate_per_s, engines)
    figures = {
        "mean_s": model.mean_s,
        "p50_s": model.quantile_s(0.5),
        "p95_s": model.quantile_s(0.95),
        "p99_s": model.quantile_s(0.99),
        "mean_steps": float(fleet.ladder.best.steps),
        "degraded_share": 0.0,
        "utilisation": model.utilisation,
    }
    return figures | ({"score": fleet.ladder.scores()[0]} if fleet.has_scores else {})


def _many_early(trials: Trials, demand: Demand, mode: Mode, full: Answer) -> Answer:
    fleet, rate = trials.fleet, demand.peak_per_s
    small_rate, small = highest_rate(trials, demand, mode, SMALL_ENGINES)
    bound = fleet.least_engines(rate, mode, demand.min_score)
    each_per_s = small_rate / SMALL_ENGINES
    engines = full.engines
    if each_per_s > 0:
        # Full service is one of the ways to run them, so early exit never needs more.
        engines = min(full.engines, max(bound, math.ceil(rate / each_per_s)))
    setting = Setting(engines, mode, scaled(small.thresholds, engines / SMALL_ENGINES))
    checked = None
    if engines <= CHECK_ENGINES:
        longer = trials.longer()
        engines, checked = _raised(longer, demand, setting, full.engines)
        trials.jobs_run += longer.jobs_run
    alike = Setting(SMALL_ENGINES, mode, small.thresholds)
    steady = checked or trials.glance(demand, alike, rate / engines * SMALL_ENGINES, CHECKS)
    return Answer(
        mode=mode,
        engines=engines,
        bound=bound,
        thresholds=scaled(small.thresholds, engines / SMALL_ENGINES),
        method="in small" if checked is None else "in small, then simulated",
        figures=told(steady),
        p95_interval=_interval(steady),
        decided=_clear(demand, steady),
        binding=_binding_in_small(trials, demand, alike, small_rate),
        breaks_at_per_s=max(rate, each_per_s * engines),
        at_mean=_at_mean_in_small(trials, demand, alike, engines),
    )


def _clear(demand: Demand, steady: Steady) -> bool:
    """Whether what is asked lies outside both intervals."""
    if steady.p95_s is None or demand.slo_p95_s in steady.p95_s:
        return False
    if demand.min_score is None or steady.score is None:
        return True
    return demand.min_score not in steady.score


def _binding_in_small(trials: Trials, demand: Demand, alike: Setting, rate_per_s: float) -> str:
    """What breaks first as the rate an engine rises beyond what these carry."""
    beyond = trials.glance(demand, alike, 1.05 * rate_per_s, CHECKS)
    names = [name for name, broken in (("p95", beyond.late), ("quality", beyond.poor)) if broken]
    return " and ".join(names) or "work"


def _raised(trials: Trials, demand: Demand, setting: Setting, most: int) -> tuple[int, Steady]:
    """The setting simulated as it stands, with more engines by the hundredth until it keeps the
    demand; the thresholds stay. ValueError if RAISES_MAX times were not enough."""
    for _ in range(RAISES_MAX):
        steady = trials.glance(demand, setting, demand.peak_per_s, CHECKS)
        if steady.meets or setting.engines >= most:
            return setting.engines, steady
        setting = replace(setting, engines=min(math.ceil(setting.engines * RAISE), most))
    raise ValueError(
        f"{setting.engines} engines simulated as they stand do not keep the promise that a smaller"
        " system keeps; ask for a longer p95 or a lower quality"
    )


def scaled(thresholds: Hysteresis | None, ratio: float) -> Hysteresis | None:
    """Thresholds for so many times as many places. At least those of one job."""
    if thresholds is None:
        return None
    enter = tuple(max(1, round(depth * ratio)) for depth in thresholds.enter)
    leave = tuple(
        min(round(back * ratio), depth - 1)
        for back, depth in zip(thresholds.leave, enter, strict=True)
    )
    return Hysteresis(enter, leave, thresholds.min_hold_s)


def full_model(fleet: Fleet, rate_per_s: float, engines: int) -> ManyEngines:
    """The chain of these engines at full service; ValueError beyond their capacity."""
    best = fleet.ladder.best
    grant_s, fixed_s = fleet.overheads.grant_s, fleet.fixed_s - fleet.overheads.grant_s
    return ManyEngines(rate_per_s, engines, fleet.places, best, fleet.costs, grant_s, fixed_s)


def least_full(fleet: Fleet, rate_per_s: float, slo_p95_s: float) -> int:
    """Engines for full service by the chain; errors as `least_engines`."""
    best = fleet.ladder.best
    grant_s = fleet.overheads.grant_s
    return least_engines(
        rate_per_s,
        fleet.places,
        best,
        fleet.costs,
        slo_p95_s,
        grant_s=grant_s,
        fixed_s=fleet.fixed_s - grant_s,
    )


def breaking_rate(fleet: Fleet, engines: int, slo_p95_s: float) -> float:
    """The rate at which the chain's p95 at full service reaches the promise."""
    capacity = engines * fleet.full_capacity_per_s

    def over(rate_per_s: float) -> float:
        return full_model(fleet, rate_per_s, engines).beyond(slo_p95_s) - 0.05

    low, high = 0.01 * capacity, (1 - 1e-6) * capacity
    if over(high) < 0:
        return high
    return float(optimize.brentq(over, low, high, rtol=1e-4))


def told(steady: Steady) -> dict[str, float]:
    """The figures of simulated runs that an answer tells."""
    figures = {name: steady.figures[name] for name in TOLD_FIGURES if name in steady.figures}
    return figures | {"utilisation": steady.figures["busy_share"]}


def _interval(steady: Steady) -> tuple[float, float] | None:
    band = steady.p95_s
    return (
        None
        if band is None or band.replications < FEWEST
        else (band.mean - band.half_width, band.mean + band.half_width)
    )


def _at_mean(trials: Trials, demand: Demand, setting: Setting) -> dict[str, float] | None:
    if demand.burst == 1:
        return None
    return told(trials.glance(demand, setting, demand.rate_per_s, CHECKS))


def _at_mean_in_small(
    trials: Trials, demand: Demand, alike: Setting, engines: int
) -> dict[str, float] | None:
    if demand.burst == 1:
        return None
    rate = demand.rate_per_s / engines * SMALL_ENGINES
    return told(trials.glance(demand, alike, rate, CHECKS))


def cost(engines: int, rate_per_s: float, price_per_hour: float | None) -> dict[str, float] | None:
    """What the engines cost an hour, and a thousand pictures at this rate; None without a price."""
    if not price_per_hour:
        return None
    hour = engines * price_per_hour
    return {"per_hour": hour, "per_1000_pictures": hour / (3.6 * rate_per_s)}


def as_plain(found: Answer, demand: Demand, price_per_hour: float | None) -> dict[str, Any]:
    """JSON data of an answer."""
    plain = asdict(found)
    plain["thresholds"] = None if found.thresholds is None else asdict(found.thresholds)
    plain["headroom"] = found.breaks_at_per_s / demand.peak_per_s - 1
    plain["cost"] = cost(found.engines, demand.rate_per_s, price_per_hour)
    return plain
