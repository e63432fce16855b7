"""`python -m pipelines profile` measures this machine's costs; `judge` judges the pictures of load runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.costs import CostTable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 2 for input that has to be changed."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except (ValueError, FileNotFoundError) as error:
        print(f"python -m pipelines: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description=__doc__)
    commands = parser.add_subparsers(required=True)
    judge = commands.add_parser("judge", help="judge the pictures that load runs were served")
    judge.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    judge.set_defaults(command=_judge)
    profile = commands.add_parser("profile", help="measure step, encode and decode times")
    profile.set_defaults(command=_profile)
    profile.add_argument(
        "--variant",
        action="append",
        required=True,
        type=_named("PATH"),
        metavar="NAME=PATH",
        help="a pipeline folder or hub id; give it once for every variant",
    )
    profile.add_argument(
        "--sampler",
        action="append",
        default=[],
        type=_named("SAMPLER"),
        metavar="NAME=SAMPLER",
        help="the sampler of a variant, where its folder's own is not wanted",
    )
    profile.add_argument(
        "--guidance",
        action="append",
        default=[],
        type=_named("SCALE"),
        metavar="NAME=SCALE",
        help="guidance scale of a variant; 1 or less, for distilled ones, halves the model's rows",
    )
    profile.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    profile.add_argument("--batches", type=_batches, default=(1, 2, 4, 8), metavar="1,2,4")
    profile.add_argument("--repetitions", type=int, default=30)
    profile.add_argument("--threads", type=int, help="torch threads (default: torch's own choice)")
    profile.add_argument("--dtype", default="float32")
    profile.add_argument("--device", default="cpu")
    profile.add_argument("--width", type=int, help="pixels (default: the model's own size)")
    profile.add_argument("--height", type=int, help="pixels (default: the model's own size)")
    return parser


def _named(value: str) -> type[tuple[str, str]]:
    class Named(tuple[str, str]):
        """A NAME=VALUE argument."""

        def __new__(cls, text: str) -> Named:
            name, mark, rest = text.partition("=")
            if not (name and mark and rest):
                raise argparse.ArgumentTypeError(f"expected NAME={value}, got {text!r}")
            return super().__new__(cls, (name, rest))

    return Named


def _batches(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers with commas between, such as 1,2,4, got {text!r}"
        ) from None


def _scale(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--guidance {name}={text}: the scale must be a number.") from None


def _judge(options: argparse.Namespace) -> int:
    from pipelines.embedded.judge import load_judge
    from pipelines.judging import QUALITY_FILE, judge_run

    judge = load_judge()
    for run in options.runs:
        figures = judge_run(run, judge)
        print(
            f"{run / QUALITY_FILE}: {figures['pictures']} pictures, {figures['all_right']:.1%} all right"
        )
    return 0


def _profile(options: argparse.Namespace) -> int:
    # Loaded here, so that --help and wrong arguments answer without waiting for torch; and quietly,
    # for transformers otherwise remarks on packages that nothing here uses.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from pipelines.loading import hide_loading_bars, load_variant
    from pipelines.profiling import ProfileSettings, profile

    hide_loading_bars()
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}.")
    if not options.out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {options.out.parent}; make it first.")
    settings = ProfileSettings(
        batches=options.batches,
        repetitions=options.repetitions,
        threads=options.threads,
        width=options.width,
        height=options.height,
    )
    samplers = dict(options.sampler)
    guidance = {name: _scale(name, text) for name, text in options.guidance}
    variants = {
        name: load_variant(
            name,
            source,
            dtype=options.dtype,
            device=options.device,
            sampler=samplers.get(name),
            guidance_scale=guidance.get(name),
        )
        for name, source in options.variant
    }
    table = profile(variants, settings)
    table.save(options.out)
    _show(table)
    return 0


def _show(table: CostTable) -> None:
    shown = Table(title=f"median ms on {table.machine}, {table.threads} threads, {table.dtype}")
    for heading in ("variant", "batch", "step", "p10", "p90", "decode", "encode"):
        shown.add_column(heading, justify="left" if heading == "variant" else "right")
    for name, costs in table.variants.items():
        for batch, step in costs.step_s.items():
            times = (step.median_s, step.p10_s, step.p90_s, costs.decode_s[batch].median_s)
            encode = f"{1000 * costs.encode_s.median_s:.2f}"
            shown.add_row(name, str(batch), *(f"{1000 * time:.2f}" for time in times), encode)
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
