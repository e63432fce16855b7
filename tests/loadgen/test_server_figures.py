"""A server's own figures beside a run: what is kept, what is left out, what is missed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadgen import server_figures
from loadgen.server_figures import NotOffered, ServerFigures, pictures_in

SHORT_S = 0.005
RUNG = {"waiting": 2, "running": 1, "rung": 3, "counters": {"admitted": 4}, "model": "shapes"}


def engines(pictures: int) -> dict[str, Any]:
    """Each call decoded two of them."""
    decode = [["full", 64, 64, 2, pictures // 2, 0.1, 0.01]]
    return {"one": {"pool": "main", "sums": {"decode": decode, "step": []}}}


class Server:
    """Answers each path with what stands in ``pages``; a number is a status without content.

    ``enough`` is set when the costs have been asked for so many times.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {"/v1/costs": engines(6), "/v1/status": RUNG}
        self.asked: list[str] = []
        self.enough = threading.Event()
        self.enough_at = 4
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content = outer.answer(self.path)
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *words: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.asked.count("/v1/costs") >= self.enough_at:
            self.enough.set()
        page = self.pages.get(path, 404)
        if callable(page):
            page = page(self.asked.count(path))
        if isinstance(page, int):
            return page, b"gone"
        return 200, page if isinstance(page, bytes) else json.dumps(page).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.http.serve_forever, args=(0.01,))
    thread.start()
    yield one
    one.http.shutdown()
    thread.join()
    one.http.server_close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_both_are_kept_as_they_are_told(server: Server, tmp_path: Path) -> None:
    with ServerFigures(server.url, tmp_path, SHORT_S):
        assert server.enough.wait(10)
    first, *others = lines(tmp_path / "costs.jsonl")
    assert first["engines"] == engines(6)
    assert [one["unix_s"] for one in others] == sorted(one["unix_s"] for one in others)
    state = lines(tmp_path / "status.jsonl")[0]
    assert state["answer_s"] >= 0
    kept = {name: state[name] for name in ("waiting", "running", "rung", "counters")}
    assert kept == {name: RUNG[name] for name in kept}
    assert "model" not in state


@pytest.mark.parametrize("page", [404, 405, {}, [], b"<html>", {"one": 1}, {"a": {"sums": {}}}])
def test_of_another_server_nothing_is_kept_and_nothing_is_wrong(
    server: Server, tmp_path: Path, page: Any
) -> None:
    server.pages = {"/v1/costs": page, "/v1/status": page}
    with ServerFigures(server.url, tmp_path, SHORT_S) as figures:
        pass
    assert figures.settle(0.0, 5) is None
    assert not list(tmp_path.iterdir())
    assert server.asked == ["/v1/costs", "/v1/status"]


def test_a_question_that_fails_in_between_is_left_out(server: Server, tmp_path: Path) -> None:
    server.pages["/v1/costs"] = lambda time: 503 if time in (2, 3) else engines(6)
    server.enough_at = 6
    with ServerFigures(server.url, tmp_path, SHORT_S) as figures:
        assert server.enough.wait(10)
    assert figures.settle(1e12, 0) is None
    asked = server.asked.count("/v1/costs")
    assert asked >= 6
    kept = lines(tmp_path / "costs.jsonl")
    assert 1 < len(kept) <= asked - 2


def test_the_last_snapshot_holds_all_that_the_run_was_served(
    server: Server, tmp_path: Path
) -> None:
    # The first answer misses a picture of before; the run's own eight are counted one call late.
    told = {1: 4, 2: 6}
    server.pages["/v1/costs"] = lambda time: engines(told.get(time, 6 if time < 5 else 14))
    server.enough_at = 2
    with ServerFigures(server.url, tmp_path, 3600.0) as figures:
        figures._ask_costs()
    started_s = lines(tmp_path / "costs.jsonl")[-1]["unix_s"]
    assert figures.settle(started_s, 8) is None
    kept = [pictures_in(line["engines"]) for line in lines(tmp_path / "costs.jsonl")]
    assert kept == [6, 6, 6, 14]


def test_pictures_that_are_never_counted_are_told_and_the_run_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_figures, "SETTLE_PATIENCE_S", 0.0)
    with ServerFigures(server.url, tmp_path, SHORT_S) as figures:
        pass
    problem = figures.settle(1e12, 2)
    assert problem == ("the server's costs are incomplete: it counts 0 pictures and 2 were served")
    assert lines(tmp_path / "costs.jsonl")


def test_costs_that_were_not_told_before_the_run_are_incomplete(
    server: Server, tmp_path: Path
) -> None:
    server.pages["/v1/costs"] = lambda time: 500 if time == 1 else engines(6)
    with ServerFigures(server.url, tmp_path, SHORT_S) as figures:
        assert server.enough.wait(10)
    problem = figures.settle(1.0, 2)
    assert problem is not None
    assert "before the run" in problem


def test_a_server_that_ceases_to_tell_is_told(server: Server, tmp_path: Path) -> None:
    server.pages["/v1/costs"] = lambda time: engines(6) if time == 1 else 404
    with ServerFigures(server.url, tmp_path, 3600.0) as figures:
        pass
    problem = figures.settle(1e12, 2)
    assert problem is not None
    assert "ceased" in problem


def test_pictures_are_counted_over_calls_and_engines() -> None:
    both = {"a": engines(6)["one"], "b": engines(4)["one"]}
    assert pictures_in(both) == 10
    with pytest.raises(NotOffered):
        pictures_in({"a": {"pool": "main"}})
