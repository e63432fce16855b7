"""`python -m pipelines COMMAND` measures what pictures cost here, and judges those that were made."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipelines.commands import (
    Command,
    cost_study,
    judge,
    ladder,
    predict_cost,
    profile,
    quality,
)
from pipelines.commands.arguments import recorded_command

COMMANDS: tuple[Command, ...] = (
    cost_study,
    judge,
    ladder,
    predict_cost,
    profile,
    quality,
)
"""In the order of `--help`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that has to be changed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    options.command_line = recorded_command(given)
    try:
        return int(options.command(options))
    except (ValueError, FileNotFoundError) as error:
        print(f"python -m pipelines: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
