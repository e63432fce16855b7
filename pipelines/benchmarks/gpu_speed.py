"""`gpu`: full-size SD 1.5 and SDXL architectures with random weights on a card, beside the library's pipeline."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.benchmarks.architectures import (
    FULL_SIZE,
    TINY,
    Architecture,
    save_random_pipeline,
)
from pipelines.benchmarks.contestants import Workload, new_captions
from pipelines.benchmarks.gpu_contestants import (
    CONFIGURATIONS,
    EngineOnCard,
    LibraryOnCard,
    OutsideShare,
    load_engine,
    matrix_flops_per_s,
)
from pipelines.benchmarks.gpu_report import SizeFigures, claims_of, section_of, unmeasured_section
from pipelines.benchmarks.machine import Watch, describe_run
from pipelines.benchmarks.report import Section, write_report
from pipelines.benchmarks.rounds import measure_rounds
from pipelines.loading import LoadError, hide_loading_bars

TITLE = "The step engine on a card, beside the library's pipeline"
STEPS = {False: 20, True: 8}  # by whether architectures are tiny
GUIDANCE = 8.0  # it and 20 Euler steps are what MLPerf's text-to-image benchmark asks for
PAIRS = 7
SIZES = {False: (512, 1024), True: (64, 128)}  # pixels a side
BATCHES = {False: (1, 2, 4, 8, 16), True: (1, 2)}
PIXELS_MAX = 16 * 512 * 512
"""Of all pictures in a step: larger batches of large pictures take long and tell nothing new."""
NO_CARD = "this machine has no CUDA device"


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be measured, and where."""

    device: torch.device
    tiny: bool
    architectures: tuple[Architecture, ...]
    configurations: tuple[str, ...]
    batch: int
    pairs: int
    seed: int


def add_to(commands: Any) -> None:
    """Add the subcommand to argparse's."""
    parser = commands.add_parser("gpu", help="full-size architectures on a card")
    parser.set_defaults(command=run)
    parser.add_argument("--out", type=Path, required=True, help="the JSON; the page goes beside it")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="rounds of each comparison")
    parser.add_argument("--batch", type=int, default=8, help="jobs at once, for pictures/s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tiny", action="store_true", help="tiny architectures, on any device: a trial of all this"
    )
    parser.add_argument(
        "--architecture",
        action="append",
        choices=[*FULL_SIZE, *TINY],
        help="measure this one; may be given again",
    )
    parser.add_argument(
        "--configuration",
        action="append",
        choices=[*CONFIGURATIONS],
        help="measure this one; may be given again",
    )


def run(options: argparse.Namespace) -> int:
    """Measure what can be measured here, and write the files; without a card they say so."""
    course = _course(options)
    hide_loading_bars()
    watch = Watch(threads=1 if course.tiny else None)
    able = course.tiny or course.device.type == "cuda"
    sections = measure(course, watch) if able else [unmeasured_section(NO_CARD)]
    header = describe_run(
        sys.argv[1:],
        watch,
        seed=course.seed,
        device=str(course.device),
        settings={
            "sampler": "euler",
            "steps": STEPS[course.tiny],
            "guidance": GUIDANCE,
            "batch": course.batch,
            "pairs": course.pairs,
        },
    )
    write_report(options.out, TITLE, header, sections)
    for claim in (claim for section in sections for claim in section.claims):
        told = claim.note if claim.figure is None else f"{claim.figure:.3g} {claim.unit}"
        print(f"{claim.verdict:>12}  {claim.name}: {told.strip()}")
    print(f"Written: {options.out} and {options.out.with_suffix('.md')}")
    return 0


def _course(options: argparse.Namespace) -> Course:
    if min(options.pairs, options.batch) < 1:
        raise ValueError("--pairs and --batch must be at least 1.")
    known = TINY if options.tiny else FULL_SIZE
    chosen = options.architecture or list(known)
    wrong = [name for name in chosen if name not in known]
    if wrong:
        raise ValueError(
            f"--architecture {wrong[0]} is {'not ' if options.tiny else ''}a tiny one; with"
            f"{'' if options.tiny else 'out'} --tiny there are {', '.join(known)}."
        )
    return Course(
        device=torch.device("cuda:0" if torch.cuda.is_available() else "cpu"),
        tiny=options.tiny,
        architectures=tuple(known[name] for name in chosen),
        configurations=tuple(options.configuration or CONFIGURATIONS),
        batch=options.batch,
        pairs=options.pairs,
        seed=options.seed,
    )


