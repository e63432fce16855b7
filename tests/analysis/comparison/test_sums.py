"""Sums of engines' work as they were kept, and windows between them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.comparison.sums import (
    Window,
    added,
    between,
    preferring,
    read_window,
    sums_from,
    tables_of,
)
from analysis.runs import DataError
from pipelines.service_costs import CostSums, Sums
from pipelines.service_table import CALLS_MIN
from tests.analysis.comparison.synthetic_runs import POOL, counted
from tests.analysis.synthetic_demo import BATCH, cost_table, settings

KEY = ("full", 64, 64, 4, 4)
OFTEN = 2 * CALLS_MIN
VARIANTS = ("full", "turbo")


def stepped(calls: int, mean_s: float) -> CostSums:
    return CostSums(step={KEY: Sums(calls, calls * mean_s, calls * mean_s**2)})


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


def line(unix_s: float, *engines: dict[str, object]) -> str:
    named = {f"engine-{number}": one for number, one in enumerate(engines)}
    return json.dumps({"unix_s": unix_s, "engines": named}) + "\n"


def engine(pool: str, sums: CostSums) -> dict[str, object]:
    return {"pool": pool, "sums": sums.to_plain()}


def test_engines_of_one_pool_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "costs.jsonl"
    one, spare = engine("main", stepped(3, 0.5)), engine("spare", stepped(1, 0.5))
    path.write_text(line(10.0) + line(11.0, one, one, spare))
    whole = read_window(path).whole
    assert whole["main"].step[KEY] == (6, 3.0, 1.5)
    assert whole["spare"].step[KEY].calls == 1


def test_a_run_without_the_file_has_an_empty_window(tmp_path: Path) -> None:
    window = read_window(tmp_path / "costs.jsonl")
    assert not window.known
    assert (window.whole, window.steady, window.parts) == ({}, {}, [])


@pytest.mark.parametrize(
    "text", ["nothing", '{"unix_s": 1.0, "pools": {}}', '{"unix_s": 1, "engines": {"a": 3}}']
)
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "costs.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(DataError, match="cannot be used"):
        read_window(path)


def test_one_snapshot_is_not_enough(tmp_path: Path) -> None:
    path = tmp_path / "costs.jsonl"
    path.write_text(line(1.0, engine("main", stepped(1, 1.0))))
    with pytest.raises(DataError, match="from before and after"):
        read_window(path)


def test_a_profiled_table_comes_back_from_the_sums_made_of_it(tmp_path: Path) -> None:
    table = cost_table()
    server = settings(tmp_path, "controlled")
    (again,) = tables_of(server, sums_from(table, server)).values()
    for variant in ("full", "turbo"):
        assert again.encode_s(variant) == pytest.approx(table.encode_s(variant))
        for batch in range(1, BATCH + 1):
            assert again.step_s(variant, batch) == pytest.approx(table.step_s(variant, batch))
            assert again.decode_s(variant, batch) == pytest.approx(table.decode_s(variant, batch))


def test_a_table_without_a_variant_of_the_server_is_refused(tmp_path: Path) -> None:
    table = cost_table()
    lacking = replace(table, variants={"full": table.variants["full"]})
    with pytest.raises(ValueError, match="no variant 'turbo'"):
        sums_from(lacking, settings(tmp_path, "controlled"))


def test_a_variant_that_made_no_picture_is_told(tmp_path: Path) -> None:
    full_only = replace(cost_table(), variants={"full": cost_table().variants["full"]})
    with pytest.raises(ValueError, match="no picture of variant 'turbo'"):
        tables_of(settings(tmp_path, "controlled"), {POOL: counted(full_only)})


def test_a_static_server_needs_costs_of_the_best_variant_only(tmp_path: Path) -> None:
    full, turbo = (replace(cost_table(), variants={n: cost_table().variants[n]}) for n in VARIANTS)
    server = settings(tmp_path, "static")
    (table,) = tables_of(server, {POOL: counted(full)}).values()
    assert set(table.variants) == set(VARIANTS)
    with pytest.raises(ValueError, match="no picture of variant 'full'"):
        tables_of(server, {POOL: counted(turbo)})
