"""The study's figure: measured improvements with intervals, and simulated ones by load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.document import Picture
from analysis.figures import plain_style
from analysis.improvement.measures import MEASURES

NAME = "improvement"
LOOKS = {"at_start": ("o", "white", ":"), "in_flight": ("^", "black", "-")}
LABELS = {"at_start": "fewer steps at the start", "in_flight": "fewer steps in flight"}
CURVES = ("mean_s", "p95_s")


def picture(results: Mapping[str, Any]) -> Picture:
    """Above a panel for each measured load, below the simulated latencies by load."""
    loads = list(dict.fromkeys(one["load"] for one in results["measured"]))
    with plain_style():
        figure = Figure(figsize=(9.5, 6.6))
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.3, 1))[:, 0]
        panels = upper.subplots(1, len(loads), sharey=True, squeeze=False)[0]
        for axes, load in zip(panels, loads, strict=True):
            _draw_measured(axes, results, load)
        panels[-1].legend(frameon=False, fontsize=7, loc="lower right")
        curves = lower.subplots(1, len(CURVES), squeeze=False)[0]
        for axes, key in zip(curves, CURVES, strict=True):
            _draw_simulated(axes, results, key)
    caption = (
        "Improvement against the static system with 95 % intervals: measured (above; percent, and"
        " points for shares) and simulated (below, by offered load)."
    )
    return Picture(NAME, figure, caption)


def _draw_measured(axes: Axes, results: Mapping[str, Any], load: float) -> None:
    base = results["systems"][0]
    shown = [one for one in results["measured"] if one["load"] == load and one["base"] == base]
    names = [m for m in MEASURES if m.key in shown[0]["measures"]]
    at = np.arange(len(names), dtype=np.float64)
    for place, one in enumerate(shown):
        marker, face, _ = LOOKS[one["other"]]
        found = [one["measures"][measure.key] for measure in names]
        values = np.array([f["value"] for f in found])
        reach = np.array([[f["value"] - f["low"], f["high"] - f["value"]] for f in found]).T
        axes.errorbar(
            values,
            at + 0.24 * (place - (len(shown) - 1) / 2),
            xerr=np.maximum(reach, 0.0),
            fmt=marker,
            ms=4,
            lw=0.9,
            color="black",
            mfc=face,
            label=LABELS[one["other"]],
        )
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(at, [measure.title for measure in names], fontsize=7)
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    # An interval of two rounds may reach far: the points are to be read.
    axes.set_xlim(-110, 160)
    axes.set_title(f"measured, {load:g} times the capacity")
    axes.set_xlabel("improvement, % or points")


def _draw_simulated(axes: Axes, results: Mapping[str, Any], key: str) -> None:
    title = next(measure.title for measure in MEASURES if measure.key == key)
    for system, (marker, face, dash) in LOOKS.items():
        rows = [row for row in results["simulated"] if row["system"] == system]
        if not rows:
            continue
        found = [row["measures"][key] for row in rows]
        values = np.array([f["value"] for f in found])
        reach = np.array([[f["value"] - f["low"], f["high"] - f["value"]] for f in found]).T
        axes.errorbar(
            [row["load"] for row in rows],
            values,
            yerr=np.maximum(reach, 0.0),
            fmt=marker + dash,
            ms=4,
            lw=0.9,
            color="black",
            mfc=face,
            label=LABELS[system],
        )
    axes.axhline(0, color="black", lw=0.8)
    axes.set_ylim(-55, 105)
    axes.set_title(f"simulated: {title}")
    axes.set_xlabel("offered load over the full-step capacity")
    axes.set_ylabel("improvement, %")
    axes.legend(frameon=False, fontsize=7, loc="lower right")
