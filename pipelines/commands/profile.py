"""`python -m pipelines profile` measures what encoding, steps and decoding cost on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.commands import Commands
from pipelines.commands.arguments import check_folder_of, named, numbers, quieten_libraries, size
from pipelines.costs import CostTable, Measurement, save_tables

if TYPE_CHECKING:
    from pipelines.loading import Variant


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
    parser.add_argument(
        "--out", type=Path, required=True, help="where the JSON goes; its plot is put beside it"
    )
    parser.add_argument("--batches", type=numbers, default=(1, 2, 4, 8), metavar="1,2,4")
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        type=size,
        metavar="WxH",
        help="pixels; may be repeated (default: the first model's own size)",
    )
    parser.add_argument(
        "--threads",
        action="append",
        default=[],
        type=int,
        help="of torch; may be repeated (default: torch's own choice)",
    )
    parser.add_argument(
        "--dtype", action="append", default=[], help="may be repeated (default: float32)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--compile", default="none", help="none, inductor or cuda_graphs (default: none)"
    )
    parser.add_argument("--channels-last", action="store_true", help="layout of the networks")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the measurements")


def run(options: argparse.Namespace) -> int:
    """Measure, save and show the tables. ValueError, one sentence, for input to be changed."""
    quieten_libraries()
    from pipelines.profiling import ProfileSettings, profile

    check_folder_of(options.out)
    settings = ProfileSettings(
        batches=options.batches,
        repetitions=options.repetitions,
        threads=tuple(dict.fromkeys(options.threads)),
        sizes=tuple(options.size),
    )
    variants = _loaded(options)
    tables = profile(variants, settings, seed=options.seed, command=options.command_line)
    save_tables(tables, options.out)
    from pipelines.cost_plot import plot_costs

    plot = options.out.with_suffix(".svg")
    plot_costs(tables, plot)
    console = Console()
    for shown in (_times(tables), _forms(tables)):
        console.print(shown)
    console.print(f"tables: {options.out}, plot: {plot}", highlight=False)
    return 0


def _loaded(options: argparse.Namespace) -> list[Variant]:
    """Every variant in every number type."""
    from pipelines.execution import Execution
    from pipelines.loading import hide_loading_bars, load_variant

    hide_loading_bars()
    execution = Execution(options.compile, options.channels_last)
    samplers = dict(options.sampler)
    guidance = {name: _scale(name, text) for name, text in options.guidance}
    return [
        load_variant(
            name,
            source,
            dtype=dtype,
            device=options.device,
            sampler=samplers.get(name),
            guidance_scale=guidance.get(name),
            execution=execution,
        )
        for dtype in dict.fromkeys(options.dtype or ["float32"])
        for name, source in options.variant
    ]


def _scale(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--guidance {name}={text}: the scale must be a number.") from None


def _times(tables: Sequence[CostTable]) -> Table:
    shown = Table(title=f"median ms on {tables[0].machine}")
    for heading in ("setting", "variant"):
        shown.add_column(heading)
    for heading in ("batch", "step", "p10", "p90", "no guidance", "decode", "encode"):
        shown.add_column(heading, justify="right")
    for table in tables:
        for name, costs in table.variants.items():
            for batch, step in costs.step_s.items():
                shown.add_row(
                    str(table),
                    name,
                    str(batch),
                    *(_ms(time_s) for time_s in (step.median_s, step.p10_s, step.p90_s)),
                    _median_ms(costs.unguided_step_s.get(batch)),
                    _median_ms(costs.decode_s[batch]),
                    _median_ms(costs.encode_s),
                )
        shown.add_section()
    return shown


def _forms(tables: Sequence[CostTable]) -> Table:
    shown = Table(title="ms of a step by the rows r of its model call, guided jobs counting two")
    for heading in ("setting", "variant", "form", "error where left out", "use"):
        shown.add_column(heading)
    for table in tables:
        for name, costs in table.variants.items():
            fit = costs.step_fit
            if fit is None:
                shown.add_row(str(table), name, "none: too few batches", "", "measured batches")
                continue
            form = f"{_ms(fit.fixed_s)} + {_ms(fit.per_row_s)} r"
            form += f"^{fit.power:.2f}" if fit.form == "power" else ""
            form = f"max({_ms(fit.floor_s)}, {form})" if fit.form == "floor" else form
            error = f"{fit.cv_error:.1%}, at worst {fit.cv_worst:.1%}"
            use = "measured batches"
            if fit.trusted:
                use = "to twice the batches" if fit.trusted_beyond else "between batches"
            shown.add_row(str(table), name, form, error, use)
    return shown


def _ms(time_s: float) -> str:
    return f"{1000 * time_s:.2f}"


def _median_ms(measured: Measurement | None) -> str:
    return "" if measured is None else _ms(measured.median_s)