def measure(course: Course, watch: Watch) -> list[Section]:
    """A section for every architecture and size, the goals first."""
    measured: list[SizeFigures] = []
    for architecture in course.architectures:
        with tempfile.TemporaryDirectory() as folder:
            save_random_pipeline(
                architecture,
                Path(folder),
                dtype=torch.bfloat16,
                device=str(course.device),
                seed=course.seed,
            )
            for size in SIZES[course.tiny]:
                measured.append(_measure_size(course, architecture, Path(folder), size, watch))
                _free_memory()
    why = "these are tiny architectures, which tell nothing" if course.tiny else "not asked for"
    goals = Section("Goals", "For one H200.", claims_of(measured, course.batch, why))
    return [goals, *(section_of(figures, course.batch) for figures in measured)]


def _free_memory() -> None:
    """Give what nobody holds any more back to the card."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass(slots=True)
class _Trials:
    """What can be measured: everything is tried once, and what fails is left out with its reason.

    That first time also compiles and records, so that no round pays for it.
    """

    contestants: dict[str, Callable[[], Mapping[str, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, figure: Callable[[], float]) -> bool:
        """Try it; False if it is left out."""
        try:
            figure()
        except RuntimeError as error:  # out of memory, or a compiler's: any of them is a result
            self.failed[name] = (str(error).strip() or type(error).__name__).splitlines()[0]
            _free_memory()
            return False
        self.contestants[name] = lambda: {name: figure()}
        return True


def _measure_size(
    course: Course, architecture: Architecture, folder: Path, size: int, watch: Watch
) -> SizeFigures:
    native = size == architecture.unet["sample_size"] * 8
    fitting = {n for n in BATCHES[course.tiny] if n * size * size <= PIXELS_MAX}
    batches = sorted(fitting | {course.batch} if native else fitting)
    workload = Workload(
        folder,
        new_captions(course.seed),
        steps=STEPS[course.tiny],
        guidance_scale=GUIDANCE,
        width=size,
        height=size,
        batch=max(batches),
        threads=torch.get_num_threads(),
    )
    trials = _Trials()
    trials.add("matrix", lambda: matrix_flops_per_s(course.device))
    _add_library(trials, LibraryOnCard(workload, course.device), batches, course.batch, native)
    for name in course.configurations:
        configuration = CONFIGURATIONS[name]
        if not (native or configuration.every_batch):
            continue
        try:
            engine = load_engine(configuration, workload, course.device)
        except LoadError as error:
            trials.failed[name] = str(error)
            continue
        chosen = batches if configuration.every_batch else [course.batch]
        _add_steps(trials, name, engine.step_s, chosen)
        if native:
            _add_pictures(trials, name, engine, workload, course.batch)
    figures = measure_rounds(
        trials.contestants,
        course.pairs,
        seed=course.seed,
        watch=watch,
        label=f"{architecture.title} {size}x{size}",
    )
    return SizeFigures(architecture, size, native, figures, trials.failed)


def _add_steps(
    trials: _Trials, name: str, step_s: Callable[[int], float], batches: Sequence[int]
) -> None:
    for count in batches:
        if not trials.add(f"{name} step {count}", partial(step_s, count)):
            return  # larger ones would fail as well


def _add_library(
    trials: _Trials, library: LibraryOnCard, batches: Sequence[int], batch: int, native: bool
) -> None:
    _add_steps(trials, "library", library.step_s, batches)
    if native:
        trials.add("library pictures/s", lambda: batch / library.pictures_s(batch))
        trials.add("library serial pictures/s", lambda: 1 / library.pictures_s(1))


def _add_pictures(
    trials: _Trials, name: str, engine: EngineOnCard, workload: Workload, batch: int
) -> None:
    if trials.add(f"{name} pictures/s", lambda: batch / engine.together(batch)):
        outside = OutsideShare(engine, workload)
        trials.add(f"{name} outside", lambda: outside.share(batch))
