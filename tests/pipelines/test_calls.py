"""Shared calls: parts, limits, who is at fault, and what a watchdog sees."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipelines.calls import CLEAN_CALLS, Calls, Key
from pipelines.faults import EngineBroken, failure_of, is_out_of_memory
from pipelines.jobs import BatchLimit, PictureFailed, PictureRequest
from tests.pipelines.tiny_pipelines import request

STEP, DECODE = (Key("full", 16, 16, stage) for stage in ("step", "decode"))
CPU, CARD = torch.device("cpu"), torch.device("cuda")
NO_MEMORY = (
    torch.OutOfMemoryError("none left"),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
)


def calls_of(capacity: int = 8, device: torch.device = CPU) -> Calls:
    return Calls(capacity, device, lambda: ("everybody",))


def jobs(ids: str, alone: str = "") -> list[PictureRequest]:
    return [request(job_id, alone=job_id in alone) for job_id in ids]


class Work:
    """Does parts of jobs, but for what `breaks` says of their ids."""

    def __init__(self, asked: list[PictureRequest], breaks: Callable[[str], object]) -> None:
        self.tried: list[str] = []
        self.done = ""
        self._asked, self._breaks = asked, breaks

    def __call__(self, first: int, last: int) -> None:
        ids = "".join(one.job_id for one in self._asked[first:last])
        self.tried.append(ids)
        self._breaks(ids)
        self.done += ids


def raising(error: Exception, when: Callable[[str], bool]) -> Callable[[str], None]:
    def breaks(ids: str) -> None:
        if when(ids):
            raise error

    return breaks


def run(
    calls: Calls, asked: list[PictureRequest], breaks: Any, prove: Any = None, key: Key = STEP
) -> tuple[Work, list[PictureFailed]]:
    work = Work(asked, breaks)
    return work, calls.run(key, asked, work, prove)


def fine(ids: str) -> None:
    """Nothing goes wrong."""


def test_what_fits_is_one_call_of_at_most_the_capacity() -> None:
    work, failed = run(calls_of(3), jobs("abcde"), fine)
    assert (work.tried, failed) == (["abc", "de"], [])


@pytest.mark.parametrize("error", NO_MEMORY)
def test_without_memory_the_parts_are_halved_and_nobody_is_lost(error: Exception) -> None:
    assert is_out_of_memory(error)
    calls = calls_of()
    work, failed = run(calls, jobs("abcdefgh"), raising(error, lambda ids: len(ids) > 1))
    assert failed == []
    assert work.done == "abcdefgh"
    assert work.tried[:4] == ["abcdefgh", "abcd", "ab", "a"]
    assert calls.limits() == (BatchLimit("full", 16, 16, "step", 1),)


def test_other_errors_are_not_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_a_job_that_memory_does_not_hold_alone_is_told_so() -> None:
    work, failed = run(calls_of(), jobs("abc"), raising(NO_MEMORY[0], lambda ids: "b" in ids))
    assert [(one.job_id, one.kind) for one in failed] == [("b", "out_of_memory")]
    assert work.done == "ac"


def test_the_retry_begins_without_what_the_failed_call_held() -> None:
    class Activations:
        pass

    held: list[weakref.ref[Activations]] = []

    def allocates(ids: str) -> None:
        assert all(ref() is None for ref in held)
        activations = Activations()
        held.append(weakref.ref(activations))
        error = torch.OutOfMemoryError("none left")
        error.__cause__ = error.__context__ = error  # a cycle, as a broken recording makes one
        if len(ids) > 1:
            raise error

    work, failed = run(calls_of(), jobs("abcdefgh"), allocates)
    assert (work.done, failed) == ("abcdefgh", [])
    assert len(held) == 3 + 8


def test_a_limit_holds_for_its_own_stage_and_size_only() -> None:
    calls = calls_of()
    run(calls, jobs("abcd"), raising(NO_MEMORY[0], lambda ids: len(ids) > 2))
    assert run(calls, jobs("abcd"), fine, key=DECODE)[0].tried == ["abcd"]
    assert run(calls, jobs("abcd"), fine, key=STEP._replace(width=32))[0].tried == ["abcd"]
    assert run(calls, jobs("abcd"), fine)[0].tried == ["ab", "cd"]


def test_a_limit_is_tried_again_after_clean_calls_and_goes_at_the_capacity() -> None:
    calls = calls_of(8)
    run(calls, jobs("abcdefgh"), raising(NO_MEMORY[0], lambda ids: len(ids) > 2))
    assert calls.limits()[0].limit == 2
    for _ in range(CLEAN_CALLS):
        run(calls, jobs("a"), fine)  # smaller than the limit: it says nothing of it
    assert calls.limits()[0].limit == 2
    for _ in range(CLEAN_CALLS):
        run(calls, jobs("ab"), fine)
    assert calls.limits()[0].limit == 4
    run(calls, jobs("abcd"), raising(NO_MEMORY[0], lambda ids: len(ids) > 2))
    assert calls.limits()[0].limit == 2
    for _ in range(2 * CLEAN_CALLS):
        run(calls, jobs("abcd"), fine)
    assert calls.limits() == ()


def test_a_faulty_job_fails_alone_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    poison = ValueError("no such\n token " + 300 * "x")
    with caplog.at_level(logging.WARNING):
        work, failed = run(calls_of(), jobs("abcd"), raising(poison, lambda ids: "c" in ids))
    assert work.tried == ["abcd", "a", "b", "c", "d"]
    assert work.done == "abd"
    kept = ("no such token " + 300 * "x")[:200]
    assert failed == [
        PictureFailed("c", f"The picture could not be made (ValueError: {kept}).", "error")
    ]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "c (16x16, 12 steps, guidance 5.0)" in record.getMessage()
    assert "step of full" in record.getMessage()


def test_a_call_that_fails_once_has_no_victim() -> None:
    work, failed = run(calls_of(), jobs("abc"), raising(ValueError(), lambda ids: ids == "abc"))
    assert (work.done, failed) == ("abc", [])


def test_an_engine_that_fails_on_known_good_data_is_broken() -> None:
    broken = RuntimeError("broken kernel")

    def prove() -> None:
        raise broken

    with pytest.raises(EngineBroken, match="broken kernel") as told:
        run(calls_of(), jobs("abc"), raising(broken, lambda ids: True), prove)
    assert told.value.suspects == {"a", "b", "c"}  # it may have been any of the shared call
    with pytest.raises(EngineBroken) as told:
        run(calls_of(), jobs("abc"), raising(broken, lambda ids: "b" in ids), prove)
    assert told.value.suspects == {"b"}  # for "a" was done after the shared call
    with pytest.raises(EngineBroken) as told:
        run(calls_of(1), jobs("abc"), raising(broken, lambda ids: ids == "c"), prove)
    assert told.value.suspects == {"c"}


def test_a_proof_that_only_lacks_memory_proves_enough() -> None:
    def prove() -> None:
        raise NO_MEMORY[0]

    _, failed = run(calls_of(), jobs("a"), raising(ValueError("odd"), lambda ids: True), prove)
    assert failed[0].message == failure_of(ValueError("odd")).message


def test_jobs_that_run_alone_share_no_call() -> None:
    work, _ = run(calls_of(), jobs("abcdef", alone="ad"), fine)
    assert work.tried == ["a", "bc", "d", "ef"]


def test_on_a_card_everybody_is_suspect_but_for_a_job_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[object] = []
    monkeypatch.setattr("pipelines.calls.synchronise", waits.append)
    broken = RuntimeError("device-side assert")

    def prove() -> None:
        raise broken

    for alone, suspects in (("", {"everybody"}), ("a", {"a"})):
        asked = jobs("a", alone=alone)
        with pytest.raises(EngineBroken) as told:
            run(calls_of(device=CARD), asked, raising(broken, lambda ids: True), prove)
        assert told.value.suspects == suspects
    waits.clear()
    run(calls_of(device=CARD), jobs("ab", alone="a"), fine)
    assert waits == [CARD, CARD]  # before and after "a"


def test_what_others_left_undone_is_not_the_fault_of_a_job_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wait(device: torch.device) -> None:
        raise RuntimeError("device-side assert")

    monkeypatch.setattr("pipelines.calls.synchronise", wait)
    with pytest.raises(EngineBroken) as told:
        run(calls_of(device=CARD), jobs("a", alone="a"), fine)
    assert told.value.suspects == {"everybody"}


def test_a_call_is_seen_while_it_lasts_and_the_first_of_its_shape_is_told() -> None:
    calls = calls_of()
    seen: list[tuple[tuple[str, ...], str, bool, bool]] = []

    def look(ids: str) -> None:
        assert calls.call is not None
        call = calls.call
        seen.append((call.job_ids, call.stage, call.first, call.alone))

    for ids, alone in (("ab", ""), ("cd", ""), ("e", "e"), ("f", "")):
        run(calls, jobs(ids, alone), look)
        assert calls.call is None
    assert seen == [
        (("a", "b"), "step", True, False),
        (("c", "d"), "step", False, False),
        (("e",), "step", True, True),
        (("f",), "step", False, False),
    ]


def test_of_two_threads_calls_the_one_that_lasts_longest_is_seen() -> None:
    calls = calls_of()
    begun, go_on = threading.Event(), threading.Event()

    def hang(ids: str) -> None:
        begun.set()
        assert go_on.wait(30)

    hanging = threading.Thread(target=run, args=(calls, jobs("a"), hang))
    hanging.start()
    assert begun.wait(30)
    run(calls, jobs("b"), fine, key=DECODE)
    assert calls.call is not None
    assert calls.call.job_ids == ("a",)
    go_on.set()
    hanging.join(30)
    assert calls.call is None


def test_warming_up_stops_at_what_does_not_fit_and_limits_it() -> None:
    calls, called = calls_of(4), []

    def call(rows: int) -> None:
        called.append(rows)
        if rows > 4:
            raise NO_MEMORY[0]

    calls.warm_up(STEP, 2, call)
    assert called == [1, 2, 3, 4, 5]
    assert calls.limits() == (BatchLimit("full", 16, 16, "step", 2),)


def test_warming_up_says_when_a_single_job_does_not_fit() -> None:
    def call(rows: int) -> None:
        if rows > 1:
            raise NO_MEMORY[0]

    with pytest.raises(torch.OutOfMemoryError):
        calls_of().warm_up(STEP, 2, call)


def test_a_warmed_up_shape_is_no_longer_a_first_one() -> None:
    calls = calls_of(2)
    seen: list[bool] = []
    calls.warm_up(STEP, 1, lambda rows: None)
    run(calls, jobs("ab"), lambda ids: seen.append(calls.call is not None and calls.call.first))
    assert seen == [False]
