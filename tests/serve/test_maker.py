from __future__ import annotations

import asyncio
from typing import Any

import pytest

from policies.nouns import Job
from serve import maker
from serve.backend import DispatcherLost, EngineLost
from serve.errors import ApiError
from serve.maker import RUNS_MAX, Made, Maker
from serve.messages import Accepted, Failed, Order, Partial
from serve.orders import Commission
from tests.serve.fakes import DONE, PARTIALS, STUCK, FakeBackend

COMMISSION = Commission(
    Job("a", arrival_s=9.0, floor=2, deadline_s=14.0),
    Order("a", "a red circle", "", 3, 64, 64, None, 0.0, 2, False, False, False, 3, "png", 100),
)
LOST = EngineLost("e")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "DISPATCHER_PAUSE_S", 0.0)


def make(backend: FakeBackend) -> tuple[Made, list[int]]:
    told: list[Partial] = []

    async def body() -> Made:
        return await Maker(backend, 6, 2, clock=lambda: 13.0).start(COMMISSION, told.append)

    made = asyncio.run(body())
    assert backend.open_leases == 0
    return made, [partial.index for partial in told]


def refusal(backend: FakeBackend) -> ApiError:
    with pytest.raises(ApiError) as caught:
        make(backend)
    return caught.value


def test_a_picture_comes_with_its_facts() -> None:
    made, _ = make(FakeBackend())
    assert made.data == b"picture"
    assert made.text_tokens == 4
    assert made.facts.queue_ms == 4250.0  # four seconds to the grant, and a quarter in the engine
    assert made.facts.service_ms == 2500.0
    assert made.facts.total_ms == 4000.0
    assert (made.facts.quality_admitted, made.facts.quality_delivered) == ("high", "medium")


def test_times_cross_to_the_dispatcher_as_seconds_from_now() -> None:
    backend = FakeBackend()
    make(backend)
    (job,) = backend.jobs
    assert (job.arrival_s, job.deadline_s) == (-4.0, 1.0)


def test_a_job_whose_engine_is_lost_runs_again_in_its_old_place() -> None:
    backend = FakeBackend(runs=[[Accepted(4), LOST], [Accepted(4), DONE]])
    make(backend)
    assert backend.asked == [("a", False, None), ("a", True, "a#e1")]


def test_the_former_lease_is_held_until_the_new_one_stands() -> None:
    backend = FakeBackend(runs=[[LOST], [Accepted(4), DONE]])
    make(backend)
    assert backend.closed.index("lease") > backend.closed.index("run")
    assert len(backend.asked) == 2


def test_an_engine_that_stops_in_mid_sentence_is_lost() -> None:
    backend = FakeBackend(runs=[[Accepted(4)], [DONE]])
    make(backend)
    assert backend.asked[1] == ("a", True, "a#e1")


def test_a_job_that_the_dispatcher_moves_runs_where_it_is_moved_to() -> None:
    backend = FakeBackend(
        answers=[["grant", "wait", "alone"]], runs=[[Accepted(4), STUCK], [Accepted(4), DONE]]
    )
    make(backend)
    assert [grant.alone for grant in backend.grants] == [False, True]
    assert backend.asked == [("a", False, None)]


def test_a_job_refused_while_it_runs_is_given_up() -> None:
    backend = FakeBackend(answers=[["grant", "wait", "poison"]], runs=[[Accepted(4), STUCK]])
    assert refusal(backend).status == 500
    assert sorted(backend.closed) == ["lease", "run"]


def test_partial_pictures_are_not_told_twice() -> None:
    backend = FakeBackend(runs=[[*PARTIALS[:2], LOST], [*PARTIALS, DONE]])
    assert make(backend)[1] == [0, 1, 2]


def test_a_job_that_outlives_no_engine_is_given_up() -> None:
    backend = FakeBackend(runs=[[LOST]])
    error = refusal(backend)
    assert (error.status, error.code) == (500, "engine_lost")
    assert len(backend.grants) == RUNS_MAX


def test_engines_that_are_replaced_before_a_job_gets_there_do_not_count() -> None:
    gone = [[EngineLost("e", gone=True)]] * (2 * RUNS_MAX)
    backend = FakeBackend(runs=[*gone, [Accepted(4), DONE]])
    make(backend)
    assert len(backend.grants) == 2 * RUNS_MAX + 1


def test_waiting_for_an_engine_costs_a_job_nothing() -> None:
    """It may see as many dispatchers go as it likes: only runs that come to no end are counted."""
    away: list[Any] = [DispatcherLost("x")] * 20
    backend = FakeBackend(answers=[*away, "grant"])
    make(backend)
    assert len(backend.grants) == 1


def test_a_lost_dispatcher_is_asked_again_as_for_an_accepted_job() -> None:
    backend = FakeBackend(answers=[DispatcherLost("x"), DispatcherLost("x"), "grant"])
    make(backend)
    assert [again for _, again, _ in backend.asked] == [False, True, True]


def test_a_picture_that_runs_does_not_need_the_dispatcher() -> None:
    backend = FakeBackend(answers=[["grant", DispatcherLost("x")]], runs=[[Accepted(4), DONE]])
    make(backend)
    assert len(backend.asked) == 1


def test_a_dispatcher_that_stays_away_is_told_as_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maker, "DISPATCHER_AWAY_MAX_S", -1.0)
    assert refusal(FakeBackend(answers=[DispatcherLost("x")])).status == 503


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("queue_full", 429, "queue_full"),
        ("tenant_full", 429, "tenant_full"),
        ("expired", 504, "deadline_exceeded"),
        ("hopeless", 504, "deadline_hopeless"),
        ("no_rung", 400, None),
        ("poison", 500, "picture_failed"),
    ],
)
def test_a_refusal_becomes_its_status(reason: str, status: int, code: str | None) -> None:
    error = refusal(FakeBackend(answers=[reason]))
    assert (error.status, error.code) == (status, code)


def test_a_refusal_for_no_known_reason_is_a_fault_of_the_server() -> None:
    with pytest.raises(RuntimeError, match="refused as 'superseded'"):
        make(FakeBackend(answers=["superseded"]))


def test_the_limits_are_told_to_those_that_they_refuse() -> None:
    assert "at most 6" in refusal(FakeBackend(answers=["queue_full"])).message
    assert "at most 2" in refusal(FakeBackend(answers=["tenant_full"])).message


def test_a_deadline_is_told_as_the_client_gave_it() -> None:
    assert "deadline of 5 s" in refusal(FakeBackend(answers=["expired"])).message


@pytest.mark.parametrize(("param", "status"), [(None, 500), ("prompt", 400)])
def test_a_failed_picture_is_not_tried_again(param: str | None, status: int) -> None:
    backend = FakeBackend(runs=[[Failed("It overflowed.", "not_a_number", param)]])
    assert refusal(backend).status == status
    assert len(backend.asked) == 1


@pytest.mark.parametrize("how", [{"answers": ["wait"]}, {"runs": [[Accepted(4), STUCK]]}])
def test_a_client_that_leaves_frees_the_slot(how: dict[str, Any]) -> None:
    async def body() -> FakeBackend:
        backend = FakeBackend(**how)
        task = Maker(backend, 6).start(COMMISSION, lambda partial: None)
        await backend.stuck.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        return backend

    backend = asyncio.run(body())
    assert backend.open_leases == 0
    assert backend.closed in (["lease"], ["lease", "run"])  # the dispatcher hears of it first
