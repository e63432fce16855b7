"""Sums of engines' work over HTTP, and windows between them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.faults import MeasurementError
from analysis.sim_check import sums
from analysis.sim_check.sums import (
    Window,
    added,
    ask_sums,
    between,
    polled_sums,
    preferring,
    read_window,
)
from pipelines.service_costs import CostSums, Sums
from pipelines.service_table import CALLS_MIN

KEY = ("full", 64, 64, 4, 4)
OFTEN = 2 * CALLS_MIN


def stepped(calls: int, mean_s: float) -> CostSums:
    return CostSums(step={KEY: Sums(calls, calls * mean_s, calls * mean_s**2)})


def answering(monkeypatch: pytest.MonkeyPatch, content: object) -> None:
    def urlopen(url: str, timeout: float) -> io.BytesIO:
        assert url == "http://there/v1/costs"
        return io.BytesIO(json.dumps(content).encode())

    monkeypatch.setattr(sums.urllib.request, "urlopen", urlopen)


def test_engines_of_one_pool_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = {"pool": "main", "sums": stepped(3, 0.5).to_plain()}
    other = {"pool": "spare", "sums": stepped(1, 0.5).to_plain()}
    answering(monkeypatch, {"a": engine, "b": engine, "c": other})
    found = ask_sums("http://there")
    assert found["main"].step[KEY] == (6, 3.0, 1.5)
    assert found["spare"].step[KEY].calls == 1


@pytest.mark.parametrize("content", [["nothing"], {"a": 3}, {"a": {"pool": "main", "sums": {}}}])
def test_a_server_that_tells_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    answering(monkeypatch, content)
    with pytest.raises(MeasurementError, match="does not tell what its work costs"):
        ask_sums("http://there")


def test_a_window_has_parts_that_make_up_the_whole() -> None:
    snapshots = [(10.0, {"main": stepped(1, 1.0)}), (11.0, {"main": stepped(3, 1.0)})]
    window = Window((*snapshots, (12.0, {"main": stepped(6, 1.0)})))
    assert window.whole["main"].step[KEY].calls == 5
    assert [(at_s, p["main"].step[KEY].calls) for at_s, p in window.parts] == [(10.0, 2), (11.0, 3)]


def test_what_changes_from_part_to_part_is_no_spread_of_a_steady_engine() -> None:
    slow_later = stepped(4, 1.0).plus(stepped(4, 2.0))
    snapshots = [{"main": CostSums()}, {"main": stepped(4, 1.0)}, {"main": slow_later}]
    window = Window(tuple((float(k), one) for k, one in enumerate(snapshots)))
    assert window.whole["main"].step[KEY].measurement().p90_s > 1.5
    steady = window.steady["main"].step[KEY]
    assert (steady.calls, steady.mean_s) == (8, 1.5)
    assert steady.measurement().p90_s == pytest.approx(1.5)


def test_a_run_s_own_costs_are_preferred_where_it_has_seen_enough() -> None:
    others = {"main": stepped(OFTEN, 2.0)}
    assert preferring({"main": stepped(OFTEN, 1.0)}, others)["main"].step[KEY].mean_s == 1.0
    helped = preferring({"main": stepped(1, 1.0)}, others)["main"].step[KEY]
    assert helped.calls == OFTEN + 1
    missing = preferring({"main": CostSums()}, others)["main"].step[KEY]
    assert missing == others["main"].step[KEY]


def test_pools_that_only_one_side_knows_are_kept() -> None:
    one, other = {"main": stepped(1, 1.0)}, {"spare": stepped(2, 1.0)}
    assert added(one, other) == {**one, **other}
    assert between(one, {**one, **other})["spare"] == other["spare"]


def test_snapshots_frame_the_block_and_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([stepped(1, 0.5), stepped(5, 0.5)])
    monkeypatch.setattr(sums, "ask_sums", lambda url: {"main": next(told)})
    path = tmp_path / "costs.jsonl"
    with polled_sums("http://there", path):
        pass
    assert read_window(path).whole["main"].step[KEY].calls == 4


def test_files_without_two_snapshots_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.jsonl"
    with pytest.raises(MeasurementError, match="cannot be used"):
        read_window(path)
    path.write_text(json.dumps({"unix_s": 1.0, "pools": {}}) + "\n")
    with pytest.raises(MeasurementError, match="from before and after"):
        read_window(path)
