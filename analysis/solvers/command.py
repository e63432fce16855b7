"""`python -m analysis solve table|split|cascade` writes a policy that the server looks up."""

from __future__ import annotations

import argparse
from pathlib import Path

from analysis.solvers.defaults import HEADROOM, STAGES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    table = kinds.add_parser("table", help="cost-optimal rungs, by a Markov decision process")
    _common(table, bands=20)
    _deadline(table)
    for name, default, what in (
        ("quality", 1.0, "a finished picture of score 0"),
        ("late", 1.0, "a job that misses its deadline"),
        ("holding", 0.0, "a job in the system, per second"),
        ("switch", 0.0, "a change of rung"),
    ):
        table.add_argument(
            f"--{name}-price", type=float, default=default, help=f"{what} (default: %(default)g)"
        )
    table.add_argument("--refused-price", type=float, help="a job refused (default: as late)")
    table.add_argument(
        "--jobs-max", type=int, help="jobs in the system at most (default: places + max_waiting)"
    )
    table.add_argument(
        "--refuse-hopeless", action="store_true", help="the server refuses what must be late"
    )
    table.add_argument("--stages", type=int, default=STAGES, help="of a run (default: %(default)d)")

    split = kinds.add_parser("split", help="shares of the rungs, by a linear programme (Proteus)")
    _common(split, bands=40)
    _headroom(split)

    cascade = kinds.add_parser("cascade", help="confidence thresholds (DiffServe)")
    _common(cascade, bands=40)
    _headroom(cascade)
    _deadline(cascade)
    cascade.add_argument("--cheap", type=int, help="ladder index made first (default: the last)")
    cascade.add_argument("--full", type=int, default=0, help="made again (default: %(default)d)")
    cascade.add_argument(
        "--auc", type=float, default=0.8, help="the discriminator's (default: %(default)g)"
    )
    cascade.add_argument("--seed", type=int, default=1, help="of the confidences (default: 1)")
    cascade.add_argument(
        "--pictures", type=Path, metavar="QUALITY.json", help="a study's pictures, not the scores"
    )
    cascade.add_argument(
        "--divided", action="store_true", help="each engine runs one of the two models"
    )


def _common(parser: argparse.ArgumentParser, bands: int) -> None:
    parser.add_argument("--config", type=Path, required=True, help="the server's (YAML)")
    parser.add_argument("--costs", type=Path, required=True, help="its cost table (JSON)")
    parser.add_argument("--pool", help="the engines meant, if the server has several pools")
    parser.add_argument("--scores", help="of the rungs, a comma between (default: the ladder's)")
    parser.add_argument(
        "--bands", type=int, default=bands, help="of arrival rates (default: %(default)d)"
    )
    parser.add_argument(
        "--top", type=float, metavar="PER_S", help="where the last band begins (default: capacity)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")


def _deadline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--deadline-s", type=float, required=True, help="from arrival to picture")


def _headroom(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--headroom", type=float, default=HEADROOM, help="share of capacity (default: %(default)g)"
    )


def run(options: argparse.Namespace) -> int:
    """Solve, write, and say what came out. Status 0; ValueError, one sentence, for wrong input."""
    if not options.out.resolve().parent.is_dir():
        raise ValueError(f"--out: there is no folder {options.out.parent}; make it first")
    # Loaded here: the solvers take a second, which nothing else of the analysis shall cost.
    from analysis.solvers.solving import solve_for

    return solve_for(options)
