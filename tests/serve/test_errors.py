from __future__ import annotations

import pytest

from policies.nouns import Job
from serve import errors
from serve.errors import ApiError
from serve.messages import Failed, Refusal


def test_the_body_has_the_official_form() -> None:
    body = errors.bad_request("Wrong.", param="n", code="invalid_value").body()
    assert body == {
        "error": {
            "message": "Wrong.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_value",
        }
    }


@pytest.mark.parametrize(
    ("retry_after_s", "header"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (None, "1")]
)
def test_a_full_queue_says_when_to_come_back(retry_after_s: float | None, header: str) -> None:
    error = errors.queue_full(retry_after_s, 6)
    assert error.status == 429
    assert error.headers() == {"retry-after": header, "x-should-retry": "false"}
    assert "at most 6" in error.message


@pytest.mark.parametrize(("retry_after_s", "header"), [(3.5, "4"), (None, "1")])
def test_a_tenant_with_its_share_is_told_apart_from_a_full_queue(
    retry_after_s: float | None, header: str
) -> None:
    error = errors.tenant_full(retry_after_s, 3)
    assert (error.status, error.code, error.type) == (429, "tenant_full", "rate_limit_error")
    assert error.param == "user"
    assert error.headers() == {"retry-after": header, "x-should-retry": "false"}
    assert "at most 3" in error.message


def test_a_hopeless_deadline_is_told_apart_from_one_that_passed() -> None:
    hopeless, passed = errors.deadline_hopeless(2.5), errors.deadline_passed(2.5)
    assert (hopeless.code, passed.code) == ("deadline_hopeless", "deadline_exceeded")
    for error in (hopeless, passed):
        assert (error.status, error.param) == (504, "deadline_s")
        assert "2.5 s" in error.message
    assert "lower quality" in hopeless.message


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.deadline_passed(2.5), 504),
        (errors.deadline_hopeless(2.5), 504),
        (errors.picture_failed("It overflowed."), 500),
    ],
)
def test_a_client_is_told_not_to_repeat_what_would_fail_again(error: ApiError, status: int) -> None:
    assert error.status == status
    assert error.headers()["x-should-retry"] == "false"


def test_a_server_that_starts_may_be_asked_again() -> None:
    error = errors.unavailable("Not yet.")
    assert error.status == 503
    assert error.headers() == {"retry-after": "1", "x-should-retry": "true"}


@pytest.mark.parametrize(
    ("word", "status", "retry"),
    [
        (Failed("No memory.", "out_of_memory"), 503, "true"),
        (Failed("It overflowed.", "not_a_number"), 500, "false"),
        (Failed("IndexError: 7", "error"), 500, "false"),
    ],
)
def test_a_failed_picture_says_whether_to_ask_again(word: Failed, status: int, retry: str) -> None:
    error = errors.failed(word)
    assert (error.status, error.headers()["x-should-retry"]) == (status, retry)
    assert error.message == word.message


def test_a_request_that_breaks_engines_is_told_what_broke() -> None:
    refusal = Refusal("a", "poison", detail="RuntimeError: CUDA error")
    error = errors.refused(refusal, Job("a", 0.0, floor=0), 6)
    assert (error.status, error.headers()["x-should-retry"]) == (500, "false")
    assert "CUDA error" in error.message


def test_an_unknown_model_is_told_the_known_ones() -> None:
    error = errors.model_not_found("dall-e-3", ["a", "a/b"])
    assert error.status == 404
    assert "a, a/b" in error.message
