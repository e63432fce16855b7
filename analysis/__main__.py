"""Models, simulations and measurements, one command each; each command's module says what it does."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from analysis.faults import MeasurementError


@dataclass(frozen=True, slots=True)
class Command:
    """A command's module (`add_options(parser)` and `run(options) -> int`) and its line of help."""

    module: str
    help: str


COMMANDS = {
    "demo": Command("analysis.demo_command", "overload a static and a controlled server"),
    "predict": Command(
        "analysis.predict_command", "ask a queueing model for mean, percentiles and utilisation"
    ),
    "simulate": Command("analysis.simulate_command", "run a configuration in virtual time"),
    "estimate": Command(
        "analysis.estimation.command", "what a run tells of arrivals, service and steady state"
    ),
    "compare": Command(
        "analysis.comparison.command", "set the models beside a run, and explain what is left"
    ),
    "validate": Command(
        "analysis.validation.command",
        "measure loads on the server and compare each with the models",
    ),
    "anova": Command("analysis.anova.command", "a factorial experiment of execution time"),
    "unpredictability": Command(
        "analysis.unpredictability.command", "variance of latency by cause, on a running server"
    ),
    "improvement": Command(
        "analysis.improvement.command", "measure early exit against full service, in pairs"
    ),
    "plan": Command(
        "analysis.planning.command", "engines, thresholds, quality and cost for a rate"
    ),
    "report": Command(
        "analysis.report.command", "gather the latest results in one HTML and one PDF"
    ),
    "frontier": Command(
        "analysis.frontier.command", "every policy and baseline: violations against quality"
    ),
    "solve": Command("analysis.solvers.command", "solve for a policy's table"),
    "textbook": Command("analysis.textbook.command", "simulate the textbook's servers, compiled"),
    "bench-dispatcher": Command("analysis.dispatcher_benchmark", "time the dispatcher"),
    "bench-simulator": Command("analysis.simulator_benchmark", "time the simulator"),
}
"""By name. A module is loaded when its command is called: some take longer than a prediction."""


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
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = _Parser(prog="python -m analysis", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    module = None
    for name, command in COMMANDS.items():
        options_of = commands.add_parser(name, help=command.help)
        if words[:1] == [name]:
            module = import_module(command.module)
            module.add_options(options_of)
    try:
        options = parser.parse_args(words)
        assert module is not None  # a command is required, and it comes first
        return int(module.run(options))
    except (ValueError, MeasurementError) as error:
        print(f"python -m analysis: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m analysis: stopped; what was measured stays in its folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
