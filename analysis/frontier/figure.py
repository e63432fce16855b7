"""Violations against mean score, one panel a schedule; readable in black and white.

Ours are drawn full and black, baselines hollow and grey; markers tell the policies apart.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import plain_style
from analysis.frontier.dominance import Outcome
from analysis.frontier.study import Race, Tallies
from analysis.intervals import Array

COLUMNS = 3
MARKERS = "osD^v<>pPXh*dH8"
NEAR_FULL = 2e-4
"""Added to what is lost of the score, so that a logarithm can show the full score as well."""
TICKS = (1.0, 0.999, 0.998, 0.995, 0.99, 0.98, 0.965)


def draw(race: Race, tallies: Tallies) -> str:
    """The figure as SVG."""
    rows = math.ceil((len(race.schedules) + 1) / COLUMNS)
    with plain_style():
        figure = Figure(figsize=(12, 3.3 * rows))
        panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for number, schedule in enumerate(race.schedules):
            _panel(panels[number], race, tallies, number)
            panels[number].set_title(schedule.title)
        for axes in panels[len(race.schedules) :]:
            axes.set_axis_off()
        _legend(panels[len(race.schedules)], race)
        sink = io.StringIO()
        figure.savefig(sink, format="svg", metadata={"Date": None})
    return sink.getvalue()


def _panel(axes: Axes, race: Race, tallies: Tallies, schedule: int) -> None:
    least = 0.5 / sum(tally.jobs for tally in tallies[0][schedule])
    start = 0
    for number, contender in enumerate(race.contenders):
        outcomes = [
            Outcome.of("", tallies[start + index][schedule])
            for index in range(len(contender.settings))
        ]
        start += len(outcomes)
        shown = [one for one in outcomes if not math.isnan(one.quality)]
        axes.plot(
            [one.quality for one in shown],
            [max(one.share, least) for one in shown],
            **_look(contender.side, number),  # type: ignore[arg-type]
        )
        _bars(axes, shown, least)
    axes.axhline(least, color="0.6", linewidth=0.6, linestyle=":")
    axes.annotate("none", (0.0, least), xycoords=("axes fraction", "data"), fontsize=6, va="bottom")
    axes.set_yscale("log")
    axes.set_ylim(least * 0.7, 1.3)
    lowest = min(race.ladder.scores())
    axes.set_xscale("function", functions=(_lost_to_axis, _axis_to_lost))
    axes.set_xticks([tick for tick in TICKS if tick >= lowest - 0.01], minor=False)
    axes.set_xticklabels([f"{tick:g}" for tick in TICKS if tick >= lowest - 0.01], fontsize=7)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("mean score of what came in time (SSIM)")
    axes.set_ylabel("share of violations")


def _bars(axes: Axes, outcomes: Sequence[Outcome], least: float) -> None:
    """95 % intervals of the violations."""
    for one in outcomes:
        band = one.share_interval()
        low, high = band.mean - band.half_width, band.mean + band.half_width
        if high > least:
            axes.plot([one.quality] * 2, [max(low, least), high], color="0.7", lw=0.6, zorder=1)


def _look(side: str, number: int) -> dict[str, object]:
    ours = side == "ours"
    return {
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
        "linewidth": 0.9,
        "linestyle": {"ours": "-", "baseline": "--", "hybrid": ":"}[side],
        "color": "black" if ours else "0.45",
        "markerfacecolor": "black" if ours else "white",
    }


def _legend(axes: Axes, race: Race) -> None:
    handles = [
        Line2D([], [], label=contender.title, **_look(contender.side, number))  # type: ignore[arg-type]
        for number, contender in enumerate(race.contenders)
    ]
    axes.legend(handles=handles, loc="center", frameon=False, fontsize=6.5)


def _lost_to_axis(score: Array) -> Array:
    lost = np.maximum(1.0 - np.asarray(score), 0.0)
    return np.asarray(-np.log10(lost + NEAR_FULL))


def _axis_to_lost(position: Array) -> Array:
    return np.asarray(1.0 + NEAR_FULL - 10.0 ** (-np.asarray(position)))
