"""What if the rate were another: the steps where an engine is needed or saved, the knee, and p95 and
quality along the rate with a fixed number of engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis.planning.answers import SMALL_ENGINES, full_model, least_full, scaled, told
from analysis.planning.demand import Demand, Fleet, Mode, Setting
from analysis.planning.sizing import highest_rate
from analysis.planning.trials import Trials
from policies.controllers import Hysteresis

EARLY: Mode = "in_flight"
STEPS_MAX = 5
CURVE_POINTS = 8
CURVE_LOW, CURVE_HIGH = 0.3, 1.1
REPLICATIONS = 2
JUST_ABOVE = 1.02
"""The knee's quality is told at a rate so little above it."""

CHECK_LOADS = (0.5, 0.7, 0.85, 0.95)
CHECK_SIZE = 48
LARGER = 4
"""The same load is tried with so many times as many engines."""


def steps(
    trials: Trials, demand: Demand, most: int, tell: Callable[[str], None] = lambda what: None
) -> list[dict[str, Any]]:
    """For 1 to `most` engines: the highest rate with full service, and with early exit."""
    rows = []
    for engines in range(1, most + 1):
        tell(f"highest rates of {engines} engines")
        full, _ = highest_rate(trials, demand, "full", engines)
        early, setting = highest_rate(trials, demand, EARLY, engines, full or None)
        rows.append(
            {
                "engines": engines,
                "full_up_to_per_s": full,
                "early_up_to_per_s": max(full, early),
                "thresholds": None
                if setting.thresholds is None
                else {"enter": setting.thresholds.enter, "leave": setting.thresholds.leave},
            }
        )
    return rows


def needed(rows: Sequence[dict[str, Any]], key: str, rate_per_s: float) -> int | None:
    """Engines for this rate by the steps; None if more than were looked at."""
    return next((row["engines"] for row in rows if rate_per_s <= row[key]), None)


