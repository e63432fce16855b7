"""A full factorial design in complete randomised blocks, as plain data without torch."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of levels: `batch` pictures asked for at once, each of `steps` steps."""

    steps: int
    batch: int
    size: Size
    variant: str
    sampler: str
    threads: int
    dtype: str

    def levels(self) -> dict[str, Any]:
        """By factor, as JSON values."""
        return asdict(self) | {"size": named(self.size)}


@dataclass(frozen=True, slots=True)
class Design:
    """The levels of each factor; every combination is a cell.

    ValueError for a factor without levels or with one twice, or for numbers below 1.
    """

    steps: tuple[int, ...] = (3, 6, 12)
    batch: tuple[int, ...] = (1, 2, 4)
    size: tuple[Size, ...] = ((64, 64), (96, 96), (128, 128))
    variant: tuple[str, ...] = ("full", "small")
    sampler: tuple[str, ...] = ("dpmpp_2m", "euler")
    threads: tuple[int, ...] = (1, 2)
    dtype: tuple[str, ...] = ("float32", "bfloat16")

    def __post_init__(self) -> None:
        for field in fields(self):
            levels = getattr(self, field.name)
            if not levels or len(set(levels)) < len(levels):
                raise ValueError(f"Factor {field.name} needs levels, each once, got {levels}.")
        numbers = (*self.steps, *self.batch, *self.threads, *itertools.chain(*self.size))
        if min(numbers) < 1:
            raise ValueError("Steps, batches, threads and sizes must be at least 1.")

    def __len__(self) -> int:
        return len(self.cells())

    def cells(self) -> tuple[Cell, ...]:
        """Every combination, in the order of the levels."""
        levels = (getattr(self, field.name) for field in fields(self))
        return tuple(Cell(*combination) for combination in itertools.product(*levels))

    def blocks(self, seed: int) -> Iterator[tuple[Cell, ...]]:
        """Complete replicates without end, each in a random order of its own."""
        shuffler, cells = random.Random(seed), self.cells()
        while True:
            yield tuple(shuffler.sample(cells, len(cells)))

    def levels(self) -> dict[str, list[Any]]:
        """The levels by factor, as JSON values."""
        return asdict(self) | {"size": [named(size) for size in self.size]}


QUICK = Design(
    steps=(2, 4), batch=(1, 2), size=((64, 64), (96, 64)), threads=(1,), dtype=("float32",)
)
"""A trial in seconds: it shows that all works, and nothing else."""


def named(size: Size) -> str:
    """As in requests: 96x64."""
    return f"{size[0]}x{size[1]}"
