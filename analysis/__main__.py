"""Models, simulations and measurements, one command each; each command's module says what it does."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from analysis import (
    demo_command,
    dispatcher_benchmark,
    predict_command,
    simulate_command,
    simulator_benchmark,
)
from analysis.frontier import command as frontier_command
from analysis.server_process import DemoError
from analysis.sim_check import command as sim_check_command
from analysis.solvers import command as solve_command
from analysis.textbook import command as textbook_command

MODULES = (
    demo_command,
    predict_command,
    simulate_command,
    sim_check_command,
    frontier_command,
    solve_command,
    textbook_command,
    dispatcher_benchmark,
    simulator_benchmark,
)
RUN = {
    "demo": demo_command.run,
    "report": demo_command.run_report,
    "predict": predict_command.run,
    "simulate": simulate_command.run,
    "sim-check": sim_check_command.run,
    "frontier": frontier_command.run,
    "solve": solve_command.run,
    "textbook": textbook_command.run,
    "bench-dispatcher": dispatcher_benchmark.run,
    "bench-simulator": simulator_benchmark.run,
}


class _UsageError(ValueError):
    """A mistake on the command line, in one sentence."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 when the results are written, whatever they say; 2 for what has to be changed."""
    if threading.current_thread() is threading.main_thread():
        # A terminated run, like one ended by Ctrl-C, stops its server first.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = _Parser(prog="python -m analysis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for module in MODULES:
        module.add_to(commands)
    try:
        options = parser.parse_args(arguments)
        return RUN[options.command](options)
    except (ValueError, DemoError) as error:
        print(f"python -m analysis: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m analysis: stopped; what was measured stays in its folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
