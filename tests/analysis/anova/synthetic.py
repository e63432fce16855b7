"""Factorial experiments made up by a known rule, as rows, as tables and as files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.anova.observations import Frame, table_of

LEVELS: dict[str, list[Any]] = {
    "steps": [3, 6, 12],
    "batch": [1, 2, 4],
    "size": ["64x64", "96x96", "128x128"],
    "variant": ["full", "small"],
    "sampler": ["dpmpp_2m", "euler"],
    "threads": [1, 2],
    "dtype": ["float32"],
}
SMALL: dict[str, list[Any]] = LEVELS | {"size": ["64x64"], "variant": ["full"], "threads": [1]}

Rule = Callable[[Mapping[str, Any]], float]

ONCE_S, PICTURE_S, PIXEL_S, STEP_S, WORK_S = 0.004, 0.003, 0.0012, 0.006, 0.0004


def kpx(cell: Mapping[str, Any]) -> float:
    width, height = str(cell["size"]).split("x")
    return int(width) * int(height) / 1000


def sum_of_parts(cell: Mapping[str, Any]) -> float:
    """Seconds by the physical formula; `small` takes half of everything, `euler` 1 ms a step less."""
    step_s = STEP_S - (0.001 if cell["sampler"] == "euler" else 0.0)
    pictures, pixels = cell["batch"], kpx(cell)
    once = ONCE_S + pictures * (PICTURE_S + PIXEL_S * pixels)
    steps = cell["steps"] * (step_s + WORK_S * 2 * pictures * pixels)
    return float((once + steps) * (0.5 if cell["variant"] == "small" else 1.0))


def product(cell: Mapping[str, Any]) -> float:
    """Seconds as a product: no interactions on the log scale, and neither sampler nor threads matter."""
    size = kpx(cell) ** 0.5
    half = 0.5 if cell["variant"] == "small" else 1.0
    return float(0.01 * cell["steps"] ** 0.8 * cell["batch"] ** 0.6 * size * half)


def rows(
    rule: Rule,
    levels: Mapping[str, Sequence[Any]] = LEVELS,
    *,
    blocks: int = 2,
    noise: float = 0.05,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Complete blocks in random order, with lognormal noise of that standard deviation."""
    rng = np.random.default_rng(seed)
    cells = [dict(zip(levels, cell, strict=True)) for cell in itertools.product(*levels.values())]
    made: list[dict[str, Any]] = []
    for block in range(blocks):
        for index in rng.permutation(len(cells)):
            seconds = rule(cells[index]) * float(np.exp(noise * rng.normal()))
            parts = {"encode_s": 0.1, "step_s": 0.7, "decode_s": 0.15, "rest_s": 0.05}
            made.append(
                {"block": block, "order": len(made), **cells[index], "seconds": seconds}
                | {name: share * seconds for name, share in parts.items()}
                | {"unix_s": 1.7e9 + len(made), "load_average": 0.1}
            )
    return made


def table(rule: Rule, levels: Mapping[str, Sequence[Any]] = LEVELS, **options: Any) -> Frame:
    return table_of(rows(rule, levels, **options))


def write(
    path: Path, made: Sequence[Mapping[str, Any]], levels: Mapping[str, Sequence[Any]] = LEVELS
) -> Path:
    """As the measurement writes it, without the last line that tells of the machine."""
    settings = {"model": "weights", "guidance": 2.5, "warm_up_steps": 2}
    design = {"format": 1, "seed": 1, "levels": levels, "settings": settings}
    lines = [{"design": design}, *made]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
