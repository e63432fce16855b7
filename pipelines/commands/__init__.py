"""One module per subcommand of `python -m pipelines`: `add_to` declares it, `run` carries it out.

Torch and matplotlib are loaded inside `run`: `--help` and wrong arguments answer without them.
"""

from __future__ import annotations

import argparse
from typing import Protocol, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class Command(Protocol):
    """What `python -m pipelines` needs of a module of this package."""

    def add_to(self, commands: Commands, /) -> None:
        """Declare the subcommand and its options, with `run` as its default for `command`."""

    def run(self, options: argparse.Namespace, /) -> int:
        """Carry it out; returns the exit status. ValueError, one sentence, for wrong input."""
