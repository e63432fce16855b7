"""One exchange: a connection each, the stamp after it stands, clear words when there is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from loadgen.exchange import post, resolve, server_problem


def test_a_post_brings_status_receive_stamp_and_body(start_stub: Callable[..., str]) -> None:
    target = resolve(start_stub(service_s=0.0))
    sent: list[bool] = []
    request = target.request_bytes(json.dumps({"prompt": "p", "seed": 3}).encode())
    reply = post(target, request, lambda: sent.append(True))
    assert reply.status == 200
    assert reply.received_unix is not None
    assert reply.received_unix > 1.6e9
    assert json.loads(reply.body)["data"][0]["serving"]["seed"] == 3
    assert sent == [True]


def test_a_request_is_one_block_with_host_and_prefix(start_stub: Callable[..., str]) -> None:
    url = start_stub()
    head, _, body = resolve(url + "/base").request_bytes(b"{}").partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/v1/images/generations HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Content-Length: 2" in head
    assert body == b"{}"


def test_nothing_is_stamped_as_sent_when_there_is_no_connection() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        target = resolve(f"http://127.0.0.1:{port}")
    sent: list[bool] = []
    with pytest.raises(OSError, match="refused"):
        post(target, b"", lambda: sent.append(True))
    assert sent == []
    with pytest.raises(OSError, match="refused"):
        resolve(f"http://127.0.0.1:{port}")
    told = server_problem(f"http://127.0.0.1:{port}")
    assert told is not None
    assert "no server answers" in told


def test_a_ready_server_is_no_problem(start_stub: Callable[..., str]) -> None:
    assert server_problem(start_stub()) is None
