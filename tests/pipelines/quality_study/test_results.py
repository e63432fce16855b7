"""What the study keeps: it comes back as it was, and is priced by table or by operations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.costs import CostTable, Measurement, VariantCosts
from pipelines.quality_study.intervals import Estimate
from pipelines.quality_study.results import Converged, MeanSteps, Study, price
from pipelines.quality_study.settings import Setting
from tests.pipelines.quality_study.synthetic import point, study

CONVERGED = point(
    Setting("converge", "full", 25, loss_budget=0.05),
    converged=Converged(0.05, 0.012, 0.05, 0.9, Estimate(0.04, 0.03, 0.05), Estimate(0.03, 0, 1)),
)
NOBODY = point(
    Setting("converge", "full", 25, loss_budget=0.01),
    converged=Converged(0.01, 0.0, 0.05, 0.0, None, Estimate(0.0, 0.0, 0.0)),
)
HANDED_OVER = point(
    Setting("hand_over", "full", 25, exit_after=10, to_variant="turbo", to_steps=5),
    steps={"full": MeanSteps(10.0, 0.0), "turbo": MeanSteps(0.0, 3.0)},
)


def table(*variants: str) -> CostTable:
    exactly = Measurement.exactly
    costs = VariantCosts(
        encode_s=exactly(0.002),
        step_s={1: exactly(0.010), 4: exactly(0.020)},
        decode_s={1: exactly(0.003), 4: exactly(0.008)},
        unguided_step_s={1: exactly(0.006), 4: exactly(0.012)},
        rows_per_job=2,
    )
    return CostTable("an abacus", 1, "float32", "abc", 64, 64, dict.fromkeys(variants, costs))


def test_a_study_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = study(CONVERGED, NOBODY, HANDED_OVER)
    saved.save(tmp_path / "quality.json")
    assert Study.load(tmp_path / "quality.json") == saved


def test_steps_and_rows_are_sums_over_the_variants() -> None:
    assert (HANDED_OVER.steps_run, HANDED_OVER.guided_steps, HANDED_OVER.rows) == (13.0, 10.0, 23.0)


def test_without_a_table_cost_is_the_networks_operations() -> None:
    priced = price(study(HANDED_OVER))
    assert priced.unit == "GFLOP"
    assert priced.values[0] == pytest.approx(25 * 2 * 0.2)
    assert priced.shares[5] == pytest.approx(2 / 50)
    assert priced.values[-1] == pytest.approx(23 * 0.2)


def test_with_a_table_cost_is_its_seconds_a_picture() -> None:
    priced = price(study(HANDED_OVER), table("full", "turbo"))
    assert priced.unit == "s"
    assert "at batch 4" in priced.source
    # Encoding, 25 steps of four jobs together, a quarter of a decoding of four.
    assert priced.values[0] == pytest.approx(0.002 + 25 * 0.020 / 4 + 0.008 / 4)
    # Three steps with guidance and three without.
    assert priced.values[4] == pytest.approx(0.002 + (3 * 0.020 + 3 * 0.012) / 4 + 0.008 / 4)
    # Texts are encoded in both variants of a hand-over.
    assert priced.values[-1] == pytest.approx(0.004 + (10 * 0.020 + 3 * 0.012 + 0.008) / 4)


def test_a_table_without_one_of_the_variants_is_refused() -> None:
    with pytest.raises(ValueError, match="no variant 'turbo'"):
        price(study(), table("full"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 99}, "format version 99 where 1 is expected"),
        ({"points": []}, "it holds no settings"),
        ({"points": [{}]}, "not usable"),
    ],
)
def test_a_file_that_is_no_study_is_refused(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    path = tmp_path / "quality.json"
    study().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=says):
        Study.load(path)


def test_a_missing_or_broken_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make it with `python -m pipelines quality`"):
        Study.load(tmp_path / "nothing.json")
    (tmp_path / "text.json").write_text("no JSON")
    with pytest.raises(ValueError, match="is not JSON"):
        Study.load(tmp_path / "text.json")
