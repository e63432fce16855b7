"""`python -m pipelines judge`: a line for each run, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.__main__ import main
from pipelines.embedded.scenes import PICTURE_PX


def write_run(folder: Path) -> None:
    """One grey picture, which shows nothing that its prompt asks for."""
    (folder / "pictures").mkdir()
    grey = np.full((PICTURE_PX, PICTURE_PX, 3), 128, np.uint8)
    Image.fromarray(grey).save(folder / "pictures" / "0.png")
    record = {
        "prompt": "a red circle",
        "image": "0.png",
        "serving": {"variant": "full", "steps_run": 25},
    }
    (folder / "requests.jsonl").write_text(json.dumps(record) + "\n")


def test_judge_prints_a_line_and_keeps_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path)
    assert main(["judge", str(tmp_path)]) == 0
    assert "1 pictures, 0.0% all right" in capsys.readouterr().out
    assert json.loads((tmp_path / "quality.json").read_text())["pictures"] == 1


def test_a_folder_that_is_no_run_ends_with_one_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err.strip()
    assert "holds no requests.jsonl" in complaint
    assert complaint.count("\n") == 0
