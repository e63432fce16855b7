"""The clock around the networks' calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.benchmarks.contestants import EngineCaller, LibraryCaller
from pipelines.benchmarks.network_time import NetworkClock
from pipelines.loading import Variant
from tests.pipelines.benchmarks.tiny_workload import STEPS, tiny_workload


@pytest.fixture
def clock() -> NetworkClock:
    return NetworkClock()


def test_the_engine_s_calls_are_counted(
    clock: NetworkClock, folders: dict[str, Path], full: Variant
) -> None:
    caller = EngineCaller(full, tiny_workload(folders["v_prediction"]))
    caller.together(1)  # the empty negative prompt is known from now on
    with clock.watching(full.pipeline):
        whole_s = caller.together(1)
    assert clock.calls == STEPS + 2  # and one text, one picture
    assert 0 < clock.seconds < whole_s


def test_the_library_s_calls_are_counted(clock: NetworkClock, folders: dict[str, Path]) -> None:
    caller = LibraryCaller(tiny_workload(folders["v_prediction"]))
    with clock.watching(caller.pipeline):
        whole_s = caller.batch(2)
    assert clock.calls == STEPS + 3  # prompt and negative prompt are two calls of the text encoder
    assert 0 < clock.seconds < whole_s


def test_afterwards_the_networks_are_as_they_were(clock: NetworkClock, full: Variant) -> None:
    pipeline = full.pipeline
    before = pipeline.unet.forward, pipeline.vae.decode, pipeline.text_encoder.forward
    with clock.watching(pipeline):
        assert pipeline.unet.forward != before[0]
    assert (pipeline.unet.forward, pipeline.vae.decode, pipeline.text_encoder.forward) == before


def test_wrapping_a_call_costs_next_to_nothing(clock: NetworkClock) -> None:
    assert 0 <= clock.cost_s() < 1e-4
