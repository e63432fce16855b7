"""`python -m pipelines ladder PARETO.json --rungs N` prints a ladder for a server's configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipelines.commands import Commands
from pipelines.ladder_choice import DROP_POINTS, ORDERS, choose_ladder, yaml_of


def add_to(commands: Commands) -> None:
    """Declare `ladder`."""
    parser = commands.add_parser("ladder", help="choose a ladder from what `quality` measured")
    parser.set_defaults(command=run)
    parser.add_argument("pareto", type=Path, metavar="PARETO.json", help="a study's pareto.json")
    parser.add_argument("--rungs", type=int, required=True, help="how many, with the full one")
    parser.add_argument(
        "--drop",
        type=float,
        default=DROP_POINTS,
        metavar="POINTS",
        help="accuracy that the lowest rung may lose (default: %(default)g)",
    )
    parser.add_argument(
        "--by",
        choices=ORDERS,
        default="ssim",
        help="what makes a rung efficient: accuracy alone, or SSIM to the full picture as well"
        " (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Print the section; ValueError, one sentence, if there is no such ladder."""
    print(
        yaml_of(choose_ladder(options.pareto, options.rungs, drop=options.drop, by=options.by)),
        end="",
    )
    return 0
