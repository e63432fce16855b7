"""Measuring several things round by round, each once in every round, in changing order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.benchmarks.comparison import orders
from pipelines.benchmarks.machine import Watch

Figures = dict[str, list[float]]
"""One list per figure, an entry per round."""


def measure_rounds(
    contestants: Mapping[str, Callable[[], Mapping[str, float]]],
    rounds: int,
    *,
    seed: int,
    watch: Watch,
    label: str = "measuring",
    warm_up: int = 1,
) -> Figures:
    """Run every contestant once a round; each gives figures by name, and the names must differ.

    `warm_up` rounds come first and do not count. Shows a progress bar on a terminal.
    """
    kept: Figures = {}
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=warm_up + rounds)
        for number, order in enumerate(orders(tuple(contestants), warm_up + rounds, seed)):
            watch.look()
            measured = [figures for name in order for figures in contestants[name]().items()]
            if number >= warm_up:
                for figure, value in measured:
                    kept.setdefault(figure, []).append(value)
            progress.advance(task)
    wrong = [name for name, values in kept.items() if len(values) != rounds]
    if wrong:
        raise ValueError(f"These figures were given by two contestants at once: {wrong}.")
    return kept
