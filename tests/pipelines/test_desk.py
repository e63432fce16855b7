"""Jobs on their way between callers and threads: nobody is lost, whatever comes in between."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.jobs import PictureDone, PictureFailed
from pipelines.loading import Variant
from policies.nouns import Service
from tests.pipelines.engine_runs import engine_of, run_out
from tests.pipelines.tiny_pipelines import request

MOVES = ("submit", "submit", "cancel", "prepare", "denoise", "denoise", "finish", "finish_now")
PLACES = 2


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(moves=st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 7)), max_size=40))
def test_every_job_ends_once_or_was_cancelled_in_any_order_of_the_parts(
    full: Variant, moves: list[tuple[str, int]]
) -> None:
    engine = engine_of(full, max_batch=PLACES)
    submitted: list[str] = []
    cancelled: set[str] = set()
    events = []
    for move, which in moves:
        job_id = submitted[which % len(submitted)] if submitted else "nobody"
        match move:
            case "submit":
                submitted.append(str(len(submitted)))
                steps = Service("full", 1 + which % 3, 2)
                engine.submit(request(submitted[-1], service=steps, partials=which % 2))
            case "cancel":
                engine.cancel(job_id)
                cancelled.add(job_id)
            case "prepare":
                events += engine.prepare()
            case "denoise":
                before = len(events)
                events += engine.denoise()
                assert len(events) - before <= PLACES
            case "finish":
                events += engine.finish()
            case "finish_now":
                engine.finish_now(job_id)
    events += run_out(engine)
    ends = Counter(e.job_id for e in events if isinstance(e, PictureDone | PictureFailed))
    assert set(submitted) - cancelled <= set(ends) <= set(submitted)
    assert all(count == 1 for count in ends.values())
    assert engine.job_ids() == ()
    for part in ("all", "denoise", "beside"):
        assert not engine.has_work(part)  # type: ignore[arg-type]


def test_an_id_is_taken_until_its_job_has_ended(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request(service=Service("full", 1, 2)))
    engine.prepare()
    engine.denoise()
    assert engine.job_ids() == ("job",)
    engine.finish()
    assert engine.job_ids() == ()
    engine.submit(request(service=Service("full", 1, 2)))


def test_a_place_is_free_as_soon_as_the_last_step_is_run(full: Variant) -> None:
    engine = engine_of(full, max_batch=1)
    engine.submit(request("first", service=Service("full", 1, 2)))
    engine.submit(request("second", service=Service("full", 1, 2)))
    engine.prepare()
    assert not engine.has_work("beside")  # the second has no place yet
    engine.denoise()
    assert engine.has_work("beside")
    engine.prepare()
    assert engine.has_work("denoise")  # although the first is not decoded yet
