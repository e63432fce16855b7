"""Predicted against measured for every load, readable in black and white."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import plain_style
from analysis.validation.verdicts import A_PRIORI, LIMITS, TRACE_DRIVEN

FIGURES = {"mean_s": "mean response", "p95_s": "p95 response"}
KEYS = {"queueing": "queueing model", "a_priori": A_PRIORI, "trace_driven": TRACE_DRIVEN}
MARKERS = {"queueing": "x", "a_priori": "o", "trace_driven": "s"}
FILLS = {"queueing": "black", "a_priori": "white", "trace_driven": "black"}
PLACES = {"queueing": -0.22, "a_priori": 0.0, "trace_driven": 0.22}
EDGE = 0.5
"""What is farther off than this is drawn at the edge, with its number."""

PERCENT = 100.0


def predicted_against_measured(loads: Sequence[Mapping[str, Any]]) -> Figure:
    """How far each prediction is off, in percent of what was measured, one panel a figure."""
    with plain_style():
        figure = Figure(figsize=(9.0, 6.0))
        panels = figure.subplots(len(FIGURES), 1, sharex=True)
        for axes, (name, what) in zip(panels, FIGURES.items(), strict=True):
            _draw(axes, loads, name)
            axes.set_ylabel(f"{what}, % off")
        panels[0].legend(
            ncols=3, fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), frameon=False
        )
        panels[-1].set_xticks(
            range(len(loads)),
            [f"{one['mode']}\n{one['share']:g}".replace("_", " ") for one in loads],
        )
        return figure


def _draw(axes: Axes, loads: Sequence[Mapping[str, Any]], name: str) -> None:
    limits = {method: {x.figure: x.limit for x in its} for method, its in LIMITS.items()}
    for method, dash in ((TRACE_DRIVEN, "--"), (A_PRIORI, ":")):
        limit = PERCENT * limits[method][name]
        for edge in (-limit, limit):
            axes.axhline(
                edge,
                color="black",
                linestyle=dash,
                linewidth=0.8,
                label=f"limit, {method}" if edge > 0 else None,
            )
    axes.axhline(0, color="black", linewidth=0.6)
    for place, one in enumerate(loads):
        found = one["comparison"]
        measured = found["measured"][name]
        _draw_interval(axes, place, found["measured_bands"][name], measured, first=place == 0)
        for key in KEYS:
            if found[key] is not None:
                _draw_prediction(axes, place, key, found[key], name, measured)
    axes.set_ylim(-PERCENT * EDGE * 1.1, PERCENT * EDGE * 1.1)


def _draw_interval(
    axes: Axes, place: int, band: Mapping[str, float], measured: float, *, first: bool
) -> None:
    low, high = (_clipped(band[end] / measured - 1) for end in ("low", "high"))
    axes.fill_between(
        [place - 0.38, place + 0.38],
        low,
        high,
        color="0.85",
        linewidth=0,
        label="measured, 95 % interval" if first else None,
    )


def _draw_prediction(
    axes: Axes, place: int, key: str, modelled: Mapping[str, Any], name: str, measured: float
) -> None:
    value = modelled["figures"][name]
    if value is None or not math.isfinite(value):
        return
    off, at = value / measured - 1, place + PLACES[key]
    band = modelled["bands"].get(name)
    if band is not None:
        ends = [_clipped(band[end] / measured - 1) for end in ("low", "high")]
        axes.plot([at, at], ends, color="black", linewidth=0.9)
    labelled = {line.get_label() for line in axes.get_lines()}
    axes.plot(
        [at],
        [_clipped(off)],
        MARKERS[key],
        color="black",
        markerfacecolor=FILLS[key],
        markersize=5,
        label=None if KEYS[key] in labelled else KEYS[key],
    )
    if abs(off) > EDGE:
        axes.annotate(
            f"{off:+.0%}",
            (at, _clipped(off)),
            xytext=(0, -9 if off > 0 else 4),
            textcoords="offset points",
            ha="center",
            fontsize=6,
        )


def _clipped(off: float) -> float:
    return PERCENT * min(EDGE, max(-EDGE, off))
