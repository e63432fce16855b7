"""The demonstration's results as one table and a list of verdicts, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.explanations import deviation
from analysis.prediction import LATENCIES, Figures
from analysis.study import Comparison, Study

HEADINGS = (
    "load",
    "server",
    "offered/s",
    "n",
    "",
    "mean s",
    "p50 s",
    "p95 s",
    "p99 s",
    "rejected",
    "steps",
    "degraded",
    "accuracy",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `first` if it begins a run."""

    cells: tuple[str, ...]
    first: bool


def rows(comparisons: Iterable[Comparison]) -> list[Row]:
    """Lines of each run: measured, the models' predictions, and the replay of its own arrivals.

    A prediction carries its deviation from the measurement in per cent.
    """
    found: list[Row] = []
    for c in comparisons:
        head = (f"{c.load:g}", c.controller, f"{c.run.rate_per_s:.2f}", str(len(c.run.requests)))
        found.append(Row((*head, "measured", *_figures(c.measured, None), _accuracy(c)), True))
        blank = ("",) * len(head)
        for name, figures in predictions(c):
            cells = (*blank, name, *_figures(figures, c.measured), "")
            found.append(Row(cells, False))
    return found


def predictions(c: Comparison) -> list[tuple[str, Figures]]:
    """The predictions of a run by name, the queueing model's first."""
    found = c.found
    queueing = [] if found.queueing is None else [("queueing model", found.queueing.figures)]
    return [
        *queueing,
        ("simulated, a priori", found.a_priori.figures),
        ("simulated, its arrivals", found.trace_driven.figures),
    ]


def _figures(figures: Figures, measured: Figures | None) -> list[str]:
    cells = []
    for name in LATENCIES:
        value = getattr(figures, name)
        off = None if measured is None else deviation(getattr(measured, name), value)
        cells.append(f"{value:.3f}" + ("" if off is None else f" ({off:+.0%})"))
    cells.append(f"{figures.rejected:.0f}" if measured is None else f"{figures.rejected:.1f}")
    return [*cells, f"{figures.mean_steps:.1f}", f"{figures.degraded_share:.0%}"]


def _accuracy(c: Comparison) -> str:
    if c.accuracy is None or c.accuracy_band is None:
        return "not judged"
    low, high = c.accuracy_band.low, c.accuracy_band.high
    return f"{100 * c.accuracy:.1f} % ({100 * low:.0f} to {100 * high:.0f})"


def print_study(study: Study, console: Console) -> None:
    """The table, what was found on the way, and the verdicts."""
    unloaded = study.unloaded["static"]
    table = Table(
        title=f"full-step capacity {study.capacity_per_s:.2f} pictures/s, one request alone takes"
        f" {unloaded.latency_s:.3f} s ({unloaded.overhead_s * 1000:.1f} ms of it outside the"
        " engine); in brackets: prediction over measurement, and 95 % intervals of the accuracy"
    )
    for heading in HEADINGS:
        left = heading in ("load", "server", "")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in rows(study.comparisons):
        if row.first and table.row_count:
            table.add_section()
        table.add_row(*row.cells)
    # A pipe has no width; fold nothing there.
    console = console if console.is_terminal else Console(file=console.file, width=200)
    console.print(table)
    for c in study.comparisons:
        if c.found.queueing is None:
            console.print(
                f"{c.run.name}: {c.found.queueing_method}.", highlight=False, markup=False
            )
        for note in (*(one.headline for one in c.explanations), *c.notes):
            console.print(f"{c.run.name}: {note}", highlight=False, markup=False)
    for problem in study.meta.get("problems", []):
        console.print(f"note: {problem}", highlight=False, markup=False)
    for verdict in study.verdicts:
        style = "green" if verdict.holds else "bold red"
        console.print(
            f"[{style}]{verdict.word}[/]: {verdict.claim}: {escape(verdict.detail)}.",
            highlight=False,
        )
