"""The design is complete, balanced, and in an order that the seed alone decides."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from pipelines.benchmarks.factorial_design import QUICK, Cell, Design


def test_every_combination_of_levels_is_a_cell_once() -> None:
    design = Design()
    assert len(design) == len(set(design.cells())) == 3 * 3 * 3 * 2 * 2 * 2 * 2
    for factor in ("steps", "batch", "size", "variant", "sampler", "threads", "dtype"):
        counts = Counter(getattr(cell, factor) for cell in design.cells())
        assert set(counts) == set(getattr(design, factor))
        assert len(set(counts.values())) == 1


def test_every_block_is_a_complete_replicate_in_an_order_of_its_own() -> None:
    first, second, third = itertools.islice(QUICK.blocks(seed=1), 3)
    assert set(first) == set(second) == set(third) == set(QUICK.cells())
    assert len(first) == len(QUICK)
    assert len({first, second, third, QUICK.cells()}) == 4


def test_the_seed_decides_the_order() -> None:
    def two(seed: int) -> list[tuple[Cell, ...]]:
        return list(itertools.islice(QUICK.blocks(seed), 2))

    assert two(1) == two(1)
    assert two(1) != two(2)


def test_levels_are_mixed_over_a_block() -> None:
    """Not one level first and then the other: neighbours differ about as often as by chance."""
    block = next(Design().blocks(seed=1))
    changes = sum(one.dtype != other.dtype for one, other in itertools.pairwise(block))
    assert changes == pytest.approx(len(block) / 2, rel=0.2)


def test_levels_are_told_as_json_has_them() -> None:
    assert Design().levels()["size"] == ["64x64", "96x96", "128x128"]
    assert QUICK.cells()[0].levels()["size"] == "64x64"


@pytest.mark.parametrize("levels", [{"steps": ()}, {"batch": (2, 2)}, {"threads": (0,)}])
def test_levels_that_cannot_be_are_refused(levels: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"levels, each once|at least 1"):
        Design(**levels)  # type: ignore[arg-type]
