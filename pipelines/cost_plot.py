"""Step time against batch as a figure, readable in black and white: lines differ by dash and marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.cost_fit import StepFit
from pipelines.costs import CostTable, Measurement

PANELS_ACROSS = 3
MARKERS = "osD^vP*X"


def plot_costs(tables: Sequence[CostTable], path: Path) -> None:
    """Write one panel for each table as SVG: medians, p10 to p90 as bars, and the fitted form."""
    across = min(PANELS_ACROSS, len(tables))
    down = -(-len(tables) // across)
    with plain_style():
        figure = Figure(figsize=(1.2 + 3.6 * across, 2.9 * down))
        panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
        for axes, table in zip(panels, tables, strict=False):
            _draw_table(axes, table)
        for axes in panels[len(tables) :]:
            axes.set_axis_off()
        figure.savefig(path, format="svg", metadata={"Date": None})


def plain_style() -> AbstractContextManager[None]:
    """Small type, no frames, letters as outlines (no font is needed to show them)."""
    return rc_context(
        {
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.fonttype": "path",
            "svg.hashsalt": "sluice",
            "figure.constrained_layout.use": True,
        }
    )


def _draw_table(axes: Axes, table: CostTable) -> None:
    for (name, costs), marker in zip(table.variants.items(), cycle(MARKERS), strict=False):
        rows = costs.rows_per_job
        label = f"{name}, guided" if rows > 1 else name
        _draw_series(axes, costs.step_s, costs.step_fit, rows, marker, label)
        if costs.unguided_step_s:
            label = f"{name}, no guidance"
            _draw_series(axes, costs.unguided_step_s, costs.step_fit, 1, marker, label, solid=False)
    axes.set_title(str(table))
    axes.set_xlabel("jobs in the batch")
    axes.set_ylabel("one step, ms")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=6.5)


def _draw_series(
    axes: Axes,
    measured: Mapping[int, Measurement],
    fit: StepFit | None,
    rows_per_job: int,
    marker: str,
    label: str,
    *,
    solid: bool = True,
) -> None:
    batches = list(measured)
    medians_ms = [1000 * one.median_s for one in measured.values()]
    below_ms = [1000 * (one.median_s - one.p10_s) for one in measured.values()]
    above_ms = [1000 * (one.p90_s - one.median_s) for one in measured.values()]
    axes.errorbar(
        batches,
        medians_ms,
        yerr=[below_ms, above_ms],
        fmt=marker,
        color="black",
        markerfacecolor="black" if solid else "white",
        markersize=4,
        elinewidth=0.8,
        capsize=2,
        label=label,
    )
    if fit is not None:
        finely = [batches[0] + (batches[-1] - batches[0]) * k / 60 for k in range(61)]
        axes.plot(
            finely,
            [1000 * fit.seconds(rows_per_job * batch) for batch in finely],
            "-" if solid else ":",
            color="black",
            linewidth=0.8,
        )
