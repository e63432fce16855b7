"""The report's figures, readable in black and white: lines differ by dash and marker, not colour.

Each figure is returned as text for a page: inline SVG, or a PNG as a data address.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import image, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison.ensembles import Modelled
from analysis.runs import PICTURES_FOLDER, Request, Run
from analysis.server_config import ServerSettings
from analysis.study import CONTROLLERS, HIGH, LOW, Comparison, Study

PICTURES_PER_RUNG = 8
LOWERED = "lowered in flight"


def plain_style() -> AbstractContextManager[None]:
    """Small type, no frames, letters as outlines (no font is needed to show them)."""
    return rc_context(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "sluice",
            "figure.constrained_layout.use": True,
        }
    )


def latency_over_time(study: Study) -> str:
    """Latency of each request by the time it was due, the rung below; static left."""
    with plain_style():
        figure = Figure(figsize=(9.5, 4.6))
        axes = figure.subplots(2, 2, sharex=True, height_ratios=(2.4, 1))
        limit_s = 3 * study.unloaded["static"].latency_s
        for column, controller in enumerate(CONTROLLERS):
            comparison = study.comparison(controller, HIGH)
            upper, lower = axes[0, column], axes[1, column]
            _scatter_latency(upper, comparison.run, limit_s)
            upper.set_title(f"{controller}, {HIGH:g} times capacity")
            _draw_rung(lower, comparison.run, study.settings[controller])
            lower.set_xlabel("seconds from the start of the load")
        axes[0, 0].set_ylabel("latency, s")
        return _svg(figure)


def _scatter_latency(axes: Axes, run: Run, limit_s: float) -> None:
    best = [r for r in run.requests if r.outcome is not None]
    axes.plot(
        [r.scheduled_s for r in best],
        [float(r.latency_s or 0.0) for r in best],
        ".",
        color="black",
        markersize=2.5,
    )
    lost = [r.scheduled_s for r in run.requests if r.outcome is None]
    if lost:
        axes.plot(lost, [0.0] * len(lost), "x", color="black", markersize=4)
    axes.axhline(limit_s, color="black", linestyle="--", linewidth=0.8)
    axes.annotate(
        "3 times unloaded",
        (0.99, limit_s),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
        fontsize=7,
    )
    axes.set_ylim(bottom=0)


def _draw_rung(axes: Axes, run: Run, settings: ServerSettings) -> None:
    names = [str(rung) for rung in settings.ladder.rungs]
    times_s = [point.t_s for point in run.status]
    axes.step(times_s, [point.rung for point in run.status], where="post", color="black")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_ylabel("rung")
    if not run.status:
        axes.text(0.5, 0.5, "the server's state was not polled", transform=axes.transAxes)


def waiting_over_time(study: Study) -> str:
    """Requests waiting, static and controlled together, one panel a load."""
    with plain_style():
        figure = Figure(figsize=(9.5, 3.0))
        panels = figure.subplots(1, 2)
        for axes, load in zip(panels, (LOW, HIGH), strict=True):
            for controller, dash in zip(CONTROLLERS, ("-", ":"), strict=True):
                run = study.comparison(controller, load).run
                _draw_waiting(axes, run, controller, dash)
            if load == HIGH:
                _draw_fluid(axes, study)
            axes.set_title(f"{load:g} times capacity")
            axes.set_xlabel("seconds from the start of the load")
            axes.set_ylabel("requests waiting")
            axes.legend(frameon=False, fontsize=7)
        return _svg(figure)


def _draw_waiting(axes: Axes, run: Run, name: str, dash: str) -> None:
    ends = [r.answered_s for r in run.requests if r.answered_s is not None]
    grid_s = np.linspace(0.0, max(ends, default=run.duration_s), 400)
    axes.plot(
        grid_s,
        run.waiting_at(grid_s.tolist()),
        dash,
        color="black",
        lw=1.2,
        label=f"{name}, stamps",
    )
    if run.status:
        axes.plot(
            [point.t_s for point in run.status],
            [point.waiting for point in run.status],
            "o" if dash == "-" else "^",
            color="0.45",
            markersize=2.5,
            label=f"{name}, /v1/status",
        )


def _draw_fluid(axes: Axes, study: Study) -> None:
    run = study.comparison("static", HIGH).run
    growth_per_s = run.rate_per_s - study.capacity_per_s
    axes.plot(
        [0, run.duration_s],
        [0, growth_per_s * run.duration_s],
        color="0.5",
        linestyle="--",
        linewidth=0.9,
        label="arrivals minus capacity",
    )


def latency_distributions(study: Study) -> str:
    """Share of requests answered within a time: measured, predicted, and replayed."""
    with plain_style():
        figure = Figure(figsize=(9.5, 5.6))
        panels = figure.subplots(2, 2)
        for row, load in zip(panels, (LOW, HIGH), strict=True):
            for axes, controller in zip(row, CONTROLLERS, strict=True):
                _draw_distribution(axes, study.comparison(controller, load))
        panels[0, 0].legend(frameon=False, fontsize=7, loc="lower right")
        return _svg(figure)


def _draw_distribution(axes: Axes, c: Comparison) -> None:
    found = c.found
    latencies_s = np.array([outcome.latency_s for outcome in c.run.outcomes])
    _draw_steps(axes, latencies_s, {"linestyle": "-", "label": "measured"})
    _draw_percentiles(axes, found.a_priori, "s", "a priori, and 95 % of simulated runs")
    _draw_percentiles(axes, found.trace_driven, "x", "its arrivals, simulated")
    if found.queueing is not None:
        _draw_percentiles(axes, found.queueing, "D", "queueing model")
    axes.set_title(f"{c.controller}, {c.load:g} times capacity")
    axes.set_xlabel("latency, s")
    axes.set_ylabel("share answered")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.01)


def _draw_percentiles(axes: Axes, modelled: Modelled, marker: str, label: str) -> None:
    """p50, p95 and p99, with a grey line over the band where there is one."""
    names = ("p50_s", "p95_s", "p99_s")
    shares = (0.50, 0.95, 0.99)
    for name, share in zip(names, shares, strict=True):
        band = modelled.bands.get(name)
        if band is not None and marker == "s":
            axes.plot([band.low, band.high], [share, share], color="0.6", linewidth=3)
    axes.plot(
        [getattr(modelled.figures, name) for name in names],
        shares,
        marker,
        color="black",
        markerfacecolor="white",
        markersize=5,
        linestyle="none",
        label=label,
    )


def _draw_steps(axes: Axes, values: Any, look: dict[str, Any]) -> None:
    ordered = np.sort(values)
    if ordered.size:
        shares = np.arange(1, ordered.size + 1) / ordered.size
        axes.step(ordered, shares, where="post", color="black", linewidth=1.2, **look)


def contact_sheet(study: Study) -> str | None:
    """Pictures that clients got, a line for each rung; None if no picture was saved."""
    groups = pictures_by_rung([c.run for c in study.comparisons], study.settings["static"])
    if not groups:
        return None
    with plain_style():
        figure = Figure(figsize=(9.5, 1.55 * len(groups)))
        cells = figure.subplots(len(groups), PICTURES_PER_RUNG, squeeze=False)
        for row, (rung, pictures) in zip(cells, groups.items(), strict=True):
            for axes in row:
                axes.set_axis_off()
            for axes, (prompt, path) in zip(row, pictures, strict=False):
                axes.imshow(image.imread(path), interpolation="nearest")
                axes.set_title("\n".join(textwrap.wrap(prompt, 24)), fontsize=4.5)
            row[0].text(
                -0.12, 0.5, rung, transform=row[0].transAxes, rotation=90, va="center", ha="center"
            )
        return _png(figure)


def pictures_by_rung(
    runs: Sequence[Run], settings: ServerSettings
) -> dict[str, list[tuple[str, Path]]]:
    """Saved pictures as (prompt, file) by what was run, in the ladder's order, those that were
    re-planned apart; at most PICTURES_PER_RUNG of each."""
    groups: dict[str, list[tuple[str, Path]]] = {str(rung): [] for rung in settings.ladder.rungs}
    for variant in settings.ladder.variants:
        groups[f"{variant},\n{LOWERED}"] = []
    for run in reversed(runs):  # the overload first: it has pictures of every rung
        for request in run.requests:
            path = run.folder / PICTURES_FOLDER / (request.image or "")
            group = groups.get(_rung_of(request))
            if request.image is None or group is None or len(group) >= PICTURES_PER_RUNG:
                continue
            if path.is_file():
                group.append((request.prompt, path))
    return {rung: pictures for rung, pictures in groups.items() if pictures}


def _rung_of(request: Request) -> str:
    if request.early_exit != "none":
        return f"{request.variant},\n{LOWERED}"
    return f"{request.variant}@{request.steps_run}"


def _svg(figure: Figure) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]  # without the XML head, which HTML does not take


def _png(figure: Figure) -> str:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=150)
    coded = base64.b64encode(sink.getvalue()).decode("ascii")
    return f"data:image/png;base64,{coded}"
