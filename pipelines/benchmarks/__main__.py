"""`python -m pipelines.benchmarks engine|gpu|factorial`: speed and memory, and what they depend on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipelines.commands.arguments import quieten_libraries


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that has to be changed."""
    quieten_libraries()
    # They load torch's libraries.
    from pipelines.benchmarks import engine_command, factorial_command, gpu_speed

    parser = argparse.ArgumentParser(prog="python -m pipelines.benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)
    engine_command.add_to(commands)
    gpu_speed.add_to(commands)
    factorial_command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, FileNotFoundError) as error:
        print(f"python -m pipelines.benchmarks: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
