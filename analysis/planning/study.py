"""The whole plan as plain data: answers for one rate or several, sweeps, checks, shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.planning.answers import (
    FEW_ENGINES,
    SMALL_ENGINES,
    Answer,
    answer,
    as_plain,
    least_full,
)
from analysis.planning.demand import MODES, Demand, Fleet
from analysis.planning.shards import (
    BASE64,
    BYTES_PER_PIXEL,
    DECISION_SHARE,
    EVENTS_PER_PICTURE,
    PER_GATEWAY_S,
    DispatcherTimes,
    bytes_per_s_at_most,
    gateways_needed,
    losses,
    shards_needed,
    split,
)
from analysis.planning.sizing import highest_rate
from analysis.planning.sweeps import (
    EARLY,
    STEPS_MAX,
    chain_checks,
    curves,
    knee,
    many_steps,
    peaks,
    small_checks,
    steps,
)
from analysis.planning.trials import FEWEST, MOST, WARM_UP, Trials
from policies.controllers import Hysteresis

STUDY_RATES_PER_S = (10.0, 1_000.0, 100_000.0)
STUDY_SLO = 3.0
"""Times the unloaded response, as in the demonstration's promise."""
STUDY_QUALITY = "0.995"
PEAK_FACTORS = (1.0, 1.25, 1.5, 2.0, 3.0)
LOSS_SHARDS = (1, 2, 4, 8, 16, 32, 64)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """Where the figures come from, as told on the page."""

    config: str
    costs: str
    costs_machine: str
    overheads: str
    slower: float
    quality: str


def one_plan(
    trials: Trials, demand: Demand, price_per_hour: float | None, tell: Tell
) -> dict[str, Any]:
    """All three modes for one stream and one dispatcher."""
    modes: dict[str, Any] = {}
    full: Answer | None = None
    for mode in MODES:
        tell(f"{demand.rate_per_s:g} requests/s: {mode.replace('_', ' ')}")
        found = answer(trials, demand, mode, full)
        full = full or found
        modes[mode] = as_plain(found, demand, price_per_hour)
    return {"demand": asdict(demand), "modes": modes}


def sharded_plan(
    trials: Trials,
    demand: Demand,
    price_per_hour: float | None,
    times: DispatcherTimes,
    tell: Tell,
) -> dict[str, Any]:
    """The same with as many dispatchers as the stream needs, each with its own engines."""
    fleet, rate = trials.fleet, demand.peak_per_s
    engines = fleet.least_engines(rate, "full", demand.min_score)
    if engines > FEW_ENGINES:
        engines = least_full(fleet, rate, demand.slo_p95_s)
    shards = shards_needed(rate, engines, times)
    each = replace(demand, rate_per_s=demand.rate_per_s / shards)
    # Shards are even, so a split may need a few engines more than one dispatcher was measured with.
    while shards > 1 and split(fleet, rate, demand.slo_p95_s, shards)[0] > shards * times.engines:
        shards += 1
        each = replace(demand, rate_per_s=demand.rate_per_s / shards)
    plan = one_plan(trials, each, price_per_hour, tell)
    for told in plan["modes"].values():
        told["engines_in_all"] = told["engines"] * shards
        if told["cost"] is not None:
            told["cost"]["per_hour"] *= shards
    size = fleet.settings.width, fleet.settings.height
    return plan | {
        "whole": asdict(demand),
        "shards": shards,
        "one_queue_engines": engines if shards > 1 else None,
        "gateways": gateways_needed(rate),
        "bytes_per_s_at_most": bytes_per_s_at_most(rate, *size),
    }


def sweep(trials: Trials, demand: Demand, plan: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """What if the rate were another, around this plan."""
    fleet = trials.fleet
    told = plan["modes"][EARLY]
    tell("p95 and quality along the rate")
    found: dict[str, Any] = {
        "curves": curves(
            trials,
            demand,
            told["engines"],
            None if told["thresholds"] is None else Hysteresis(**told["thresholds"]),
            told["breaks_at_per_s"],
        )
    }
    if fleet.least_engines(demand.peak_per_s, "full", demand.min_score) > FEW_ENGINES:
        rate, _ = highest_rate(trials, demand, EARLY, SMALL_ENGINES)
        found["many"] = many_steps(fleet, demand, rate / SMALL_ENGINES)
        return found
    most = min(max(plan["modes"]["full"]["engines"] + 1, 3), STEPS_MAX)
    rows = steps(trials, demand, most, tell)
    return found | {"steps": rows, "knee": knee(trials, demand, rows)}


def study(
    trials: Trials,
    demands: Sequence[Demand],
    price_per_hour: float | None,
    times: DispatcherTimes,
    tell: Tell,
) -> dict[str, Any]:
    """The table on paper: every rate, with dispatchers, gateways and bytes; sweeps of the first."""
    fleet, first = trials.fleet, demands[0]
    plans = [sharded_plan(trials, demand, price_per_hour, times, tell) for demand in demands]
    found = {"plans": plans, "sweep": sweep(trials, first, plans[0], tell)}
    tell("the chain beside the simulator")
    checks: dict[str, Any] = {"chain": chain_checks(trials, first)}
    rate, setting = highest_rate(trials, first, EARLY, SMALL_ENGINES)
    if setting.thresholds is not None:
        checks["small"] = small_checks(trials, first, setting.thresholds, rate)
    found["checks"] = checks
    tell("peaks over the mean rate")
    middle = sorted(demands, key=lambda demand: demand.peak_per_s)[len(demands) // 2]
    found["peaks"] = {
        "rate_per_s": middle.rate_per_s,
        "rows": peaks(trials, middle, PEAK_FACTORS),
    }
    found["losses"] = {
        "rate_per_s": middle.peak_per_s,
        "rows": losses(fleet, middle.peak_per_s, first.slo_p95_s, LOSS_SHARDS),
    }
    found["dispatcher"] = asdict(times) | {
        "events_per_picture": EVENTS_PER_PICTURE,
        "decision_share": DECISION_SHARE,
        "pictures_per_s": times.pictures_per_s,
        "per_gateway_s": PER_GATEWAY_S,
        "bytes_per_pixel": BYTES_PER_PIXEL * BASE64,
    }
    return found


def facts(fleet: Fleet, sources: Sources, demand: Demand, price: float | None) -> dict[str, Any]:
    """What was planned with, for the page."""
    ladder = fleet.ladder
    return {
        "sources": asdict(sources),
        "engine": {
            "places": fleet.places,
            "threads": fleet.pool.threads,
            "device": fleet.pool.device,
            "capacity_per_s": fleet.full_capacity_per_s,
            "unloaded_s": fleet.unloaded_s(),
        },
        "overheads": asdict(fleet.overheads),
        "ladder": [
            {
                "rung": str(rung),
                "quality": rung.quality,
                "score": rung.score,
                "unloaded_s": fleet.unloaded_s(rung),
                "least_engine_s": fleet.least_engine_s(rung),
            }
            for rung in ladder.rungs
        ],
        "size": [fleet.settings.width, fleet.settings.height],
        "slo_p95_s": demand.slo_p95_s,
        "min_score": demand.min_score,
        "burst": demand.burst,
        "price_per_hour": price,
        "replications": {
            "fewest": FEWEST,
            "most": MOST,
            "warm_up": WARM_UP,
            "small_engines": SMALL_ENGINES,
        },
    }
