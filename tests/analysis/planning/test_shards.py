"""How many dispatchers, gateways and bytes, and what dividing a stream costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.planning import shards
from analysis.planning.shards import DispatcherTimes, dispatcher_times, losses, shards_needed, split
from analysis.provenance import ROOT
from tests.analysis.planning.fleets import fleet

TIMES = DispatcherTimes(25.0, 50.0, engines=1_000, waiting=10_000, machine="a machine")


def test_a_dispatcher_decides_what_a_share_of_its_core_takes() -> None:
    assert TIMES.pictures_per_s == pytest.approx(2_500.0)  # 4 events of 25 µs in a quarter


@pytest.mark.parametrize(
    ("rate", "engines", "needed"),
    [(10, 3, 1), (2_500, 500, 1), (2_501, 500, 2), (2_000, 1_001, 2), (100_000, 20_000, 40)],
)
def test_shards_by_events_and_by_engines(rate: float, engines: int, needed: int) -> None:
    assert shards_needed(rate, engines, TIMES) == needed


def test_the_committed_measurement_is_read() -> None:
    times = dispatcher_times(ROOT / shards.DISPATCHER)
    assert times.engines == 1_000
    assert times.waiting == 10_000
    assert 0 < times.mean_us < times.p99_us


@pytest.mark.parametrize("content", ["{}", "no json", json.dumps({"timed": [], "made_by": {}})])
def test_another_file_is_no_measurement(tmp_path: Path, content: str) -> None:
    path = tmp_path / "dispatcher.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="bench-dispatcher"):
        dispatcher_times(path)


def test_dividing_a_stream_never_saves_engines(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    rows = losses(like, 400.0, 1.0, (2, 8, 32))
    assert [row["shards"] for row in rows] == [1, 2, 8, 32]
    assert rows[0]["loss"] == 0
    assert all(row["loss"] >= 0 and row["p95_s"] <= 1.0 for row in rows)
    assert rows[-1]["loss"] > rows[1]["loss"]
    assert split(like, 400.0, 1.0, 1)[0] == rows[0]["engines"]


def test_gateways_and_bytes_are_arithmetic() -> None:
    assert shards.gateways_needed(10.0) == 1
    assert shards.gateways_needed(10 * shards.PER_GATEWAY_S + 1) == 11
    assert shards.bytes_per_s_at_most(10.0, 64, 64) == pytest.approx(10 * 16_384)
