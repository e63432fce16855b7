"""The cost table: what it answers, round trip, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.costs import CostTable, Measurement, VariantCosts, load_tables, save_tables

ROOT = Path(__file__).resolve().parents[2]
exactly = Measurement.exactly


def table(**variants: VariantCosts) -> CostTable:
    return CostTable(
        machine="two small cores",
        threads=2,
        dtype="float32",
        commit="abc123",
        width=64,
        height=64,
        variants=variants or {"full": sparse()},
        versions={"torch": "2"},
        command="python -m pipelines profile",
        seed=3,
    )


def sparse() -> VariantCosts:
    """Two batches: too few for a form."""
    return VariantCosts.measured(
        encode_s=Measurement(0.004, 0.003, 0.005, 9),
        step_s={
            1: Measurement(0.010, 0.009, 0.012, 30),
            4: Measurement(0.040, 0.038, 0.050, 30),
        },
        decode_s={1: exactly(0.02), 4: exactly(0.05)},
    )


def guided(step_s: Callable[[int], float], batches: tuple[int, ...] = (1, 2, 4, 8)) -> VariantCosts:
    """A variant with guidance whose step takes `step_s` of its rows."""
    return VariantCosts.measured(
        encode_s=exactly(0.004),
        step_s={b: exactly(step_s(2 * b)) for b in batches},
        decode_s={b: exactly(0.01 * b) for b in batches},
        unguided_step_s={b: exactly(step_s(b)) for b in batches},
        rows_per_job=2,
    )


def line(rows: int) -> float:
    return 0.010 + 0.002 * rows


def stairs(rows: int) -> float:
    """No form of ours."""
    return {1: 0.01, 2: 0.05, 4: 0.051, 8: 0.3, 16: 0.31}[rows]


def test_a_measured_batch_gives_its_median() -> None:
    assert table().step_s("full", 4) == 0.040


def test_between_two_batches_without_a_form_lies_the_straight_line() -> None:
    assert table().step_s("full", 2) == pytest.approx(0.020)
    assert table().decode_s("full", 3) == pytest.approx(0.04)


def test_between_measured_batches_the_form_answers() -> None:
    bent = table(full=guided(lambda rows: 0.004 + 0.002 * rows**1.5))
    assert bent.step_s("full", 6) == pytest.approx(0.004 + 0.002 * 12**1.5, rel=0.01)


def test_mixed_batches_are_costed_by_their_rows() -> None:
    costs = table(full=guided(line))
    assert costs.step_s("full", 4) == costs.step_s("full", 4, guided=4) == line(8)
    assert costs.step_s("full", 4, guided=0) == line(4)
    assert costs.step_s("full", 4, guided=1) == pytest.approx(line(5))
    assert costs.step_s("full", 3, guided=2) == pytest.approx(line(5))


def test_a_form_that_failed_its_check_leaves_the_straight_line() -> None:
    costs = table(full=guided(stairs))
    assert costs.step_s("full", 6) == pytest.approx((0.3 + 0.31) / 2)
    assert costs.step_s("full", 4, guided=1) == pytest.approx(0.051 + (0.3 - 0.051) / 4)
    with pytest.raises(ValueError, match=r"off by up to .*%.*profile again"):
        costs.step_s("full", 12)


def test_a_checked_form_reaches_twice_as_far_as_the_batches() -> None:
    costs = table(full=guided(line))
    assert costs.step_s("full", 16) == pytest.approx(line(32))
    with pytest.raises(ValueError, match="measured for 1 to 8 jobs, not 17"):
        costs.step_s("full", 17)


def test_a_variant_of_one_row_a_job_ignores_who_is_guided() -> None:
    assert table().step_s("full", 4, guided=2) == table().step_s("full", 4, guided=0) == 0.040


def test_guidance_that_was_not_taken_away_when_profiling_cannot_be_costed_away() -> None:
    only_guided = replace(guided(line), unguided_step_s={})
    assert table(full=only_guided).step_s("full", 3) == pytest.approx(line(6))
    with pytest.raises(ValueError, match="with guidance only; profile again"):
        table(full=only_guided).step_s("full", 4, guided=2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1e-4, 1.0), min_size=8, max_size=8).map(sorted),
    st.integers(1, 8),
    st.data(),
)
def test_more_jobs_and_more_guidance_never_take_less_time(
    rising: list[float], batch: int, data: st.DataObject
) -> None:
    """Whatever rising medians were measured, with any form that fits them or none."""
    low, high = rising[::2], rising[1::2]
    batches = (1, 2, 4, 8)
    costs = VariantCosts.measured(
        exactly(0.0),
        {b: exactly(t) for b, t in zip(batches, high, strict=True)},
        {b: exactly(0.0) for b in batches},
        {b: exactly(t) for b, t in zip(batches, low, strict=True)},
        rows_per_job=2,
    )
    full = table(full=costs)
    times = [full.step_s("full", b) for b in range(1, 9)]
    assert times == sorted(times)
    by_guidance = [full.step_s("full", batch, g) for g in range(batch + 1)]
    assert by_guidance == sorted(by_guidance)
    fewer = data.draw(st.integers(0, batch))
    assert full.step_s("full", batch, fewer) <= full.step_s("full", batch)


@pytest.mark.parametrize("batch", [0, 5])
def test_a_batch_outside_the_measured_ones_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="measured for 1 to 4 jobs"):
        table().step_s("full", batch)


@pytest.mark.parametrize("everyone", [-1, 3])
def test_more_guided_jobs_than_jobs_are_refused(everyone: int) -> None:
    with pytest.raises(ValueError, match="cannot be guided"):
        table(full=guided(line)).step_s("full", 2, everyone)
    with pytest.raises(ValueError, match="cannot be guided"):
        table(full=guided(line)).service_s("full", 2, guided_steps=everyone)


def test_an_unknown_variant_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no variant 'huge', only full"):
        table().encode_s("huge")


def test_service_time_shares_steps_and_decoding_over_the_batch() -> None:
    assert table().service_s("full", steps=10) == pytest.approx(0.004 + 0.1 + 0.02)
    assert table().service_s("full", steps=10, batch=4) == pytest.approx(0.004 + 0.45 / 4)


def test_steps_without_guidance_shorten_the_service() -> None:
    costs = table(full=guided(line))
    expected = 0.004 + 6 * line(2) + 4 * line(1) + 0.01
    assert costs.service_s("full", steps=10, guided_steps=6) == pytest.approx(expected)


def test_a_saved_table_loads_equal(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    written = table(full=guided(line), turbo=sparse())
    written.save(path)
    assert CostTable.load(path) == written
    assert written.max_batch("turbo") == 4


def several() -> list[CostTable]:
    one = table()
    return [one, replace(one, threads=1), replace(one, threads=1, dtype="bfloat16")]


def test_the_table_of_a_setting_is_found_among_several(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    save_tables(several(), path)
    assert list(load_tables(path)) == several()
    assert CostTable.load(path, threads=2) == several()[0]
    assert CostTable.load(path, dtype="bfloat16", device="cpu") == several()[2]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "has 3 tables for no setting named"),
        ({"threads": 1}, "has 2 tables for threads 1"),
        ({"width": 8, "height": 8}, "has no tables for width 8, height 8"),
    ],
)
def test_a_choice_that_is_not_clear_lists_what_there_is(
    tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    save_tables(several(), tmp_path / "costs.json")
    with pytest.raises(ValueError, match=said) as refused:
        CostTable.load(tmp_path / "costs.json", **asked)
    assert "64x64 float32 on cpu with 2 threads; 64x64 float32 on cpu with 1 thread;" in str(
        refused.value
    )


def test_tables_of_two_measurements_are_not_saved_together(tmp_path: Path) -> None:
    apart = [table(), replace(table(), threads=1, commit="def456")]
    for tables, said in ((apart, "one measurement"), ([], "at least one")):
        with pytest.raises(ValueError, match=said):
            save_tables(tables, tmp_path / "costs.json")
    with pytest.raises(ValueError, match="one for each setting"):
        save_tables([table(), table()], tmp_path / "costs.json")


def test_a_missing_file_says_how_to_measure_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="python -m pipelines profile"):
        CostTable.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "version 99"),
        ({"surprise": 1}, "surprise"),
        ({"tables": []}, "no table"),
        ({"tables": [{"variants": {}}]}, "width"),
        ({"tables": 3}, "not iterable"),
    ],
)
def test_a_file_with_a_wrong_field_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "costs.json"
    table().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said):
        CostTable.load(path)


def test_text_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        CostTable.load(path)


@pytest.mark.parametrize("times", [(1.0, 2.0, 3.0), (float("nan"), 1.0, 1.0), (-1.0, -1.0, -1.0)])
def test_impossible_times_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"finite|rise"):
        Measurement(*times, repetitions=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"step_s": {}},
        {"rows_per_job": 3},
        {"rows_per_job": 1},
        {"unguided_step_s": {0: exactly(1)}},
    ],
)
def test_costs_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|needs|must be|one row a job"):
        replace(guided(line), **wrong)


def test_the_committed_tables_can_be_read() -> None:
    found = [
        *ROOT.glob("analysis/results/*/costs.json"),
        *ROOT.glob("analysis/benchmarks/*costs.json"),
    ]
    assert found
    for path in found:
        assert all(costs.variants for costs in load_tables(path))


def test_costs_import_no_torch() -> None:
    code = "import sys, pipelines.costs; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
