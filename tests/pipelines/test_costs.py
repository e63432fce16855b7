"""The cost table: interpolation, round trip, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.costs import CostTable, Measurement, VariantCosts


def table() -> CostTable:
    return CostTable(
        machine="two small cores",
        threads=2,
        dtype="float32",
        commit="abc123",
        width=64,
        height=64,
        variants={
            "full": VariantCosts(
                encode_s=Measurement(0.004, 0.003, 0.005, 9),
                step_s={
                    1: Measurement(0.010, 0.009, 0.012, 30),
                    4: Measurement(0.040, 0.038, 0.050, 30),
                },
                decode_s={1: Measurement.exactly(0.02), 4: Measurement.exactly(0.05)},
            )
        },
    )


def test_a_measured_batch_gives_its_median() -> None:
    assert table().step_s("full", 4) == 0.040


def test_a_batch_between_two_measured_ones_lies_on_the_line_between_them() -> None:
    assert table().step_s("full", 2) == pytest.approx(0.020)
    assert table().decode_s("full", 3) == pytest.approx(0.04)


@pytest.mark.parametrize("batch", [0, 5])
def test_a_batch_outside_the_measured_ones_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="measured for 1 to 4 jobs"):
        table().step_s("full", batch)


def test_an_unknown_variant_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no variant 'huge', only full"):
        table().encode_s("huge")


def test_service_time_shares_steps_and_decoding_over_the_batch() -> None:
    assert table().service_s("full", steps=10) == pytest.approx(0.004 + 0.1 + 0.02)
    assert table().service_s("full", steps=10, batch=4) == pytest.approx(0.004 + 0.45 / 4)


def test_a_saved_table_loads_equal(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    table().save(path)
    assert CostTable.load(path) == table()
    assert table().max_batch("full") == 4


def test_a_missing_file_says_how_to_measure_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="python -m pipelines profile"):
        CostTable.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "version 99"),
        ({"surprise": 1}, "surprise"),
        ({"variants": {"full": {}}}, "encode_s"),
        ({"variants": 3}, "items"),
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


def test_costs_import_no_torch() -> None:
    code = "import sys, pipelines.costs; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
