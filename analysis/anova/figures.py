"""The experiment's figures, drawn from its JSON alone; lines differ by dash and marker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from analysis.figures import plain_style

WIDTH = 9.5
DASHES = ("-", "--", ":", "-.")
MARKERS = "osD^"
POINTS = {"color": "black", "markersize": 2.0, "alpha": 0.6, "rasterized": True}


def main_effects(results: Mapping[str, Any]) -> Figure:
    """Geometric mean time of each level over all others, with its interval; one panel a factor."""
    effects = results["main_effects"]
    with plain_style():
        figure = Figure(figsize=(WIDTH, 2.5))
        panels = figure.subplots(1, len(effects), sharey=True, squeeze=False)[0]
        for axes, (factor, levels) in zip(panels, effects.items(), strict=True):
            places = np.arange(len(levels))
            means = np.array([one["mean_s"] for one in levels])
            ratios = np.array([one["ratio"] for one in levels])
            ends = np.array([[one["band"]["low"], one["band"]["high"]] for one in levels])
            bars = np.abs(means[:, None] * (ends / ratios[:, None] - 1)).T
            axes.errorbar(
                places, 1000 * means, 1000 * bars, fmt="o-", color="black", lw=1, ms=3.5, capsize=2
            )
            axes.set_xticks(places, [str(one["level"]) for one in levels], fontsize=7)
            if len(levels) > 2 and factor == "size":
                axes.tick_params(axis="x", labelrotation=30)
            axes.set_title(factor)
            axes.margins(x=0.2)
        panels[0].set_yscale("log")
        _plain_ticks(panels[0], "y")
        panels[0].set_ylabel("geometric mean, ms")
    return figure


def interaction(results: Mapping[str, Any]) -> Figure:
    """The largest interaction: a line for each level of one factor over the levels of the other.

    Left the times, right each line over its own first point: lines that come apart are the
    interaction.
    """
    first, second = results["interaction"]["factors"]
    means = results["interaction"]["means"]
    names = [str(one["levels"][0]) for one in means]
    places = {name: number for number, name in enumerate(dict.fromkeys(names))}
    with plain_style():
        figure = Figure(figsize=(WIDTH, 3.0))
        left, right = figure.subplots(1, 2)
        for number, level in enumerate(dict.fromkeys(str(one["levels"][1]) for one in means)):
            line = [one for one in means if str(one["levels"][1]) == level]
            x = [places[str(one["levels"][0])] for one in line]
            y = np.array([one["mean_s"] for one in line])
            look = {"marker": MARKERS[number % 4], "linestyle": DASHES[number % 4]}
            for axes, values in ((left, 1000 * y), (right, y / y[0])):
                axes.plot(x, values, color="black", lw=1, ms=4, label=level, **look)
        for axes, what in ((left, "geometric mean, ms"), (right, "over the line's first point")):
            axes.set_xticks(list(places.values()), list(places))
            axes.set_xlabel(first)
            axes.set_ylabel(what)
            axes.set_yscale("log")
            _plain_ticks(axes, "y")
        left.legend(title=second, frameon=False, fontsize=7)
    return figure


def residuals(results: Mapping[str, Any]) -> Figure:
    """Normal quantiles, residuals over what was fitted, and over the order of the runs."""
    seen = {name: np.asarray(values) for name, values in results["residuals"].items()}
    with plain_style():
        figure = Figure(figsize=(WIDTH, 2.9))
        left, middle, right = figure.subplots(1, 3)
        (expected, ordered), (slope, middle_value, _) = stats.probplot(seen["residual"])
        left.plot(expected, ordered, ".", **POINTS)
        ends = np.array([expected[0], expected[-1]])
        left.plot(ends, middle_value + slope * ends, color="black", lw=0.8)
        left.set_xlabel("normal quantile")
        left.set_ylabel("residual of log time")
        middle.plot(1000 * np.exp(seen["fitted"]), seen["residual"], ".", **POINTS)
        middle.set_xscale("log")
        _plain_ticks(middle, "x")
        middle.set_xlabel("fitted time, ms")
        right.plot(seen["order"], seen["residual"], ".", **POINTS)
        right.set_xlabel("order of the run")
        cells = results["experiment"]["cells"]
        for number in range(1, results["experiment"]["blocks"]):
            right.axvline(number * cells - 0.5, color="0.5", lw=0.8, linestyle="--")
        for axes in (middle, right):
            axes.axhline(0, color="black", lw=0.8)
    return figure


def predicted(told: Mapping[str, Any]) -> Figure:
    """Cells that were left out: what the formula says over what was measured."""
    measured_ms = 1000 * np.asarray(told["measured_s"])
    formula_ms = 1000 * np.asarray(told["formula_s"], dtype=np.float64)
    ends = [
        min(measured_ms.min(), np.nanmin(formula_ms)),
        max(measured_ms.max(), np.nanmax(formula_ms)),
    ]
    with plain_style():
        figure = Figure(figsize=(WIDTH, 3.2))
        left, right = figure.subplots(1, 2)
        left.plot(measured_ms, formula_ms, ".", **POINTS)
        left.plot(ends, ends, color="black", lw=0.8)
        left.set_yscale("log")
        _plain_ticks(left, "y")
        left.set_ylabel("formula, ms")
        right.plot(measured_ms, 100 * (formula_ms / measured_ms - 1), ".", **POINTS)
        right.axhline(0, color="black", lw=0.8)
        right.set_ylabel("formula off by, %")
        for axes in (left, right):
            axes.set_xscale("log")
            _plain_ticks(axes, "x")
            axes.set_xlabel("measured, ms")
    return figure


def _plain_ticks(axes: Axes, which: str) -> None:
    """Numbers such as 50 and 200 on a logarithmic axis, instead of powers of ten."""
    axis: Any = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    shown = (2, 5) if high > 10 * low else (2, 3, 4, 5, 7)
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: f"{value:g}" if _leading(value) in shown else "")
    axes.tick_params(axis="both", which="minor", labelsize=7)


def _leading(value: float) -> int:
    return int(f"{value:e}"[0])
