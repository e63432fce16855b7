"""`factorial`: a factorial experiment of the execution time, raw data for an analysis of variance."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.benchmarks.contestants import EMBEDDED, new_captions
from pipelines.benchmarks.factorial import (
    BLOCKS_MIN,
    GUIDANCE,
    WARM_UP_STEPS,
    Bench,
    measure_blocks,
)
from pipelines.benchmarks.factorial_design import QUICK, Design
from pipelines.benchmarks.machine import Watch, describe_run
from pipelines.loading import hide_loading_bars

ROOT = Path(__file__).resolve().parents[2]
FORMAT = 1
SECONDS_MAX = 300.0


def add_to(commands: Any) -> None:
    """Add the subcommand to argparse's."""
    parser = commands.add_parser(
        "factorial", help="execution time over all combinations of settings, in randomised blocks"
    )
    parser.set_defaults(command=run)
    parser.add_argument("--out", type=Path, required=True, help="the raw data, JSON lines")
    parser.add_argument(
        "--seconds-max",
        type=float,
        default=SECONDS_MAX,
        help=f"begin no block that would end later; {BLOCKS_MIN} are measured in any case"
        " (default: %(default)g)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the order and the prompts")
    parser.add_argument("--quick", action="store_true", help="a small design, for a trial")


def run(options: argparse.Namespace) -> int:
    """Measure and write; a line for each observation as soon as it is made."""
    if options.seconds_max <= 0 or options.seed < 0:
        raise ValueError("--seconds-max must be above 0, and --seed 0 or more.")
    hide_loading_bars()
    design = QUICK if options.quick else Design()
    threads_before = torch.get_num_threads()
    watch = Watch(1)
    bench = Bench(design, EMBEDDED.parent, new_captions(options.seed))
    settings = {"model": EMBEDDED.parent.name, "guidance": GUIDANCE, "warm_up_steps": WARM_UP_STEPS}
    columns = (TextColumn("block {task.fields[block]}"), BarColumn(), MofNCompleteColumn())
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        sink = options.out.open("w", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--out: {options.out} cannot be written ({error.strerror}).") from None
    with sink, Progress(*columns, TimeElapsedColumn(), transient=True) as progress:
        task = progress.add_task("", total=len(design), block=1)

        def before_block(number: int) -> None:
            torch.set_num_threads(1)  # the calibration loop's, whatever the last cell had
            watch.look()
            progress.update(task, completed=0, block=number + 1)

        about = {"format": FORMAT, "seed": options.seed, "levels": design.levels()}
        _write(sink, {"design": about | {"settings": settings}})
        blocks = 0
        for seen in measure_blocks(
            design,
            bench.measure,
            seed=options.seed,
            seconds_max=options.seconds_max,
            before_block=before_block,
        ):
            _write(sink, seen.line())
            progress.advance(task)
            blocks = seen.block + 1
        torch.set_num_threads(threads_before)
        header = describe_run(_recorded(sys.argv[1:]), watch, seed=options.seed, settings=settings)
        _write(sink, {"end": header | {"blocks": blocks}})
    print(f"Written: {options.out}, {blocks} blocks of {len(design)} cells")
    return 0


def _recorded(arguments: Sequence[str]) -> list[str]:
    """The words as they are kept beside results: with paths relative to the project."""
    return [word.replace(f"{ROOT}/", "") for word in arguments]


def _write(sink: Any, line: dict[str, Any]) -> None:
    sink.write(json.dumps(line, allow_nan=False) + "\n")
    sink.flush()
