"""What the engine tells of its own work while it serves."""

from __future__ import annotations

from pipelines.loading import Variant
from policies.nouns import Service
from tests.pipelines.engine_runs import engine_of, run_out
from tests.pipelines.tiny_pipelines import SIZE, request


def counts(part: object) -> dict[object, int]:
    assert isinstance(part, dict)
    return {key: sums.calls for key, sums in part.items()}


def test_every_piece_of_work_is_counted_by_what_it_was(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("long", service=Service("full", 3, 0)))
    engine.submit(request("short", service=Service("full", 2, 0)))
    run_out(engine)
    found = engine.costs.snapshot()
    assert counts(found.encode) == {("full", 2): 1}
    assert counts(found.step) == {("full", SIZE, SIZE, 2, 2): 2, ("full", SIZE, SIZE, 1, 1): 1}
    assert counts(found.decode) == {("full", SIZE, SIZE, 1): 2}
    assert counts(found.rest) == {(1, 2, 0): 1, (1, 0, 1): 2}


def test_steps_without_guidance_are_told_apart(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("guided", service=Service("full", 1, 0)))
    engine.submit(request("free", service=Service("full", 1, 0), guidance_scale=1.0))
    run_out(engine)
    assert counts(engine.costs.snapshot().step) == {("full", SIZE, SIZE, 2, 1): 1}


def test_the_sums_are_the_whole_time_of_the_boundaries(full: Variant) -> None:
    engine = engine_of(full)
    readings: list[float] = []

    def tick() -> float:
        readings.append(float(len(readings)))
        return readings[-1]

    engine.costs.clock = tick
    engine.submit(request(service=Service("full", 4, 0)))
    run_out(engine)
    assert engine.costs.snapshot().total_s == readings[-1] - readings[0] > 4


def test_waiting_for_work_costs_nothing(full: Variant) -> None:
    engine = engine_of(full)
    now_s = 0.0
    engine.costs.clock = lambda: now_s
    for job in ("one", "two"):
        now_s += 1000.0
        engine.submit(request(job, service=Service("full", 1, 0)))
        run_out(engine)
        assert not engine.wait_for_work(timeout_s=0.0)
    assert engine.costs.snapshot().total_s == 0.0


def test_a_job_that_goes_before_it_begins_leaves_no_boundary_open(full: Variant) -> None:
    engine = engine_of(full, max_batch=1)
    now_s = 0.0
    engine.costs.clock = lambda: now_s
    engine.submit(request("one", service=Service("full", 1, 0)))
    engine.submit(request("two"))
    engine.step()
    engine.cancel("two")
    assert not engine.wait_for_work(timeout_s=0.0)
    now_s = 1000.0
    engine.submit(request("three", service=Service("full", 1, 0)))
    run_out(engine)
    assert engine.costs.snapshot().total_s == 0.0
