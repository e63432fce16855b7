"""One line per request, and the files of a run's folder.

All times are seconds after the run's start. Latency counts from the *scheduled* instant, so a late
generator or a stalled server cannot hide waiting (the idea of MLPerf LoadGen).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

REQUESTS_FILE = "requests.jsonl"
RUN_FILE = "run.json"
PICTURES_FOLDER = "pictures"

# Errors that arose at the generator; everything else is the server's own code or http_<status>.
TIMEOUT = "timeout"
INTERRUPTED = "interrupted"
NOT_SENT = "not_sent"
CONNECTION = "connection"
BAD_ANSWER = "bad_answer"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What happened to one request; ``None`` where it did not get that far."""

    index: int
    prompt: str
    seed: int
    scheduled_s: float
    sent_s: float | None
    received_s: float | None
    answered_s: float | None
    latency_s: float | None
    status: int | None
    error: str | None
    image: str | None
    serving: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """The record as one JSON object, times rounded to microseconds."""
        fields = asdict(self)
        for name in ("scheduled_s", "sent_s", "received_s", "answered_s", "latency_s"):
            value = fields[name]
            fields[name] = None if value is None else round(value, 6)
        return fields


@dataclass(frozen=True, slots=True)
class Answer:
    """The stamps that the generator took for one request; ``error`` only for its own errors."""

    index: int
    scheduled_s: float
    sent_s: float | None = None
    answered_s: float | None = None
    received_s: float | None = None
    status: int | None = None
    error: str | None = None


def picture_name(index: int) -> str:
    """File name of request ``index``'s picture."""
    return f"{index}.png"


def _first_picture(body: Any) -> dict[str, Any]:
    data = body.get("data") if isinstance(body, dict) else None
    first = data[0] if isinstance(data, list) and data else None
    return first if isinstance(first, dict) else {}


def _error_code(body: Any, status: int) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        for name in ("code", "type"):
            if isinstance(error.get(name), str) and error[name]:
                return str(error[name])
    return f"http_{status}"


def read_answer(
    answer: Answer, body: bytes | None, *, prompt: str, seed: int, want_picture: bool
) -> tuple[RequestRecord, bytes | None]:
    """The record of one answer, and the picture's bytes if wanted and there.

    An answer with status 200 and no readable picture is an error (``bad_answer``), not a success.
    """
    parsed: Any = None
    if body is not None:
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = None
    first = _first_picture(parsed)
    error, picture = answer.error, None
    if error is None and answer.status is not None:
        if answer.status != 200:
            error = _error_code(parsed, answer.status)
        else:
            try:
                picture = base64.b64decode(first.get("b64_json") or b"", validate=True)
            except (binascii.Error, TypeError, ValueError):
                picture = b""
            error = None if picture else BAD_ANSWER
    kept = picture if want_picture and error is None and picture else None
    serving = first.get("serving")
    latency_s = None if answer.answered_s is None else answer.answered_s - answer.scheduled_s
    record = RequestRecord(
        index=answer.index,
        prompt=prompt,
        seed=seed,
        scheduled_s=answer.scheduled_s,
        sent_s=answer.sent_s,
        received_s=answer.received_s,
        answered_s=answer.answered_s,
        latency_s=latency_s,
        status=answer.status,
        error=error,
        image=picture_name(answer.index) if kept else None,
        serving=serving if isinstance(serving, dict) else None,
    )
    return record, kept


def write_requests(folder: Path, records: Iterable[RequestRecord]) -> None:
    """Writes requests.jsonl, in the order of the requests' index."""
    ordered = sorted(records, key=lambda record: record.index)
    lines = (json.dumps(record.as_dict(), ensure_ascii=False) + "\n" for record in ordered)
    (folder / REQUESTS_FILE).write_text("".join(lines), encoding="utf-8")


def read_requests(folder: Path) -> list[RequestRecord]:
    """Reads requests.jsonl. Raises ValueError naming the line at fault, OSError when unreadable."""
    path = folder / REQUESTS_FILE
    records: list[RequestRecord] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(RequestRecord(**json.loads(line)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} line {number} is no request record ({error}).") from error
    return records


def summarise(records: Sequence[RequestRecord], duration_s: float) -> dict[str, Any]:
    """Counts and latency of the answered requests (status 200), in seconds from scheduled.

    ``failed`` holds every other outcome: HTTP errors other than 429 and 504, connection errors.
    """
    served = [r for r in records if r.status == 200 and r.error is None]
    latencies = np.array([r.latency_s for r in served if r.latency_s is not None], dtype=np.float64)
    rejected = sum(r.status == 429 for r in records)
    expired = sum(r.status == 504 for r in records)
    timed_out = sum(r.error == TIMEOUT for r in records)
    latency: dict[str, float | None] = dict.fromkeys(("mean", "p50", "p95", "p99", "max"))
    if len(latencies):
        p50, p95, p99 = (float(v) for v in np.percentile(latencies, (50, 95, 99)))
        latency = {
            "mean": float(latencies.mean()),
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "max": float(latencies.max()),
        }
    return {
        "requests": len(records),
        "offered_per_s": len(records) / duration_s,
        "served": len(served),
        "rejected": rejected,
        "expired": expired,
        "timed_out": timed_out,
        "failed": len(records) - len(served) - rejected - expired - timed_out,
        "latency_s": {k: None if v is None else round(v, 6) for k, v in latency.items()},
    }
