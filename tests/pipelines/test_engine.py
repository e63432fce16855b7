"""The engine's promises: places, cancelling, faults, partial pictures, refusals, threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.denoising import step_rows
from pipelines.engine import StepEngine
from pipelines.jobs import EngineEvent, InvalidRequest, PartialPicture, PictureFailed, StepDone
from pipelines.loading import Variant
from pipelines.slots import SlotBank
from policies.nouns import Service
from tests.pipelines.engine_runs import (
    REPLANNABLE,
    alone,
    difference,
    done,
    engine_of,
    estimate_of,
    failed,
    run_out,
    start,
)
from tests.pipelines.tiny_pipelines import LADDER, SIZE, request


def test_a_cancelled_job_leaves_at_the_next_boundary(full: Variant) -> None:
    engine = engine_of(full, max_batch=1)
    engine.submit(request("first"))
    engine.submit(request("second", service=Service("full", 2, 2)))
    engine.step()
    engine.cancel("first")
    after = engine.step()
    assert [event.job_id for event in after] == ["second"]
    assert set(done(run_out(engine))) == {"second"}
    assert engine.job_ids() == ()


def test_a_job_cancelled_before_it_starts_never_runs(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    engine.cancel("job")
    engine.cancel("nobody")
    assert engine.step() == []
    assert not engine.has_work()


def test_a_cancelled_id_can_be_used_again(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    with pytest.raises(ValueError, match="already"):
        engine.submit(request())
    engine.cancel("job")
    engine.step()
    engine.submit(request(service=Service("full", 1, 2)))
    assert set(done(run_out(engine))) == {"job"}


def test_a_broken_latent_fails_its_job_and_the_batch_goes_on(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = full.unet.forward

    def breaking(sample: torch.Tensor, timestep: torch.Tensor, **kwargs: Any) -> Any:
        out = forward(sample, timestep, **kwargs)[0].clone()
        out[1] = float("nan")
        return (out,)

    engine = engine_of(full)
    for job_id, seed in (("one", 1), ("two", 2), ("three", 3)):
        engine.submit(request(job_id, seed=seed))
    engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", breaking)
        events = engine.step()
    assert [type(event) for event in events if event.job_id == "two"] == [PictureFailed]
    assert set(failed(events)) == {"two"}
    assert "overflowed" in failed(events)["two"]
    finished = done(run_out(engine))
    assert set(finished) == {"one", "three"}
    assert difference(finished["three"].image, alone(full, request(seed=3)).image) <= 2


def test_a_broken_decoding_is_never_a_picture(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = full.pipeline.vae.decode

    def breaking(latents: torch.Tensor, **kwargs: Any) -> Any:
        image = decode(latents, **kwargs)[0].clone()
        image[0, 0, 0, 0] = float("inf")
        return (image,)

    monkeypatch.setattr(full.pipeline.vae, "decode", breaking)
    engine = engine_of(full)
    engine.submit(request("first", service=Service("full", 2, 2)))
    engine.submit(request("second", service=Service("full", 2, 2)))
    events = run_out(engine)
    assert set(failed(events)) == {"first"}
    assert set(done(events)) == {"second"}


def test_partial_pictures_come_in_order_and_get_nearer_to_the_last(full: Variant) -> None:
    for sampler in REPLANNABLE:
        engine = engine_of(full)
        engine.submit(request(partials=3, sampler=sampler))
        events = run_out(engine)
        partials = [event for event in events if isinstance(event, PartialPicture)]
        assert [event.index for event in partials] == [0, 1, 2]
        steps_before = [
            sum(isinstance(other, StepDone) for other in events[: events.index(event)])
            for event in partials
        ]
        assert steps_before == [3, 6, 9]
        last = done(events)["job"].image.astype(int)
        gaps = [float(np.abs(event.image.astype(int) - last).mean()) for event in partials]
        assert gaps == sorted(gaps, reverse=True)


def test_a_partial_picture_is_the_decoded_clean_estimate(full: Variant) -> None:
    asked = request(partials=1, sampler="euler")
    engine = engine_of(full)
    engine.submit(asked)
    (partial,) = (event for event in run_out(engine) if isinstance(event, PartialPicture))
    with torch.inference_mode():
        bank = SlotBank(full, SIZE, SIZE, 1)
        job = start(bank, asked)
        for _ in range(6):
            step_rows(bank, 0, 1)
        (expected,) = full.decoder.decode(estimate_of(bank, job))
    assert expected is not None
    assert difference(partial.image, expected) <= 2


def test_partial_pictures_do_not_change_the_last_one(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request(partials=2))
    assert difference(done(run_out(engine))["job"].image, alone(full, request()).image) == 0


def test_progress_counts_up_to_the_present_plan(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request(service=Service("full", 3, 2)))
    steps = [event for event in run_out(engine) if isinstance(event, StepDone)]
    assert [(event.steps_run, event.steps_planned) for event in steps] == [(1, 3), (2, 3), (3, 3)]


def test_no_more_jobs_run_than_the_batch_has_places(full: Variant) -> None:
    engine = engine_of(full, max_batch=2)
    for job_id in "abc":
        engine.submit(request(job_id, service=Service("full", 2, 2)))
    assert {event.job_id for event in engine.step()} == {"a", "b"}
    engine.step()
    assert {event.job_id for event in engine.step()} == {"c"}


def test_an_over_long_prompt_fails_by_its_length(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("long", prompt="red " * 31))
    engine.submit(request("long negative", negative_prompt="red " * 31))
    engine.submit(request("fits", prompt="red " * 30, service=Service("full", 1, 2)))
    events = run_out(engine)
    assert set(failed(events)) == {"long", "long negative"}
    assert "takes 31 tokens and the model reads 30" in failed(events)["long"]
    assert set(done(events)) == {"fits"}


def test_unknown_words_do_not_crash(full: Variant) -> None:
    assert alone(full, request(prompt="7 Über-кот 😀, #?!")).image.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"service": Service("huge", 4, 0)}, "model", "not in this engine; it has full"),
        ({"service": Service("full", 1001, 0)}, "steps", "between 1 and 1000"),
        ({"width": 20}, "size", "multiples of 8 for variant 'full', got 20x16"),
        ({"height": 0}, "size", "multiples of 8"),
        ({"width": 2048, "height": 1024}, "size", "2048x1024 has more"),
        ({"sampler": "heun"}, "sampler", "'heun' is unknown"),
        ({"sampler": "lcm"}, "sampler", "needs a distilled model"),
        ({"partials": 4}, "partials", "0 to 3"),
        ({"guidance_rescale": 1.5}, "guidance_rescale", "between 0 and 1, got 1.5"),
        ({"converge": True}, "converge", "no convergence exit"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_by_its_parameter(
    full: Variant, changes: dict[str, Any], param: str, said: str
) -> None:
    engine = engine_of(full)
    with pytest.raises(InvalidRequest, match=said) as refused:
        engine.submit(request(**changes))
    assert refused.value.param == param
    assert not engine.has_work()


def test_engines_that_cannot_be_are_refused(full: Variant) -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        StepEngine({}, LADDER, 1)
    with pytest.raises(ValueError, match="batch of at least 1"):
        engine_of(full, max_batch=0)
    with pytest.raises(ValueError, match="threads"):
        engine_of(full, threads=0)
    with pytest.raises(ValueError, match="rungs 0 to 3"):
        engine_of(full).announce(4)


def test_facts_carry_the_clock_that_was_given(full: Variant) -> None:
    ticks = iter(range(100, 200))
    engine = engine_of(full, clock=lambda: float(next(ticks)))
    engine.submit(request(service=Service("full", 2, 2)))
    facts = done(run_out(engine))["job"].facts
    assert (facts.started_s, facts.ended_s) == (100.0, 101.0)


def test_waiting_for_work_ends_with_a_submission_from_another_thread(full: Variant) -> None:
    engine = engine_of(full)
    assert not engine.wait_for_work(timeout_s=0)
    waiter = threading.Thread(target=engine.wait_for_work)
    waiter.start()
    engine.submit(request())
    waiter.join(timeout=30)
    assert not waiter.is_alive()


def test_a_wake_is_not_lost_when_it_comes_before_the_wait(full: Variant) -> None:
    engine = engine_of(full)
    engine.wake()
    assert not engine.wait_for_work()


def test_threads_are_set_where_the_steps_run(full: Variant) -> None:
    engine = engine_of(full, threads=1)
    engine.submit(request(service=Service("full", 1, 2)))
    run_out(engine)
    assert torch.get_num_threads() == 1


def test_two_threads_make_the_same_pictures_as_one(full: Variant, turbo: Variant) -> None:
    asked = [
        request(str(index), seed=index, sampler=REPLANNABLE[index % 5], partials=index % 3)
        for index in range(12)
    ]
    asked.append(request("few", service=Service("turbo", 4, 3)))
    asked.append(request("cancelled"))
    engine = engine_of(full, turbo, max_batch=4)
    events: list[EngineEvent] = []
    lock = threading.Lock()

    def tell(more: list[EngineEvent]) -> None:
        with lock:
            events.extend(more)

    def beside() -> None:
        while engine.has_work():
            if engine.wait_for_work(part="beside"):
                tell([*engine.prepare(), *engine.finish()])
        engine.wake()

    def denoise() -> None:
        while engine.has_work():
            if engine.wait_for_work(part="denoise"):
                tell(engine.denoise())
        engine.wake()

    for one in asked:
        engine.submit(one)
    threads = [threading.Thread(target=beside), threading.Thread(target=denoise)]
    for thread in threads:
        thread.start()
    engine.cancel("cancelled")
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    finished = done(events)
    assert set(finished) == {one.job_id for one in asked} - {"cancelled"}
    for one in asked[:-1]:
        by_itself = alone(turbo if one.service.variant == "turbo" else full, one)
        assert difference(finished[one.job_id].image, by_itself.image) <= 2
        partials = [e for e in events if isinstance(e, PartialPicture) and e.job_id == one.job_id]
        assert [event.index for event in partials] == list(range(one.partials))


def test_pictures_waiting_to_be_decoded_are_bounded(full: Variant) -> None:
    engine = engine_of(full, max_batch=2)
    for index in range(20):
        engine.submit(request(str(index), service=Service("full", 1, 2)))
    for _ in range(20):
        engine.prepare()
        engine.denoise()
    assert not engine.has_work("denoise")
    assert len(done(engine.finish())) <= 4
    assert engine.has_work("denoise")
