"""Answers become records; records survive their file; the summary counts every outcome once."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from loadgen.records import Answer, RequestRecord, read_answer, read_requests, summarise
from loadgen.records import write_requests as write

PICTURE = b"\x89PNG picture"


def answered(status: int = 200, index: int = 0) -> Answer:
    return Answer(index, 1.0, 1.1, 3.5, 1.2, status)


def body(**data: object) -> bytes:
    first = {"b64_json": base64.b64encode(PICTURE).decode(), "serving": {"service_ms": 5.0}} | data
    return json.dumps({"data": [first]}).encode()


def record(answer: Answer, content: bytes | None, *, want: bool = False) -> RequestRecord:
    return read_answer(answer, content, prompt="p", seed=9, want_picture=want)[0]


def test_a_good_answer_keeps_stamps_facts_and_latency_from_scheduled() -> None:
    made, picture = read_answer(answered(), body(), prompt="p", seed=9, want_picture=True)
    assert (made.latency_s, made.error, made.image) == (2.5, None, "0.png")
    assert made.serving == {"service_ms": 5.0}
    assert picture == PICTURE


def test_pictures_are_kept_only_when_wanted() -> None:
    made, picture = read_answer(answered(), body(), prompt="p", seed=9, want_picture=False)
    assert (made.image, picture, made.error) == (None, None, None)


@pytest.mark.parametrize(
    "content",
    [b"no json", b"{}", b'{"data": []}', b"[]", body(b64_json="%%%"), body(b64_json=None)],
)
def test_status_200_without_a_picture_is_an_error(content: bytes) -> None:
    assert record(answered(), content).error == "bad_answer"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"error": {"code": "queue_full", "type": "t"}}', "queue_full"),
        (b'{"error": {"code": null, "type": "server_error"}}', "server_error"),
        (b"<html>", "http_429"),
    ],
)
def test_an_error_answer_gives_the_servers_code(content: bytes, code: str) -> None:
    assert record(answered(429), content).error == code


def test_a_timeout_has_no_latency() -> None:
    made = record(Answer(4, 1.0, 1.1, error="timeout"), None)
    assert (made.latency_s, made.status, made.error) == (None, None, "timeout")


def test_records_survive_their_file_in_order_of_index(tmp_path: Path) -> None:
    made = [record(answered(index=i), body(), want=True) for i in (2, 0, 1)]
    write(tmp_path, made)
    assert read_requests(tmp_path) == [made[1], made[2], made[0]]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text('{"index": 1}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1"):
        read_requests(tmp_path)


def test_the_summary_counts_every_outcome_once() -> None:
    records = [
        record(answered(), body()),
        record(answered(429), b"{}"),
        record(answered(504), b"{}"),
        record(answered(500), b"{}"),
        record(answered(), b"broken"),
        record(Answer(5, 1.0, 1.1, error="timeout"), None),
        record(Answer(6, 1.0, error="connection"), None),
    ]
    summary = summarise(records, 3.5)
    assert summary["served"] == 1
    assert (summary["rejected"], summary["expired"], summary["timed_out"]) == (1, 1, 1)
    assert summary["failed"] == 3
    assert summary["offered_per_s"] == 2.0
    assert summary["latency_s"]["p99"] == 2.5


def test_a_summary_without_served_requests_has_no_latency() -> None:
    assert summarise([record(answered(500), b"{}")], 1.0)["latency_s"]["mean"] is None
