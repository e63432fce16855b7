"""`python -m analysis demo` runs the demonstration; `python -m analysis report RUN` reports again."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from analysis.demo import (
    PROMPTS,
    SECONDS,
    STEPS_TOTAL,
    Plan,
    default_folder,
    measure,
)
from analysis.server_config import DEFAULT_CONFIG
from analysis.server_process import DemoError

REPORT_STEPS = 4 + 1
"""How often `write_report` tells its progress."""


class _UsageError(ValueError):
    """A mistake on the command line, in one sentence."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when the report is written, whatever it says; 2 for what has to be changed."""
    if threading.current_thread() is threading.main_thread():
        # A terminated demo, like one ended by Ctrl-C, stops its server first.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = _parser().parse_args(arguments)
        if options.command == "report":
            return _report(options.run)
        return _demo(options)
    except (ValueError, DemoError) as error:
        print(f"python -m analysis: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m analysis: stopped; what was measured stays in its folder", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m analysis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    demo = commands.add_parser("demo", help="overload a static and a controlled server (8 minutes)")
    demo.add_argument("--out", type=Path, help="a new folder (default: runs/<time>)")
    demo.add_argument(
        "--seconds", type=float, default=SECONDS, help="of arrivals per load (default: %(default)g)"
    )
    demo.add_argument("--port", type=int, help="for the servers (default: one that is free)")
    demo.add_argument("--seed", type=int, default=1, help="of the arrivals (default: 1)")
    demo.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="of the controlled server (YAML)"
    )
    demo.add_argument("--prompts", type=Path, default=PROMPTS, help="text file, one prompt a line")
    report = commands.add_parser("report", help="build the report of a demo again from its data")
    report.add_argument("run", type=Path, help="the demo's folder, such as runs/<time>")
    return parser


def _demo(options: argparse.Namespace) -> int:
    plan = Plan(
        out=options.out or default_folder(),
        config=options.config,
        seconds=options.seconds,
        seed=options.seed,
        port=options.port,
        prompts=options.prompts,
    )
    console = Console(stderr=True)
    with _Steps(console, STEPS_TOTAL + REPORT_STEPS) as steps:
        folder = measure(plan, steps.begin)
        return _write(folder, steps)


def _report(folder: Path) -> int:
    with _Steps(Console(stderr=True), REPORT_STEPS) as steps:
        return _write(folder, steps)


def _write(folder: Path, steps: _Steps) -> int:
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.report import write_report
    from analysis.tables import print_study

    study, page = write_report(folder, steps.begin)
    steps.finish()
    print_study(study, Console())
    print(f"report: {page}")
    return 0


class _Steps:
    """A bar that counts steps on a terminal, and one line for each step elsewhere."""

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

    def __enter__(self) -> _Steps:
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


if __name__ == "__main__":
    sys.exit(main())
