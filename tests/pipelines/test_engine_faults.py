"""One job's fault reaches no other, and the engine says when it can compute no more."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.calls import Call
from pipelines.encoding import Embedding
from pipelines.engine import StepEngine
from pipelines.faults import EngineBroken
from pipelines.jobs import BatchLimit, PartialPicture, PictureDone, PictureFailed
from pipelines.loading import Variant, load_variant
from pipelines.running import RunningJob
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service
from tests.pipelines.engine_runs import alone, difference, done, engine_of, failed, run_out
from tests.pipelines.tiny_pipelines import SIZE, UNREAD, request, save_pipeline

FEW = Service("full", 3, 2)
NO_MEMORY = torch.OutOfMemoryError("none left")


class Exhausted:
    """Stands before a call and fails when it is given more than so many rows."""

    def __init__(self, call: Any, rows_max: int, error: Exception = NO_MEMORY) -> None:
        self.rows_max = rows_max
        self.calls: list[int] = []
        self._call, self._error = call, error

    def __call__(self, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(tensor.shape[0])
        if tensor.shape[0] > self.rows_max:
            raise self._error
        return self._call(tensor, *args, **kwargs)


def fails_on(variant: Variant, text: str, forward: Any) -> Callable[..., Any]:
    """The model's `forward`, but for rows with this text."""
    (poison,) = variant.encoder.encode([text])

    def breaking(sample: torch.Tensor, timestep: torch.Tensor, **given: Any) -> Any:
        texts = given["encoder_hidden_states"]
        if any(torch.equal(one, poison.tokens[0]) for one in texts):
            raise RuntimeError(f"cannot paint {text}")
        return forward(sample, timestep, **given)

    return breaking


# -- shared calls -------------------------------------------------------------------------------


