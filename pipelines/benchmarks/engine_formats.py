"""Number formats and memory layouts on this processor: which of them makes the engine faster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from pipelines.benchmarks.comparison import ratios, summarise
from pipelines.benchmarks.contestants import EngineCaller, Workload
from pipelines.benchmarks.machine import Watch
from pipelines.benchmarks.report import Section, Table, figure_text
from pipelines.benchmarks.rounds import Figures, measure_rounds
from pipelines.execution import Execution
from pipelines.loading import load_variant

PLAIN = "float32"
FORMATS: Mapping[str, tuple[str, bool]] = {
    PLAIN: ("float32", False),
    "float32, channels last": ("float32", True),
    "bfloat16": ("bfloat16", False),
    "bfloat16, channels last": ("bfloat16", True),
}
"""Number type, and whether the convolutions' weights are laid out channels last."""


def measure_formats(workload: Workload, watch: Watch, *, pairs: int, seed: int) -> Section:
    """One job alone and a full batch, in every format beside float32."""
    callers = {name: _caller(workload, *setting) for name, setting in FORMATS.items()}
    figures = measure_rounds(
        {name: partial(_measure, name, caller, workload) for name, caller in callers.items()},
        pairs,
        seed=seed,
        watch=watch,
        label="number formats",
    )
    best = min(FORMATS, key=lambda name: summarise(figures[_batch(name)]).median)
    return Section(
        title="Number formats on the CPU",
        text=(
            f"Seconds of one job alone and of {workload.batch} jobs submitted at once, and their "
            f"ratio to {PLAIN} in the same round. Fastest for {workload.batch} jobs: {best}."
        ),
        table=Table(
            (
                "",
                "1 job, s",
                f"1 job / {PLAIN}",
                f"{workload.batch} jobs, s",
                f"{workload.batch} jobs / {PLAIN}",
            ),
            tuple(_row(name, figures) for name in FORMATS),
        ),
        measurements=figures,
    )


def _caller(workload: Workload, dtype: str, channels_last: bool) -> EngineCaller:
    variant = load_variant(
        "full", workload.folder, dtype=dtype, execution=Execution(channels_last=channels_last)
    )
    return EngineCaller(variant, workload)


def _measure(name: str, caller: EngineCaller, workload: Workload) -> dict[str, float]:
    return {_alone(name): caller.together(1), _batch(name): caller.together(workload.batch)}


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    cells = [name]
    for key in (_alone, _batch):
        cells.append(figure_text(summarise(figures[key(name)])))
        cells.append(figure_text(summarise(ratios(figures[key(name)], figures[key(PLAIN)]))))
    return tuple(cells)


def _alone(name: str) -> str:
    return f"{name}: 1 job, s"


def _batch(name: str) -> str:
    return f"{name}: batch, s"
