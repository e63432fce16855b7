"""What this machine takes for a step, an encoding and a decoding: the cost tables, measured.

Steps are timed through the engine itself, with its sampler arithmetic and bookkeeping, right after
another of the same kind, as they follow each other when serving; encodings and decodings through
the objects that the engine calls, right after other work. Every round measures each thing once, in
a new random order, so that a machine that slows down for a while slows all of them alike.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.costs import CostTable, Measurement, VariantCosts
from pipelines.loading import Variant
from pipelines.probes import Probe, StepRig, decode_probe, encode_probe, steady

WARM_UP_ROUNDS = 3
PACKAGES = ("torch", "diffusers", "transformers", "numpy", "torchao")
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What to measure: batches of jobs, rounds that count, torch's threads, picture sizes.

    Every combination gets a table. No threads means torch's own choice, no sizes the size that the
    first variant was trained at.
    """

    batches: tuple[int, ...] = (1, 2, 4, 8)
    repetitions: int = 30
    threads: tuple[int, ...] = ()
    sizes: tuple[Size, ...] = ()

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1 or self.repetitions < 1:
            raise ValueError("Profiling needs batches of at least 1 job and at least 1 repetition.")
        if any(threads < 1 for threads in self.threads):
            raise ValueError(f"--threads must be at least 1, got {min(self.threads)}.")


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that is timed: "encode", "step", "unguided_step" or "decode" of a variant."""

    dtype: str
    variant: str
    what: str
    size: Size = (0, 0)
    batch: int = 1


def profile(
    variants: Iterable[Variant], settings: ProfileSettings, *, seed: int = 0, command: str = ""
) -> tuple[CostTable, ...]:
    """Measure every variant in every setting; shows a progress bar on a terminal.

    Variants of several number types may come together, each name once for each; the tables keep
    `command` and `seed`. Torch's threads are as before when it returns. ValueError, before anything
    is measured, for a variant that comes twice, cannot make pictures of a size, or is elsewhere
    than the others.
    """
    given = tuple(variants)
    sizes = _checked_sizes(given, settings)
    threads = settings.threads or (torch.get_num_threads(),)
    probes = _probes(given, settings.batches, sizes)
    seconds = measure(probes, threads, settings.repetitions, random.Random(seed))
    device = given[0].device
    tables = []
    for size in sizes:
        for dtype in dict.fromkeys(variant.dtype for variant in given):
            for count in threads:
                costs = {
                    variant.name: _costs(variant, size, settings.batches, seconds[count])
                    for variant in given
                    if variant.dtype == dtype
                }
                table = CostTable(
                    machine=describe_machine(device),
                    threads=count,
                    dtype=dtype,
                    commit=describe_commit(),
                    width=size[0],
                    height=size[1],
                    variants=costs,
                    device=device.type,
                    versions=describe_versions(),
                    command=command,
                    seed=seed,
                )
                tables.append(table)
    return tuple(tables)


def _checked_sizes(variants: Sequence[Variant], settings: ProfileSettings) -> tuple[Size, ...]:
    names = [(variant.dtype, variant.name) for variant in variants]
    if not variants or len(set(names)) < len(names):
        raise ValueError("Profile at least one variant, and each once in every number type.")
    if len({variant.device for variant in variants}) > 1:
        raise ValueError("Profile variants of one device at a time.")
    native = variants[0].native_size
    sizes = tuple(dict.fromkeys(settings.sizes)) or ((native, native),)
    for variant in variants:
        for width, height in sizes:
            variant.check_size(width, height)
    return sizes


def is_guided(variant: Variant) -> bool:
    """Whether a job of the variant runs with guidance if its request says nothing of it."""
    return variant.guidance_scale > 1


def _probes(
    variants: Sequence[Variant], batches: Sequence[int], sizes: Sequence[Size]
) -> dict[Cell, Probe]:
    probes: dict[Cell, Probe] = {}
    for variant in variants:
        of = (variant.dtype, variant.name)
        probes[Cell(*of, "encode")] = encode_probe(variant)
        for size in sizes:
            for batch in batches:
                probes[Cell(*of, "step", size, batch)] = steady(StepRig(variant, batch, *size).run)
                if is_guided(variant):
                    rig = StepRig(variant, batch, *size, guided=False)
                    probes[Cell(*of, "unguided_step", size, batch)] = steady(rig.run)
                probes[Cell(*of, "decode", size, batch)] = decode_probe(variant, batch, *size)
    return probes


def measure(
    probes: Mapping[Cell, Probe],
    threads: Sequence[int],
    repetitions: int,
    shuffler: random.Random,
    warm_up_rounds: int = WARM_UP_ROUNDS,
) -> dict[int, dict[Cell, list[float]]]:
    """Seconds by torch's threads and cell; every probe once a round, in a new random order."""
    seconds: dict[int, dict[Cell, list[float]]] = {
        n: {cell: [] for cell in probes} for n in threads
    }
    before = torch.get_num_threads()
    columns = (
        TextColumn("measuring costs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, transient=True) as progress:
            rounds = warm_up_rounds + repetitions
            task = progress.add_task("", total=rounds * len(seconds) * len(probes))
            for turn in range(rounds):
                for count in shuffler.sample(tuple(seconds), len(seconds)):
                    _settle(count, probes)
                    for cell in shuffler.sample(tuple(probes), len(probes)):
                        taken_s = probes[cell]()
                        if turn >= warm_up_rounds:
                            seconds[count][cell].append(taken_s)
                        progress.advance(task)
    finally:
        torch.set_num_threads(before)
    return seconds


def _settle(threads: int, probes: Mapping[Cell, Probe]) -> None:
    """Another number of threads; one call that does not count starts them."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
        next(iter(probes.values()))()


def _costs(
    variant: Variant,
    size: Size,
    batches: Sequence[int],
    seconds: Mapping[Cell, Sequence[float]],
) -> VariantCosts:
    def by_batch(what: str) -> dict[int, Measurement]:
        cells = {
            batch: Cell(variant.dtype, variant.name, what, size, batch) for batch in sorted(batches)
        }
        return {batch: summarise(seconds[cell]) for batch, cell in cells.items() if cell in seconds}

    return VariantCosts.measured(
        encode_s=summarise(seconds[Cell(variant.dtype, variant.name, "encode")]),
        step_s=by_batch("step"),
        decode_s=by_batch("decode"),
        unguided_step_s=by_batch("unguided_step"),
        rows_per_job=2 if is_guided(variant) else 1,
    )


def summarise(seconds: Sequence[float]) -> Measurement:
    """Median and the 10th and 90th percentile (linear between order statistics)."""
    if len(seconds) == 1:
        return Measurement.exactly(seconds[0])
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return Measurement(statistics.median(seconds), tenths[0], tenths[8], len(seconds))


def describe_machine(device: torch.device) -> str:
    """Processor, cores that may be used, and the accelerator if there is one."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerator = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{name}, {cores} cores{accelerator}"


def describe_commit() -> str:
    """The commit of this working copy, "+" if it has changes, or "unknown" outside of one."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changes else "")


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that do the work, those that are installed."""
    installed = {one.name: one.version for one in map(_distribution, PACKAGES) if one is not None}
    return {"python": platform.python_version()} | installed


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
