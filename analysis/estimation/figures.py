"""The figures of a run's estimates, readable in black and white."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from analysis.figures import plain_style
from analysis.service_times import Gamma, Lognormal, ServiceTime

Plain = Mapping[str, Any]

LAWS: Mapping[str, tuple[Callable[[float, float], ServiceTime], str]] = {
    "lognormal": (Lognormal, "--"),
    "gamma": (Gamma, ":"),
}
MARKS = "os^Dv<>P"
DASHES = ("-", "--", ":", "-.")


def gaps_figure(topic: Plain) -> Figure:
    """Quantiles of the gaps between arrivals against those of the exponential law."""
    with plain_style():
        figure = Figure(figsize=(4.2, 3.6))
        axes = figure.subplots()
        gaps_s = np.sort(np.asarray(topic["gaps_s"], dtype=np.float64))
        shares = (np.arange(gaps_s.size) + 0.5) / gaps_s.size
        expected_s = -np.log1p(-shares) / topic["rate_per_s"]
        axes.plot(expected_s, gaps_s, "o", color="black", markersize=2.5)
        end_s = float(max(expected_s[-1], gaps_s[-1]))
        axes.plot([0, end_s], [0, end_s], "--", color="0.4", linewidth=0.9)
        axes.set_xlabel("gap of a Poisson process, s")
        axes.set_ylabel("gap measured, s")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        return figure


def service_figure(topic: Plain) -> Figure:
    """The distribution of service times, and the laws that were fitted."""
    with plain_style():
        figure = Figure(figsize=(6.0, 3.4))
        axes = figure.subplots()
        times_s = np.sort(np.asarray(topic["times_s"], dtype=np.float64))
        shares = np.arange(1, times_s.size + 1) / times_s.size
        axes.step(times_s, shares, where="post", color="black", linewidth=1.2, label="measured")
        reach_s = float(times_s[-1] - times_s[0]) or 0.1 * float(times_s[0])
        grid_s = np.linspace(max(0.0, times_s[0] - reach_s / 5), times_s[-1] + reach_s / 5, 300)
        for fit in topic["fits"]:
            law, dash = LAWS[fit["law"]]
            tail, _, _ = law(fit["mean_s"], fit["cv2"]).tail_moments(grid_s)
            axes.plot(grid_s, 1 - tail, dash, color="0.3", linewidth=1.2, label=fit["law"])
        axes.set_xlabel("time in the engine, s")
        axes.set_ylabel("share of jobs")
        axes.set_ylim(0, 1.02)
        axes.legend(frameon=False)
        return figure


def batch_figure(topic: Plain) -> Figure:
    """Time of a call by its jobs, with intervals and lines, one mark a curve."""
    with plain_style():
        figure = Figure(figsize=(6.0, 3.6))
        axes = figure.subplots()
        for number, curve in enumerate(topic["curves"]):
            points = curve["points"]
            batches = [point["batch"] for point in points]
            mean_ms = np.array([1000 * point["mean_s"]["value"] for point in points])
            low_ms = np.array([1000 * point["mean_s"]["band"]["low"] for point in points])
            high_ms = np.array([1000 * point["mean_s"]["band"]["high"] for point in points])
            axes.errorbar(
                batches,
                mean_ms,
                yerr=(mean_ms - low_ms, high_ms - mean_ms),
                fmt=MARKS[number % len(MARKS)],
                color="black",
                markersize=4,
                capsize=2,
                linewidth=0.8,
                label=curve["name"],
            )
            line_ms = [1000 * point["line_s"] for point in points]
            dash = DASHES[number % len(DASHES)]
            axes.plot(batches, line_ms, dash, color="0.4", linewidth=0.9)
        axes.set_xlabel("jobs in the call")
        axes.set_ylabel("time of the call, ms")
        axes.set_xticks(sorted({p["batch"] for c in topic["curves"] for p in c["points"]}))
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=7)
        return figure
