"""Errors in the form of the OpenAI API: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from policies.nouns import Job
from serve.messages import Failed, Refusal

TYPE_INVALID = "invalid_request_error"
TYPE_RATE = "rate_limit_error"
TYPE_SERVER = "server_error"


class ApiError(Exception):
    """One answer to a client that is not a picture.

    `status` is the HTTP status, `retry_after_s` becomes the `Retry-After` header (whole seconds,
    at least one). The official client retries 408, 409, 429 and 5xx by itself; `may_retry` tells it
    to, or not to where a retry would only feed an overload or meet the same fate.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type_: str = TYPE_INVALID,
        retry_after_s: float | None = None,
        may_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type_
        self.retry_after_s = retry_after_s
        self.may_retry = may_retry

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def headers(self) -> dict[str, str]:
        """The headers that belong to this answer."""
        headers: dict[str, str] = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.may_retry is not None:
            headers["x-should-retry"] = str(self.may_retry).lower()
        return headers


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request itself must change."""
    return ApiError(400, message, code=code, param=param)


def queue_full(retry_after_s: float | None, max_waiting: int) -> ApiError:
    """429: as many jobs wait as may wait."""
    message = f"Too many pictures are waiting already (at most {max_waiting}); try again later."
    return _too_many(message, "queue_full", retry_after_s)


def tenant_full(retry_after_s: float | None, tenant_max: int) -> ApiError:
    """429: one tenant has as many jobs waiting and running as it may have."""
    message = (
        f"Too many pictures of this 'user' are being made or waiting already (at most {tenant_max});"
        " try again when one is done."
    )
    return _too_many(message, "tenant_full", retry_after_s, param="user")


def _too_many(
    message: str, code: str, retry_after_s: float | None, param: str | None = None
) -> ApiError:
    return ApiError(
        429,
        message,
        code=code,
        param=param,
        type_=TYPE_RATE,
        retry_after_s=1.0 if retry_after_s is None else retry_after_s,
        may_retry=False,
    )


def deadline_passed(deadline_s: float) -> ApiError:
    """504: the job's deadline passed while it waited; it never ran."""
    message = (
        f"The deadline of {deadline_s:g} s passed while the picture was waiting; it was not made."
        " Send a longer deadline_s, or none."
    )
    return _too_late(message, "deadline_exceeded")


def deadline_hopeless(deadline_s: float) -> ApiError:
    """504 before the deadline: the job could not meet it even at its floor."""
    message = (
        f"The deadline of {deadline_s:g} s cannot be met any more, not even at the lowest quality"
        " that the request accepts; it was not made. Send a longer deadline_s or a lower quality."
    )
    return _too_late(message, "deadline_hopeless")


def _too_late(message: str, code: str) -> ApiError:
    return ApiError(504, message, code=code, param="deadline_s", type_=TYPE_SERVER, may_retry=False)


def refused(
    refusal: Refusal, job: Job, max_waiting: int, tenant_max: int | None = None
) -> ApiError:
    """What a refusal of the dispatcher's becomes. RuntimeError if it has no reason that is known."""
    in_s = 0.0 if job.deadline_s is None else job.deadline_s - job.arrival_s
    match refusal.reason:
        case "queue_full":
            return queue_full(refusal.retry_after_s, max_waiting)
        case "tenant_full" if tenant_max is not None:
            return tenant_full(refusal.retry_after_s, tenant_max)
        case "hopeless" if job.deadline_s is not None:
            return deadline_hopeless(in_s)
        case "expired" if job.deadline_s is not None:
            return deadline_passed(in_s)
        case "no_rung":
            return bad_request(
                "No rung of the ladder can serve this request; ask for another model or quality."
            )
        case "poison":
            return picture_failed(f"This request broke two engines by itself: {refusal.detail}.")
    raise RuntimeError(f"job {job.job_id} was refused as {refusal.reason!r}: no such reason")


def failed(word: Failed) -> ApiError:
    """What a picture that an engine could not make becomes."""
    if word.param is not None:
        return bad_request(word.message, param=word.param, code="invalid_value")
    if word.kind == "out_of_memory":
        return unavailable(word.message, code="out_of_memory")
    return picture_failed(word.message)


def picture_failed(message: str) -> ApiError:
    """500: the picture could not be made; the same request would fail again."""
    return ApiError(500, message, code="picture_failed", type_=TYPE_SERVER, may_retry=False)


def unavailable(message: str, code: str = "unavailable") -> ApiError:
    """503: the request cannot be served now, and may be later."""
    return ApiError(503, message, code=code, type_=TYPE_SERVER, retry_after_s=1.0, may_retry=True)


def model_not_found(model: str, known: Sequence[str], *, status: int = 404) -> ApiError:
    """404 for a GET of a model, 400 where a generation names it."""
    message = f"The model {model!r} does not exist here; use one of: {', '.join(known)}."
    return ApiError(status, message, code="model_not_found", param="model")


def from_validation(error: ValidationError) -> ApiError:
    """The first fault that pydantic found, as one sentence that names the parameter."""
    fault = error.errors(include_url=False)[0]
    if fault["type"] == "json_invalid":
        message = "The body could not be read as JSON; send one JSON object."
        return bad_request(message, code="invalid_json")
    if fault["type"] == "value_error":
        param = str(fault["loc"][0]) if fault["loc"] else None
        return bad_request(str(fault["ctx"]["error"]), param=param, code="invalid_value")
    if not fault["loc"]:
        return bad_request("The body must be one JSON object.", code="invalid_json")
    param = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        message = f"Unknown parameter: {param!r}; leave it out."
        return bad_request(message, param=param, code="unknown_parameter")
    if fault["type"] == "missing":
        message = f"Missing required parameter: {param!r}."
        return bad_request(message, param=param, code="missing_required_parameter")
    return bad_request(_sentence(param, fault), param=param, code="invalid_value")


def _sentence(param: str, fault: Mapping[str, Any]) -> str:
    """Pydantic's message in our words: which parameter, and what it must be."""
    context = fault.get("ctx", {})
    kind = str(fault["type"])
    bounds = {
        "greater_than": ("greater than", "gt"),
        "greater_than_equal": ("at least", "ge"),
        "less_than": ("less than", "lt"),
        "less_than_equal": ("at most", "le"),
    }
    if kind == "literal_error":
        return f"Invalid value for {param!r}: it must be one of {context['expected']}."
    if kind in bounds:
        words, key = bounds[kind]
        return f"Invalid value for {param!r}: it must be {words} {context[key]}."
    told = str(fault["msg"]).removeprefix("Input ").rstrip(".")
    return f"Invalid value for {param!r}: it {told}."
