"""`python -m pipelines ladder`: prints a section that YAML reads, or says why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.__main__ import main
from tests.pipelines.test_ladder_choice import written


def test_the_section_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ladder", str(written(tmp_path)), "--rungs", "3", "--by", "accuracy"]) == 0
    ladder = yaml.safe_load(capsys.readouterr().out)["ladder"]
    assert ladder[0] == {"variant": "full", "steps": 25, "quality": "high", "score": 1}
    assert len(ladder) == 3


def test_a_ladder_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ladder", str(written(tmp_path)), "--rungs", "5", "--drop", "0"]) == 2
    assert "allow more with --drop" in capsys.readouterr().err
