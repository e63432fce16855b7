"""Judging a load run: the saved pictures against their prompts, in all and by rung."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.embedded.captions import compose
from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import load_judge
from pipelines.embedded.scenes import random_scene
from pipelines.judging import QUALITY_FILE, judge_run


def write_run(folder: Path, *, wrong_from: int) -> None:
    """Twenty drawn pictures, ten a rung; from `wrong_from` on each shows another scene than its prompt asks for."""
    rng = np.random.default_rng(3)
    (folder / "pictures").mkdir()
    lines = []
    for index in range(20):
        asked, other = random_scene(rng), random_scene(rng)
        picture = draw([asked if index < wrong_from else other], rng)[0]
        Image.fromarray(picture).save(folder / "pictures" / f"{index}.png")
        facts = {"variant": "full", "steps_run": 25 if index < 10 else 10}
        lines.append({"prompt": compose(asked, rng), "image": f"{index}.png", "serving": facts})
    lines.append({"prompt": "a red circle", "image": None, "serving": None})
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_pictures_as_asked_are_right_and_others_are_not_by_rung(tmp_path: Path) -> None:
    write_run(tmp_path, wrong_from=10)
    figures = judge_run(tmp_path, load_judge())
    assert figures["pictures"] == 20
    assert figures["by_rung"]["full@25"] == {"pictures": 10, "all_right": 1.0}
    assert figures["by_rung"]["full@10"]["all_right"] <= 0.2
    assert json.loads((tmp_path / QUALITY_FILE).read_text()) == figures


def test_a_folder_without_records_or_pictures_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no requests\.jsonl"):
        judge_run(tmp_path, load_judge())
    (tmp_path / "requests.jsonl").write_text(
        json.dumps({"prompt": "a red circle", "image": None}) + "\n"
    )
    with pytest.raises(ValueError, match="--save-pictures"):
        judge_run(tmp_path, load_judge())
