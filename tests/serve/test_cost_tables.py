"""A pool's cost table fits what the pool runs, or the configuration says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.costs import CostTable, Measurement, VariantCosts, save_tables
from serve.config import DEFAULT_CONFIG, Config, ConfigError, parse_config

BATCHES = (1, 2, 4)


def variant(*, guided: bool = True, cut: bool = True) -> VariantCosts:
    by_batch = {batch: Measurement.exactly(0.01 * batch) for batch in BATCHES}
    return VariantCosts(
        Measurement.exactly(0.003),
        by_batch,
        by_batch,
        by_batch if guided and cut else {},
        rows_per_job=2 if guided else 1,
    )


TABLE = CostTable(
    machine="a machine",
    threads=1,
    dtype="float32",
    commit="abc1234",
    width=64,
    height=64,
    variants={"full": variant(), "small": variant(), "turbo": variant(guided=False)},
)


def parsed(folder: Path, *tables: CostTable, **sections: Any) -> Config:
    """The default configuration with these tables in its pool's file."""
    save_tables(tables or (TABLE,), folder / "costs.json")
    content: dict[str, Any] = yaml.safe_load(DEFAULT_CONFIG.read_text())
    content["engines"][0] |= {"costs": "costs.json", **sections.pop("pool", {})}
    for name, changes in sections.pop("variants", {}).items():
        content["variants"][name] |= changes
    return parse_config(content | sections, folder / "serve.yaml")


def fault(folder: Path, *tables: CostTable, **sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(folder, *tables, **sections)
    start = f"{folder / 'serve.yaml'}: engines.0.costs: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(start)


def test_a_table_that_fits_is_found_beside_the_file(tmp_path: Path) -> None:
    config = parsed(tmp_path)
    assert config.engines[0].costs == str(tmp_path / "costs.json")
    assert config.costs() == {"main": TABLE}


def test_of_several_tables_the_pool_s_own_is_taken(tmp_path: Path) -> None:
    others = [replace(TABLE, threads=2), replace(TABLE, dtype="bfloat16"), replace(TABLE, width=32)]
    assert parsed(tmp_path, *others, TABLE).costs() == {"main": TABLE}


def test_pools_without_a_table_have_no_costs(tmp_path: Path) -> None:
    assert parsed(tmp_path, pool={"costs": None}).costs() == {}


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"threads": 2}, "threads 2, device cpu; it holds 64x64 float32 on cpu with 1 thread"),
        ({"device": "cuda"}, "device cuda; it holds"),
        ({"device": "auto"}, "set device to cpu or cuda"),
        ({"max_batch": 8}, "was measured for 1 to 4 jobs, not 8; profile again"),
        ({"costs": "none.json"}, "No such file or directory; measure it with `python -m pipelines"),
    ],
)
def test_a_table_of_something_else_is_refused(
    tmp_path: Path, pool: dict[str, Any], told: str
) -> None:
    assert told in fault(tmp_path, pool=pool)


def test_the_table_must_hold_every_variant_of_the_pool(tmp_path: Path) -> None:
    two = {name: costs for name, costs in TABLE.variants.items() if name != "turbo"}
    assert "no variant 'turbo', only full, small" in fault(tmp_path, replace(TABLE, variants=two))


def test_the_default_size_is_the_one_that_counts(tmp_path: Path) -> None:
    model = yaml.safe_load(DEFAULT_CONFIG.read_text())["model"]
    assert parsed(tmp_path, model=model | {"sizes": ["64x64", "32x32"]}).costs()
    told = fault(tmp_path, model=model | {"sizes": ["32x32", "64x64"]})
    assert "has no tables for width 32, height 32" in told


def test_one_table_cannot_be_of_two_dtypes(tmp_path: Path) -> None:
    told = fault(tmp_path, variants={"small": {"dtype": "bfloat16"}})
    assert "the pool's variants have bfloat16 and float32" in told


def test_guidance_is_as_it_was_measured(tmp_path: Path) -> None:
    told = fault(tmp_path, variants={"turbo": {"guidance_scale": 2.0}})
    assert "'turbo' was measured without guidance, and its guidance_scale is 2" in told
    told = fault(tmp_path, variants={"full": {"guidance_scale": 1.0}})
    assert "'full' was measured with guidance, and its guidance_scale is 1" in told


def test_a_rung_that_cuts_guidance_needs_steps_without(tmp_path: Path) -> None:
    ladder = yaml.safe_load(DEFAULT_CONFIG.read_text())["ladder"]
    ladder[1] |= {"guidance_share": 0.5}
    assert parsed(tmp_path, ladder=ladder).costs()
    bare = replace(TABLE, variants={**TABLE.variants, "full": variant(cut=False)})
    assert parsed(tmp_path, bare).costs()
    assert "measured with guidance only; profile again" in fault(tmp_path, bare, ladder=ladder)
