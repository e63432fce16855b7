"""`python -m pipelines profile` measures what encoding, steps and decoding cost on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.commands import Commands
from pipelines.commands.arguments import check_folder_of, named, numbers, quieten_libraries
from pipelines.costs import CostTable


def add_to(commands: Commands) -> None:
    """Declare `profile`."""
    parser = commands.add_parser("profile", help="measure step, encode and decode times")
    parser.set_defaults(command=run)
    parser.add_argument(
        "--variant",
        action="append",
        required=True,
        type=named("PATH"),
        metavar="NAME=PATH",
        help="a pipeline folder or hub id; give it once for every variant",
    )
    parser.add_argument(
        "--sampler",
        action="append",
        default=[],
        type=named("SAMPLER"),
        metavar="NAME=SAMPLER",
        help="the sampler of a variant, where its folder's own is not wanted",
    )
    parser.add_argument(
        "--guidance",
        action="append",
        default=[],
        type=named("SCALE"),
        metavar="NAME=SCALE",
        help="guidance scale of a variant; 1 or less, for distilled ones, halves the model's rows",
    )
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--batches", type=numbers, default=(1, 2, 4, 8), metavar="1,2,4")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--threads", type=int, help="torch threads (default: torch's own choice)")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, help="pixels (default: the model's own size)")
    parser.add_argument("--height", type=int, help="pixels (default: the model's own size)")


def run(options: argparse.Namespace) -> int:
    """Measure, save and show the table. ValueError, one sentence, for input to be changed."""
    quieten_libraries()
    from pipelines.loading import hide_loading_bars, load_variant
    from pipelines.profiling import ProfileSettings, profile

    hide_loading_bars()
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads must be at least 1, got {options.threads}.")
    check_folder_of(options.out)
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


def _scale(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--guidance {name}={text}: the scale must be a number.") from None


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
