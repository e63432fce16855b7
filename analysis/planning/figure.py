"""Engines against rate, and p95 and quality along it; readable in black and white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import plain_style

LOOKS: Mapping[str, dict[str, Any]] = {
    "full": {"color": "0.45", "linestyle": "--", "marker": "o", "markerfacecolor": "white"},
    "in_flight": {"color": "black", "linestyle": "-", "marker": "s"},
}
NAMES = {"full": "always full service", "in_flight": "early exit in flight"}
SHOWN_SLOS = 2.0
"""Responses are drawn up to so many times the promise."""


def draw(results: Mapping[str, Any]) -> Figure:
    """Three panels from the JSON document of a plan that has a sweep."""
    swept = results["sweep"]
    with plain_style():
        figure = Figure(figsize=(10, 3.3))
        needed, latency, quality = figure.subplots(1, 3)
        if "steps" in swept:
            _steps(needed, swept["steps"], swept["knee"])
        else:
            _lines(needed, swept["many"])
        _latency(latency, swept["curves"], results["slo_p95_s"])
        _quality(quality, swept["curves"], results["min_score"])
        return figure


def _steps(axes: Axes, rows: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None) -> None:
    for name, key in (("full", "full_up_to_per_s"), ("in_flight", "early_up_to_per_s")):
        rates = [0.0]
        engines = []
        for row in rows:
            rates.append(row[key])
            engines.append(row["engines"])
        axes.stairs(
            engines,
            rates,
            baseline=None,
            color=LOOKS[name]["color"],
            linestyle=LOOKS[name]["linestyle"],
            linewidth=1.4,
            label=NAMES[name],
        )
    if knee is not None:
        axes.plot(knee["rate_per_s"], knee["engines"], "kD", markersize=5, label="the knee")
    axes.set_ylim(bottom=0)
    axes.set_yticks([row["engines"] for row in rows])
    _label(axes, "engines needed")


def _lines(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    rates = [row["rate_per_s"] for row in rows]
    look = {name: {k: v for k, v in LOOKS[name].items() if k != "marker"} for name in LOOKS}
    axes.plot(rates, [row["full"] for row in rows], **look["full"], label=NAMES["full"])
    axes.plot(rates, [row["early"] for row in rows], **look["in_flight"], label=NAMES["in_flight"])
    bounds = [row["bound"] for row in rows]
    axes.plot(rates, bounds, ":", color="black", label="no arrangement needs fewer")
    _label(axes, "engines needed")


def _latency(axes: Axes, curves: Mapping[str, Any], slo_s: float) -> None:
    for name, line in curves["lines"].items():
        seen = [one for one in line if one["p95_s"] <= SHOWN_SLOS * slo_s]
        axes.plot(
            [one["rate_per_s"] for one in seen],
            [one["p95_s"] for one in seen],
            **LOOKS[name],
            markersize=4,
            label=NAMES[name],
        )
    axes.axhline(slo_s, color="black", linestyle=":", linewidth=0.9, label="promised")
    axes.set_ylim(bottom=0)
    _label(axes, f"p95 of {curves['engines']} engines, s")


def _quality(axes: Axes, curves: Mapping[str, Any], min_score: float | None) -> None:
    for name, line in curves["lines"].items():
        key = "score" if line and "score" in line[0] else "degraded_share"
        axes.plot(
            [one["rate_per_s"] for one in line],
            [one[key] for one in line],
            **LOOKS[name],
            markersize=4,
            label=NAMES[name],
        )
    if min_score is not None:
        axes.axhline(min_score, color="black", linestyle=":", linewidth=0.9, label="asked")
    scored = any(line and "score" in line[0] for line in curves["lines"].values())
    axes.ticklabel_format(axis="y", useOffset=False)
    _label(axes, "mean score delivered" if scored else "degraded share")


def _label(axes: Axes, what: str) -> None:
    axes.set_xlabel("requests a second")
    axes.set_ylabel(what)
    axes.legend(frameon=False, fontsize=7)
