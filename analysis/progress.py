"""Progress of long runs: a bar on a terminal, and one line for each step elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps:
    """Counts named steps up to `total`."""

    def __init__(self, console: Console, total: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._console = console
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total)
        self._begun = 0

    def __enter__(self) -> Steps:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        """The next step begins."""
        self._bar.update(self._task, description=what, completed=self._begun)
        self._begun += 1
        if not self._console.is_terminal:
            self._console.print(what, highlight=False)

    def finish(self) -> None:
        """All steps are done."""
        self._bar.update(self._task, description="done", completed=self._begun)
        self._bar.stop()
