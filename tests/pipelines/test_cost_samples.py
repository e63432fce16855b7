"""A cost study's file: round trip, and errors that say what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cost_samples import CostStudy, Setting
from tests.pipelines.synthetic_study import study

ROOT = Path(__file__).resolve().parents[2]


def test_a_saved_study_loads_equal_and_keeps_a_report_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    written = study(architectures=2)
    written.save(path, {"kept": "roofline"})
    loaded = CostStudy.load(path)
    assert list(loaded.samples) == list(written.samples)
    assert replace(loaded, samples=()) == replace(written, samples=())
    assert json.loads(path.read_text())["report"] == {"kept": "roofline"}


def test_a_setting_whose_speed_is_not_known_is_refused() -> None:
    whole = study(architectures=2)
    known = dict(whole.speeds)
    del known[Setting(1, "bfloat16")]
    with pytest.raises(ValueError, match="no speeds for bfloat16 with 1 thread"):
        replace(whole, speeds=known)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("{}", "format version None"),
        ('{"version": 1}', "speeds"),
        ("[]", "not usable"),
    ],
)
def test_files_that_are_no_studies_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "study.json"
    with pytest.raises(ValueError, match="python -m pipelines cost-study"):
        CostStudy.load(path)
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        CostStudy.load(path)


def test_studies_are_read_and_learnt_from_without_torch() -> None:
    code = "import sys, pipelines.cost_predictor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
