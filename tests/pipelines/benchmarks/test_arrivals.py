"""Streams, windows and ceilings."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from pipelines.benchmarks.arrivals import (
    Stream,
    StreamFigures,
    ideal_makespan_s,
    pump_in_one_thread,
    pump_in_two_threads,
    random_arrivals,
    serve_arrivals,
)
from pipelines.benchmarks.contestants import EngineCaller
from pipelines.jobs import PictureDone, StepDone
from pipelines.loading import Variant
from tests.pipelines.benchmarks.tiny_workload import BATCH, STEPS, tiny_workload


@pytest.fixture
def caller(folders: dict[str, Path], full: Variant) -> EngineCaller:
    return EngineCaller(full, tiny_workload(folders["v_prediction"]))


def test_a_stream_counts_whole_cycles_with_every_place_taken(caller: EngineCaller) -> None:
    for seed in range(5):
        stream = Stream(caller, steps=STEPS, cycles=2, rng=random.Random(seed))
        figures = pump_in_one_thread(caller, stream)
        assert figures.pictures == 2 * BATCH
        assert figures.places_taken == BATCH
        assert len(figures.gaps_s) == 2 * STEPS - 1
        assert min(figures.gaps_s) > 0
        assert figures.pictures_per_s == figures.pictures / figures.window_s > 0


def test_the_jobs_of_a_stream_stand_at_random_steps(caller: EngineCaller) -> None:
    seen: set[tuple[int, ...]] = set()
    for seed in range(5):
        stream = Stream(caller, steps=STEPS, cycles=1, rng=random.Random(seed))
        stream.begin()
        while not stream.is_over:
            events = caller.engine.step()
            seen.add(tuple(sorted(e.steps_run for e in events if isinstance(e, StepDone))))
            stream.take(events)
        caller.empty()
    full = {steps for steps in seen if len(steps) == BATCH}
    assert sum(len(set(steps)) > 1 for steps in full) > 3


def test_two_threads_serve_the_same_stream(caller: EngineCaller) -> None:
    stream = Stream(caller, steps=STEPS, cycles=2, rng=random.Random(1))
    figures = pump_in_two_threads(caller, stream)
    assert figures.pictures >= 2 * BATCH
    assert 0 < figures.places_taken <= BATCH
    assert not caller.engine.has_work()


def test_a_failure_in_the_denoising_thread_ends_the_stream(
    caller: EngineCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[object]:
        raise RuntimeError("the denoising broke")

    monkeypatch.setattr(caller.engine, "denoise", broken)
    stream = Stream(caller, steps=STEPS, cycles=1, rng=random.Random(1))
    with pytest.raises(RuntimeError, match="denoising broke"):
        pump_in_two_threads(caller, stream)


def test_the_meter_is_read_at_both_ends_of_the_window(caller: EngineCaller) -> None:
    readings = itertools.count(start=10, step=5)
    stream = Stream(
        caller, steps=STEPS, cycles=1, rng=random.Random(1), meter=lambda: float(next(readings))
    )
    figures: StreamFigures = pump_in_one_thread(caller, stream)
    assert figures.metered_s > 0
    assert figures.metered_s % 5 == 0


def test_an_open_window_has_no_figures_and_no_window_is_empty(caller: EngineCaller) -> None:
    stream = Stream(caller, steps=STEPS, cycles=1, rng=random.Random(1))
    with pytest.raises(RuntimeError, match="not closed"):
        stream.figures()
    with pytest.raises(ValueError, match="at least one cycle"):
        Stream(caller, steps=STEPS, cycles=0, rng=random.Random(1))


def test_arrivals_are_all_served_also_after_a_pause(caller: EngineCaller) -> None:
    seconds = serve_arrivals(caller, [5.0, 5.0, 5.3])
    assert seconds > 0.3
    assert not caller.engine.has_work()


def test_arrivals_rise_and_stay_within_their_window() -> None:
    at_s = random_arrivals(50, 2.0, random.Random(1))
    assert at_s == sorted(at_s)
    assert 0 <= at_s[0] < at_s[-1] <= 2.0


def batch_s(count: int) -> float:
    return 0.5 + 0.5 * count


def test_the_ceiling_of_jobs_that_come_together_is_the_static_batch() -> None:
    assert ideal_makespan_s([3.0] * 8, batch_s) == pytest.approx(batch_s(8))


def test_the_ceiling_of_jobs_far_apart_is_one_after_the_other() -> None:
    assert ideal_makespan_s([0.0, 10.0, 20.0], batch_s) == pytest.approx(20.0 + batch_s(1))


def test_the_ceiling_lets_a_newcomer_slow_down_who_is_there() -> None:
    # Alone for 0.5 s of 1.0: half is done. Then two at 1.5 s a job: the first needs 0.75 s more,
    # in which the second does half; the rest of it takes 0.5 s alone.
    assert ideal_makespan_s([0.0, 0.5], batch_s) == pytest.approx(0.5 + 0.75 + 0.5)


def test_no_order_of_arrivals_beats_all_at_once() -> None:
    for seed in range(20):
        at_s = random_arrivals(8, 2.0, random.Random(seed))
        assert ideal_makespan_s(at_s, batch_s) >= batch_s(8)


def test_pictures_are_told_from_other_events(caller: EngineCaller) -> None:
    caller.engine.submit(caller.ask())
    events = [event for _ in range(STEPS) for event in caller.engine.step()]
    assert [isinstance(event, PictureDone) for event in events].count(True) == 1
