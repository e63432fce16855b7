"""`engine`: the step engine beside the library's pipeline on this machine's processor."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipelines.benchmarks.comparison import PAIRS_MIN
from pipelines.benchmarks.contestants import (
    EMBEDDED,
    EngineCaller,
    LibraryCaller,
    Workload,
    new_captions,
)
from pipelines.benchmarks.engine_formats import measure_formats
from pipelines.benchmarks.engine_memory import EVERY, JOBS, SETTLED_AFTER, measure_memory
from pipelines.benchmarks.engine_pumps import measure_pumps
from pipelines.benchmarks.engine_speed import SpeedRig, measure_alone, measure_arrivals
from pipelines.benchmarks.machine import Watch, describe_run
from pipelines.benchmarks.network_time import measure_outside
from pipelines.benchmarks.report import Section, write_report
from pipelines.loading import hide_loading_bars, load_variant

PARTS = ("memory", "alone", "arrivals", "outside", "pumps", "formats")
JOBS_MIN = SETTLED_AFTER + 4 * EVERY


def add_to(commands: Any) -> None:
    """Add the subcommand to argparse's."""
    parser = commands.add_parser("engine", help="the step engine beside the library's pipeline")
    parser.set_defaults(command=run)
    parser.add_argument("--out", type=Path, required=True, help="the JSON; the page goes beside it")
    parser.add_argument("--pairs", type=int, default=9, help="rounds of each comparison")
    parser.add_argument("--threads", type=int, default=2, help="torch threads of either side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=JOBS, help="short jobs of the memory run")
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part; may be given again"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, write the files, say which claims hold."""
    _check(options)
    hide_loading_bars()
    watch = Watch(options.threads)
    workload = Workload(EMBEDDED, new_captions(options.seed), threads=options.threads)
    sections = measure(
        workload,
        watch,
        pairs=options.pairs,
        seed=options.seed,
        jobs=options.jobs,
        parts=options.only or PARTS,
    )
    header = describe_run(
        sys.argv[1:],
        watch,
        seed=options.seed,
        settings=workload.settings() | {"pairs": options.pairs, "memory_jobs": options.jobs},
    )
    if options.pairs < PAIRS_MIN:
        header["warnings"] = (
            *header["warnings"],
            f"Only {options.pairs} pairs were measured; a median to quote needs {PAIRS_MIN}.",
        )
    write_report(options.out, "The step engine beside the library's pipeline", header, sections)
    for claim in (claim for section in sections for claim in section.claims):
        told = "not measured" if claim.figure is None else f"{claim.figure:.3g} {claim.unit}"
        print(f"{claim.verdict:>12}  {claim.name}: {told.strip()}")
    print(f"Written: {options.out} and {options.out.with_suffix('.md')}")
    return 0


def measure(
    workload: Workload, watch: Watch, *, pairs: int, seed: int, jobs: int, parts: Sequence[str]
) -> list[Section]:
    """The sections of the parts asked for. Memory comes first, on a heap that nobody has used."""
    sections: list[Section] = []
    if "memory" in parts:
        sections.append(
            measure_memory(
                workload.folder, workload.prompts, jobs=jobs, seed=seed, threads=workload.threads
            )
        )
    variant = load_variant("full", workload.folder)
    rig = SpeedRig(
        LibraryCaller(workload), EngineCaller(variant, workload), workload, watch, pairs, seed
    )
    measures: dict[str, Callable[[], Sequence[Section]]] = {
        "alone": lambda: [measure_alone(rig)],
        "arrivals": lambda: measure_arrivals(rig),
        "outside": lambda: [measure_outside(rig)],
        "pumps": lambda: [measure_pumps(variant, workload, watch, pairs=pairs, seed=seed)],
        "formats": lambda: [measure_formats(workload, watch, pairs=pairs, seed=seed)],
    }
    for part, run_part in measures.items():
        if part in parts:
            sections += run_part()
    return sections


def _check(options: argparse.Namespace) -> None:
    if options.pairs < 1 or options.threads < 1:
        raise ValueError("--pairs and --threads must be at least 1.")
    if options.jobs < JOBS_MIN or options.jobs % EVERY:
        raise ValueError(f"--jobs must be a multiple of {EVERY} and at least {JOBS_MIN}.")
