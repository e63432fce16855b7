"""The figure: accuracy and likeness against cost, one marker shape per strategy, no colour needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from pipelines.quality_study.intervals import Estimate
from pipelines.quality_study.results import CATEGORIES, Point, Pricing, Study
from pipelines.quality_study.settings import STRATEGIES, Strategy

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "sluice",
    "figure.constrained_layout.use": True,
}
MARKERS: dict[Strategy, tuple[str, str]] = {
    "steps": ("o", "fixed steps"),
    "sampler": ("x", "another sampler"),
    "guidance": ("D", "guidance cut off"),
    "replan": ("v", "re-planned on the way"),
    "finish": ("*", "finished at once"),
    "hand_over": ("s", "handed over to the small variant"),
    "converge": ("P", "until it stands still"),
}
"""Marker and label of each strategy."""

_FILLS = ("black", "white", "darkgrey")  # of the variants with fixed steps, in the study's order
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class _Series(NamedTuple):
    label: str
    marker: str
    fill: str
    points: Sequence[tuple[float, Point]]  # with their shares of the reference's cost


def draw_figure(study: Study, pricing: Pricing, path: Path) -> None:
    """Save the two panels as SVG; the same study gives the same bytes."""
    series = list(_all_series(study, pricing))
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.5, 4.6))
        accuracy, likeness = figure.subplots(1, 2)
        _panel(accuracy, series, lambda point: point.accuracy[CATEGORIES[1]])
        accuracy.set_ylabel("two objects: pictures with the whole prompt right")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        _panel(likeness, series, lambda point: point.ssim)
        likeness.set_ylabel(f"SSIM to the same seed's picture of {study.reference.setting.name}")
        for axes in (accuracy, likeness):
            axes.set_xlabel(f"cost ({pricing.unit}) relative to {study.reference.setting.name}")
        handles, labels = accuracy.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=7
        )
        figure.savefig(path, format="svg", metadata={"Date": None})


def _all_series(study: Study, pricing: Pricing) -> Iterator[_Series]:
    priced = list(zip(pricing.shares, study.points, strict=True))
    for strategy in STRATEGIES:
        marker, label = MARKERS[strategy]
        mine = [one for one in priced if one[1].setting.strategy == strategy]
        if strategy != "steps":
            if mine:
                yield _Series(label, marker, "white", mine)
            continue
        for number, variant in enumerate(dict.fromkeys(p.setting.variant for _, p in mine)):
            own = [one for one in mine if one[1].setting.variant == variant]
            yield _Series(f"{label}, {variant}", marker, _FILLS[number % len(_FILLS)], own)


def _panel(axes: Axes, series: Sequence[_Series], value_of: Callable[[Point], Estimate]) -> None:
    for number, one in enumerate(series):
        costs = [share for share, _ in one.points]
        values = [value_of(point) for _, point in one.points]
        axes.errorbar(
            costs,
            [value.value for value in values],
            yerr=[
                [value.value - value.low for value in values],
                [value.high - value.value for value in values],
            ],
            fmt=one.marker,
            label=one.label,
            markersize=7 if one.marker == "*" else 4.5,
            markerfacecolor=one.fill,
            markeredgecolor="black",
            markeredgewidth=0.8,
            ecolor="silver",
            elinewidth=0.7,
            zorder=3 + 0.01 * number,
        )
        if one.marker == "o":
            for (share, point), value in zip(one.points, values, strict=True):
                axes.annotate(
                    str(point.setting.steps),
                    (share, value.value),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                )
    axes.set_xscale("log")
    axes.set_xticks(_SHARES, [f"{share:g}" for share in _SHARES])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="gainsboro", linewidth=0.5)