def knee(trials: Trials, demand: Demand, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The smallest rate from which early exit saves an engine, and what quality it costs there.

    peak_factor: the knee of the demand itself: with the engines that full service needs at the
    mean rate, the peak over the mean from which only early exit does without another, and up to
    which. None if it saves none within the steps.
    """
    saving = [
        row for row in rows if row["early_up_to_per_s"] > JUST_ABOVE * row["full_up_to_per_s"]
    ]
    if not saving:
        return None
    first = saving[0]
    found = {
        "rate_per_s": first["full_up_to_per_s"],
        "engines": first["engines"],
        "up_to_per_s": first["early_up_to_per_s"],
        "there": _figures(trials, first, JUST_ABOVE * first["full_up_to_per_s"]),
        "at_the_top": _figures(trials, first, first["early_up_to_per_s"]),
    }
    mean = demand.rate_per_s
    engines = needed(rows, "full_up_to_per_s", mean)
    own = next((row for row in saving if row["engines"] == engines), None)
    if own is not None:
        found["peak"] = {
            "engines": engines,
            "from": own["full_up_to_per_s"] / mean,
            "up_to": own["early_up_to_per_s"] / mean,
            "there": _figures(trials, own, JUST_ABOVE * own["full_up_to_per_s"]),
            "at_the_top": _figures(trials, own, own["early_up_to_per_s"]),
        }
    return found


def _figures(trials: Trials, row: dict[str, Any], rate_per_s: float) -> dict[str, float]:
    thresholds = row["thresholds"]
    setting = Setting(row["engines"], "full")
    if thresholds is not None:
        hold_s = trials.fleet.settings.hold_s
        controller = Hysteresis(tuple(thresholds["enter"]), tuple(thresholds["leave"]), hold_s)
        setting = Setting(row["engines"], EARLY, controller)
    return _mean_figures(trials, setting, min(rate_per_s, row["early_up_to_per_s"]))


def _mean_figures(trials: Trials, setting: Setting, rate_per_s: float) -> dict[str, float]:
    runs = [trials.figures(rate_per_s, setting, number) for number in range(REPLICATIONS)]
    return {
        name: float(np.mean([run[name] for run in runs]))
        for name in ("p95_s", "degraded_share", "mean_steps", "score")
        if name in runs[0]
    }


def curves(
    trials: Trials, demand: Demand, engines: int, thresholds: Hysteresis | None, top_per_s: float
) -> dict[str, Any]:
    """p95 and mean score along the rate with a fixed number of engines, each way to run them.

    Many engines are simulated in small, at the same load an engine.
    """
    fleet = trials.fleet
    ratio = max(1.0, engines / SMALL_ENGINES)
    small = min(engines, SMALL_ENGINES)
    rates = np.geomspace(CURVE_LOW, CURVE_HIGH, CURVE_POINTS) * top_per_s
    settings = {"full": Setting(small, "full")}
    if thresholds is not None:
        settings[EARLY] = Setting(small, EARLY, scaled(thresholds, 1 / ratio))
    lines: dict[str, list[dict[str, float]]] = {}
    for name, setting in settings.items():
        lines[name] = []
        for rate in rates:
            if name == "full" and rate >= engines * fleet.full_capacity_per_s:
                continue  # no steady state to speak of
            figures = told(trials.glance(demand, setting, float(rate / ratio), REPLICATIONS))
            lines[name].append({"rate_per_s": float(rate)} | figures)
    return {"engines": engines, "simulated_engines": small, "lines": lines}


def chain_checks(trials: Trials, demand: Demand) -> list[dict[str, float]]:
    """The chain of many engines beside the simulator, where both can be computed."""
    fleet, longer, rows = trials.fleet, trials.longer(), []
    for load in CHECK_LOADS:
        rate = load * CHECK_SIZE * fleet.full_capacity_per_s
        model = full_model(fleet, rate, CHECK_SIZE)
        seen = longer.glance(demand, Setting(CHECK_SIZE, "full"), rate, REPLICATIONS).figures
        row = {"engines": float(CHECK_SIZE), "load": load}
        for name, value in (
            ("mean_s", model.mean_s),
            ("p95_s", model.quantile_s(0.95)),
            ("p99_s", model.quantile_s(0.99)),
        ):
            row |= {f"chain_{name}": value, f"simulated_{name}": seen[name]}
            row[f"off_{name}"] = value / seen[name] - 1
        rows.append(row)
    trials.jobs_run += longer.jobs_run
    return rows


def small_checks(
    trials: Trials, demand: Demand, thresholds: Hysteresis, rate_per_s: float
) -> list[dict[str, float]]:
    """A small system and one LARGER times as large, at the same load an engine."""
    rows, longer = [], trials.longer()
    for factor in (1, LARGER):
        setting = Setting(SMALL_ENGINES * factor, EARLY, scaled(thresholds, factor))
        seen = longer.glance(demand, setting, rate_per_s * factor, REPLICATIONS).figures
        rows.append(
            {"engines": float(setting.engines), "rate_per_s": rate_per_s * factor}
            | {name: seen[name] for name in ("p95_s", "degraded_share", "score") if name in seen}
        )
    trials.jobs_run += longer.jobs_run
    return rows


def peaks(trials: Trials, demand: Demand, factors: Sequence[float]) -> list[dict[str, float]]:
    """Many engines planned for a peak of so many times the mean rate, and what quality they give at
    the peak and at the mean rate; early exit in small."""
    fleet, mean = trials.fleet, demand.rate_per_s
    small_rate, setting = highest_rate(trials, demand, EARLY, SMALL_ENGINES)
    rows = []
    for factor in factors:
        full = least_full(fleet, factor * mean, demand.slo_p95_s)
        early = math.ceil(factor * mean / small_rate * SMALL_ENGINES) if small_rate else full
        row = {"factor": factor, "full": float(full), "early": float(min(full, early))}
        for name, rate in (("peak", factor * mean), ("mean", mean)):
            seen = _mean_figures(trials, setting, rate / row["early"] * SMALL_ENGINES)
            row |= {f"{name}_{figure}": value for figure, value in seen.items()}
        rows.append(row)
    return rows


def many_steps(fleet: Fleet, demand: Demand, early_each_per_s: float) -> list[dict[str, float]]:
    """Engines along the rate where they are many: the chain, and the small system's rate an engine."""
    rows = []
    for factor in np.linspace(0.25, 1.5, 11):
        rate = float(factor * demand.rate_per_s)
        full = least_full(fleet, rate, demand.slo_p95_s)
        early = min(full, math.ceil(rate / early_each_per_s)) if early_each_per_s else full
        bound = fleet.least_engines(rate, EARLY, demand.min_score)
        rows.append({"rate_per_s": rate, "full": full, "early": early, "bound": bound})
    return rows
