"""Measuring round by round."""

from __future__ import annotations

import pytest

from pipelines.benchmarks.machine import Watch
from pipelines.benchmarks.rounds import measure_rounds


def test_everybody_is_measured_once_a_round_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []

    def contestant(name: str) -> dict[str, float]:
        calls.append(name)
        return {name: float(len(calls)), f"{name} too": 0.0}

    watch = Watch(threads=1)
    figures = measure_rounds(
        {"a": lambda: contestant("a"), "b": lambda: contestant("b")}, 3, seed=1, watch=watch
    )
    assert len(calls) == 8
    assert {name: len(values) for name, values in figures.items()} == {
        "a": 3,
        "a too": 3,
        "b": 3,
        "b too": 3,
    }
    assert min(figures["a"] + figures["b"]) == 3.0
    assert len(watch.looks_ms) == 4


def test_two_contestants_may_not_give_the_same_figure() -> None:
    with pytest.raises(ValueError, match="two contestants"):
        measure_rounds(
            {"a": lambda: {"x": 1.0}, "b": lambda: {"x": 2.0}}, 2, seed=1, watch=Watch(1)
        )
