from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from serve.errors import ApiError, from_validation
from serve.schemas import MAX_SEED, GenerationRequest, Usage


def parsed(**body: Any) -> GenerationRequest:
    return GenerationRequest.model_validate_json(json.dumps({"prompt": "a red circle"} | body))


def refusal(text: str) -> ApiError:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate_json(text)
    return from_validation(caught.value)


def test_a_prompt_alone_is_enough() -> None:
    request = parsed()
    assert (request.n, request.output_format, request.stream) == (1, "png", False)
    assert request.quality_floor == "auto"
    assert not request.steps_are_fixed


def test_null_means_the_default() -> None:
    request = parsed(
        n=None,
        size=None,
        quality=None,
        response_format=None,
        output_format=None,
        output_compression=None,
        stream=None,
        partial_images=None,
        background=None,
        seed=None,
        guidance_rescale=None,
        converge=None,
        objective=None,
        service_tier=None,
    )
    assert request == parsed()


def test_fields_of_the_official_api_that_change_nothing_are_taken() -> None:
    parsed(user="me", style="vivid", moderation="low", safety_identifier="x", background="opaque")


@pytest.mark.parametrize(
    ("asked", "floor"),
    [("auto", "auto"), ("low", "low"), ("max", "max"), ("standard", "medium"), ("hd", "high")],
)
def test_quality_is_a_floor(asked: str, floor: str) -> None:
    assert parsed(quality=asked).quality_floor == floor


def test_steps_without_quality_are_fixed() -> None:
    assert parsed(steps=7).steps_are_fixed
    assert not parsed(steps=7, quality="auto").steps_are_fixed


@pytest.mark.parametrize(
    ("asked", "tier"),
    [(None, "default"), ("auto", "default"), ("default", "default"), ("flex", "flex")],
)
def test_the_tier_is_the_default_one_unless_another_is_named(asked: str | None, tier: str) -> None:
    assert parsed(service_tier=asked).tier == tier


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": " \n"}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"quality": "best"}, "quality"),
        ({"response_format": "url"}, "response_format"),
        ({"response_format": "bytes"}, "response_format"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 101}, "output_compression"),
        ({"partial_images": 4, "stream": True}, "partial_images"),
        ({"background": "transparent"}, "background"),
        ({"seed": -1}, "seed"),
        ({"seed": MAX_SEED + 1}, "seed"),
        ({"steps": 0}, "steps"),
        ({"guidance_scale": -1}, "guidance_scale"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": "soon"}, "deadline_s"),
        ({"objective": "beauty"}, "objective"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"step": 5}, "step"),
    ],
)
def test_a_wrong_value_is_refused_by_name(change: dict[str, Any], param: str) -> None:
    error = refusal(json.dumps({"prompt": "a red circle"} | change))
    assert error.status == 400
    assert error.param == param
    assert error.message.endswith(".")
    assert "\n" not in error.message


def test_partial_images_need_a_stream() -> None:
    assert "stream" in refusal('{"prompt": "a", "partial_images": 1}').message


@pytest.mark.parametrize("text", ['{"prompt": ', "[]", '"a"', "null", '{"prompt": "\\ud800"}', "x"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    error = refusal(text)
    assert (error.status, error.code) == (400, "invalid_json")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    assert refusal(f'{{"prompt": "a", "guidance_scale": {text}}}').param == "guidance_scale"


def test_a_missing_prompt_is_named() -> None:
    error = refusal("{}")
    assert (error.param, error.code) == ("prompt", "missing_required_parameter")


def test_usage_counts_the_prompt_and_no_picture() -> None:
    usage = Usage.of_prompt(5)
    assert usage.total_tokens == usage.input_tokens == usage.input_tokens_details.text_tokens == 5
    assert usage.output_tokens == 0
