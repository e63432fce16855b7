"""The raw data of a factorial experiment, as `python -m pipelines.benchmarks factorial` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import Array

FORMAT = 1
FACTORS = ("steps", "batch", "size", "variant", "sampler", "threads", "dtype")
PARTS = ("encode", "step", "decode", "rest")
PIXELS_PER_KPX = 1000.0
BLOCKS_MIN = 2
_AGAIN = "measure anew with `python -m pipelines.benchmarks factorial`"

Frame = Any
"""A pandas DataFrame, whose stubs are not installed."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Complete, balanced blocks in the order in which they were measured.

    `table` has a row for each observation: the factors, `block`, `order`, `seconds`, `log_s`, `cell`
    (a number), `kpx` (thousands of pixels of a picture), `unix_s`, `load_average`, and the engine's
    own sums, `encode_s` and so on. `left_out` counts observations of a block that was not completed.
    `end` says what was measured with; empty if the measurement was stopped.
    """

    table: Frame
    levels: Mapping[str, Sequence[Any]]
    seed: int
    settings: Mapping[str, Any]
    end: Mapping[str, Any]
    left_out: int

    @property
    def varied(self) -> tuple[str, ...]:
        """The factors that have more than one level."""
        return varied(self.table)

    @property
    def blocks(self) -> int:
        """Complete replicates."""
        return int(self.table["block"].nunique())


def varied(table: Frame) -> tuple[str, ...]:
    """The factors of which the table has more than one level."""
    return tuple(factor for factor in FACTORS if table[factor].nunique() > 1)


def read_experiment(path: Path) -> Experiment:
    """Read and check; ValueError, one sentence, for a file that is missing, broken or not balanced."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; {_AGAIN}") from None
    try:
        lines = [json.loads(line) for line in text.splitlines()]
        design = lines[0]["design"]
        if design["format"] != FORMAT:
            raise ValueError(f"format {design['format']!r} where {FORMAT} is expected")
        end = lines[-1].get("end", {})
        rows = [line for line in lines[1:] if "end" not in line]
        levels, seed, settings = design["levels"], design["seed"], design["settings"]
        table, left_out = _complete(table_of(rows), levels)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is no factorial experiment ({error}); {_AGAIN}") from None
    return Experiment(table, levels, int(seed), settings, end, left_out)


def table_of(rows: Sequence[Mapping[str, Any]]) -> Frame:
    """Observations as a table in run order; KeyError for a missing column, ValueError for a bad time."""
    table = pd.DataFrame(list(rows)).sort_values("order", ignore_index=True)
    seconds = table["seconds"].to_numpy(dtype=np.float64)
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise ValueError("a time is not above 0")
    sides = table["size"].str.split("x", expand=True).astype(float)
    keys = table[list(FACTORS)].astype(str).agg("|".join, axis=1)
    return table.assign(
        log_s=np.log(seconds), kpx=sides[0] * sides[1] / PIXELS_PER_KPX, cell=pd.factorize(keys)[0]
    )


def log_seconds(table: Frame) -> Array:
    """Natural logarithms of the times, in run order."""
    return np.asarray(table["log_s"], dtype=np.float64)


def _complete(table: Frame, levels: Mapping[str, Sequence[Any]]) -> tuple[Frame, int]:
    """The complete blocks, and how many observations an incomplete last one has."""
    cells = int(np.prod([len(levels[factor]) for factor in FACTORS]))
    counts = table.groupby("block")["cell"].agg(["size", "nunique"])
    last = counts.index.max()
    begun = int(counts.loc[last, "size"]) if counts.loc[last, "size"] < cells else 0
    kept = table[table["block"] != last].reset_index(drop=True) if begun else table
    sound = counts.drop(index=last) if begun else counts
    if not ((sound["size"] == cells) & (sound["nunique"] == cells)).all():
        raise ValueError(f"a block does not hold each of the {cells} cells once")
    if len(sound) < BLOCKS_MIN:
        raise ValueError(f"{BLOCKS_MIN} complete blocks are needed, it has {len(sound)}")
    return kept, begun