def test_running_out_of_memory_shrinks_the_calls_and_loses_nobody(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_rows = Exhausted(full.unet.forward, 4)  # two guided jobs
    engine = engine_of(full)
    for index in range(5):
        engine.submit(request(str(index), seed=index, service=FEW))
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", few_rows)
        finished = done(run_out(engine))
    assert set(finished) == set("01234")
    assert engine.batch_limits() == (BatchLimit("full", SIZE, SIZE, "step", 2),)
    assert few_rows.calls.count(10) == 1  # what did not fit once is not tried at once again
    for index in range(5):
        asked = request(seed=index, service=FEW)
        assert difference(finished[str(index)].image, alone(full, asked).image) <= 2


def test_a_job_that_does_not_fit_alone_fails_and_the_engine_goes_on(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(full)
    engine.submit(request("guided"))
    engine.submit(request("free", guidance_scale=1.0, service=FEW))
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", Exhausted(full.unet.forward, 1))
        events = run_out(engine)
    assert "memory" in failed(events)["guided"]
    assert set(done(events)) == {"free"}
    engine.submit(request("lucky", service=FEW))
    assert set(done(run_out(engine))) == {"lucky"}


def test_decoding_out_of_memory_goes_on_in_smaller_calls(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(full)
    for index in range(5):
        engine.submit(request(str(index), service=FEW))
    with monkeypatch.context() as patch:
        patch.setattr(full.pipeline.vae, "decode", Exhausted(full.pipeline.vae.decode, 1))
        assert set(done(run_out(engine))) == set("01234")
    engine.submit(request("none"))
    with monkeypatch.context() as patch:
        patch.setattr(full.pipeline.vae, "decode", Exhausted(None, 0))
        assert "memory" in failed(run_out(engine))["none"]


def test_encoding_out_of_memory_goes_on_in_smaller_calls(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = full.pipeline.encode_prompt

    def one_text_at_a_time(texts: list[str], **kwargs: Any) -> Any:
        if len(texts) > 2 or "huge" in texts:
            raise NO_MEMORY
        return encode(texts, **kwargs)

    monkeypatch.setattr(full.pipeline, "encode_prompt", one_text_at_a_time)
    engine = engine_of(full)
    for prompt in ("one", "two", "huge", "three"):
        engine.submit(request(prompt, prompt=prompt, service=FEW))
    events = run_out(engine)
    assert set(done(events)) == {"one", "two", "three"}
    assert set(failed(events)) == {"huge"}


def test_a_token_beyond_the_embedding_fails_its_job_alone(tmp_path: Path) -> None:
    odd = load_variant("full", save_pipeline(tmp_path / "odd", unread=True))
    engine = engine_of(odd)
    engine.submit(request("poison", prompt=UNREAD))
    engine.submit(request("sound", prompt="blue"))
    events = run_out(engine)
    (failure,) = (event for event in events if isinstance(event, PictureFailed))
    assert (failure.job_id, failure.kind) == ("poison", "error")
    assert "IndexError" in failure.message
    assert difference(done(events)["sound"].image, alone(odd, request(prompt="blue")).image) == 0


def test_a_text_that_no_tokenizer_reads_fails_its_job_alone(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("poison", prompt="\ud800"))
    engine.submit(request("sound", service=FEW))
    events = run_out(engine)
    assert set(failed(events)) == {"poison"}
    assert set(done(events)) == {"sound"}


def test_a_job_that_breaks_a_shared_step_fails_and_the_others_get_their_pictures(
    full: Variant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = engine_of(full)
    for job_id, text in (("one", "a"), ("poison", "zebra"), ("two", "b")):
        engine.submit(request(job_id, prompt=text, service=FEW))
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(full.unet, "forward", fails_on(full, "zebra", full.unet.forward))
        events = run_out(engine)
    assert set(failed(events)) == {"poison"}
    assert "RuntimeError: cannot paint zebra" in failed(events)["poison"]
    for job_id, text in (("one", "a"), ("two", "b")):
        expected = alone(full, request(prompt=text, service=FEW)).image
        assert difference(done(events)[job_id].image, expected) <= 2
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert engine.batch_limits() == ()


@pytest.mark.parametrize("stage", ["encode", "step", "decode"])
def test_a_call_that_fails_for_everybody_is_an_engine_that_is_broken(
    full: Variant, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    engine = engine_of(full)
    for job_id in ("one", "two"):
        engine.submit(request(job_id, prompt="new words", service=FEW))
    parts = {
        "encode": (full.pipeline, "encode_prompt"),
        "step": (full.unet, "forward"),
        "decode": (full.pipeline.vae, "decode"),
    }

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken kernel")

    full.encoder._cache.clear()  # else nobody calls the encoder
    monkeypatch.setattr(*parts[stage], broken)
    with pytest.raises(EngineBroken, match="broken kernel") as told:
        run_out(engine)
    assert told.value.suspects == {"one", "two"}
    assert engine.call is None


def test_jobs_that_run_alone_share_no_call(full: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, forward = [], full.unet.forward

    def counted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(full.unet, "forward", counted)
    engine = engine_of(full)
    for job_id in "abc":
        engine.submit(request(job_id, service=Service("full", 1, 2), alone=job_id == "b"))
    assert set(done(run_out(engine))) == set("abc")
    assert rows == [2, 2, 2]


def test_the_engine_tells_what_it_does_while_it_does_it(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(full)
    seen: list[Call | None] = []
    for part, name in ((full.unet, "forward"), (full.pipeline.vae, "decode")):
        call = getattr(part, name)

        def watched(*args: Any, call: Any = call, **kwargs: Any) -> Any:
            seen.append(engine.call)
            return call(*args, **kwargs)

        monkeypatch.setattr(part, name, watched)
    engine.submit(request(service=Service("full", 2, 2)))
    run_out(engine)
    told = [(one.job_ids, one.stage, one.first) for one in seen if one is not None]
    assert told == [
        (("job",), "step", True),
        (("job",), "step", False),
        (("job",), "decode", True),
    ]
    assert engine.call is None


# -- a job's own stages -------------------------------------------------------------------------


def test_a_text_of_another_length_fails_its_job_alone(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = full.encoder.encode

    def short(texts: Any) -> list[Embedding]:
        found = encode(texts)
        cut = [Embedding(one.tokens[:, :5], one.pooled) for one in found]
        rows = zip(texts, cut, found, strict=True)
        return [a if text == "odd" else b for text, a, b in rows]

    monkeypatch.setattr(full.encoder, "encode", short)
    engine = engine_of(full)
    for job_id, text in (("one", "a"), ("odd", "odd"), ("two", "b")):
        engine.submit(request(job_id, prompt=text, service=FEW, guidance_scale=1.0))
    events = run_out(engine)
    assert set(failed(events)) == {"odd"}
    for job_id, text in (("one", "a"), ("two", "b")):
        asked = request(prompt=text, service=FEW, guidance_scale=1.0)
        assert difference(done(events)[job_id].image, alone(full, asked).image) <= 2
    engine = engine_of(full)  # nor does it say how long the texts of later jobs have to be
    engine.submit(request("odd", prompt="odd", service=FEW, guidance_scale=1.0))
    run_out(engine)
    engine.submit(request("next", prompt="a", service=FEW))
    assert set(done(run_out(engine))) == {"next"}


@pytest.mark.parametrize("stage", ["remember", "partial_due", "draw"])
def test_what_fails_for_one_job_between_calls_fails_it_alone(
    full: Variant, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def run() -> list[Any]:
        engine = engine_of(full)
        for job_id in ("one", "odd", "two"):
            engine.submit(request(job_id, seed=len(job_id), service=FEW, partials=1))
        return run_out(engine)

    undisturbed, original = done(run()), getattr(RunningJob, stage)

    def breaking(self: RunningJob, *args: Any) -> Any:
        if self.request.job_id == "odd" and (self.steps_run == 2 or stage == "draw"):
            raise ValueError("odd")
        return original(self, *args)

    monkeypatch.setattr(RunningJob, stage, breaking)
    events = run()
    ends = [event.job_id for event in events if isinstance(event, PictureDone | PictureFailed)]
    assert sorted(ends) == ["odd", "one", "two"]
    assert set(failed(events)) == {"odd"}
    for job_id in ("one", "two"):
        assert difference(done(events)[job_id].image, undisturbed[job_id].image) <= 2


def test_a_hand_over_that_fails_takes_nobody_with_it(
    full: Variant, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load_variant("small", folders["v_prediction"])
    ladder = Ladder((Rung("full", 12, "high"), Rung("small", 6, "low")))
    rules = ExitRules("hand_over", hands_over={"full": frozenset({"small"})})
    engine = StepEngine({"full": full, "small": small}, ladder, 4, rules)
    encode = small.encoder.encode

    def breaking(texts: Any) -> Any:
        if "zebra" in texts:
            raise ValueError("odd")
        return encode(texts)

    monkeypatch.setattr(small.encoder, "encode", breaking)
    engine.submit(request("odd", prompt="zebra", floor=1))
    engine.submit(request("sound", floor=1))
    engine.step()
    engine.announce(1)
    events = run_out(engine)
    assert set(failed(events)) == {"odd"}
    assert done(events)["sound"].facts.variant == "small"


def test_a_job_whose_partial_picture_fails_ends_once(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(full)
    engine.submit(request("odd", partials=1, service=FEW))
    engine.submit(request("sound", service=Service("full", 5, 2)))
    decode, left = full.pipeline.vae.decode, [1]

    def breaking(latents: torch.Tensor, **kwargs: Any) -> Any:
        if latents.any() and left:
            left.pop()
            raise ValueError("odd")
        return decode(latents, **kwargs)

    monkeypatch.setattr(full.pipeline.vae, "decode", breaking)
    events = run_out(engine)
    ends = [event.job_id for event in events if isinstance(event, PictureDone | PictureFailed)]
    assert ends == ["odd", "sound"]
    assert not [event for event in events if isinstance(event, PartialPicture)]
    assert engine.job_ids() == ()


def test_a_bank_waits_for_the_stream_that_makes_its_texts(
    full: Variant, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load_variant("small", folders["v_prediction"])
    stamps: list[object] = []
    monkeypatch.setattr("pipelines.encoding.stamped", lambda tensor: "made")
    monkeypatch.setattr("pipelines.slots.take_over", lambda stamp, parts: stamps.append(stamp))
    rules = ExitRules("hand_over", hands_over={"full": frozenset({"small"})})
    ladder = Ladder((Rung("full", 12, "high"), Rung("small", 6, "low")))
    engine = StepEngine({"full": full, "small": small}, ladder, 4, rules)
    engine.submit(request(prompt="never read before", negative_prompt="nor this", floor=1))
    engine.step()
    assert stamps == ["made"] * 2
    engine.announce(1)
    engine.step()
    assert stamps == ["made"] * 4


# -- warming up ---------------------------------------------------------------------------------


def test_warming_up_limits_the_calls_that_memory_does_not_hold(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(full, max_batch=4)
    monkeypatch.setattr(full.unet, "forward", Exhausted(full.unet.forward, 5))
    engine.warm_up(SIZE, SIZE)
    assert engine.batch_limits() == (BatchLimit("full", SIZE, SIZE, "step", 2),)
    for index in range(4):
        engine.submit(request(str(index), service=FEW))
    assert set(done(run_out(engine))) == set("0123")


def test_warming_up_says_what_to_change_when_a_single_job_does_not_fit(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full.unet, "forward", Exhausted(full.unet.forward, 1))
    said = "does not hold one picture of 16x16 with variant 'full'; serve a smaller size"
    with pytest.raises(RuntimeError, match=said):
        engine_of(full).warm_up(SIZE, SIZE)


def test_encoders_and_decoders_are_warmed_up_where_kernels_are_tried(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, pictures = [], []
    encode, decode = full.pipeline.encode_prompt, full.pipeline.vae.decode

    def encoded(given: list[str], **kwargs: Any) -> Any:
        texts.append(len(given))
        return encode(given, **kwargs)

    def decoded(latents: torch.Tensor, **kwargs: Any) -> Any:
        pictures.append(len(latents))
        return decode(latents, **kwargs)

    full.encoder.encode((None,))
    monkeypatch.setattr(full.pipeline, "encode_prompt", encoded)
    monkeypatch.setattr(full.pipeline.vae, "decode", decoded)
    engine_of(full, max_batch=2).warm_up(SIZE, SIZE)
    assert (texts, pictures) == ([], [])
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    engine_of(full, max_batch=2).warm_up(SIZE, SIZE)
    assert (texts, pictures) == ([1, 2, 3, 4], [1, 2])
