"""`python -m pipelines cost-study`: what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines import cost_study
from pipelines.__main__ import main
from pipelines.cost_samples import CostStudy


def test_a_study_is_written_with_its_page_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: cost_study.architectures()[name] for name in ("embedded_small", "narrow")}
    monkeypatch.setattr(cost_study, "architectures", lambda: few)
    out = tmp_path / "study.json"
    sizes = ["--rows", "1,2", "--latents", "8,12"]
    settings = ["--threads", "1,2", "--dtype", "float32", "--repetitions", "1"]
    assert main(["cost-study", "--out", str(out), *sizes, *settings]) == 0
    assert len(CostStudy.load(out).samples) == 2 * 2 * 2 * 2
    document = json.loads(out.read_text())
    assert document["command"].startswith("python -m pipelines cost-study --out")
    assert set(document["report"]["forms"]) == {"roofline", "corrected"}
    page = out.with_suffix(".md").read_text()
    assert "embedded_small, narrow" in page
    assert page.count("| architecture |") == 2
    assert "(study.svg)" in page
    assert "</svg>" in out.with_suffix(".svg").read_text()
    assert "relative error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "3"], "1 or even"),
        (["--dtype", "int4"], "dtype must be one of"),
        (["--out", "no/such/place.json"], "there is no folder no/such"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert main(["cost-study", "--out", str(tmp_path / "s.json"), *more]) == 2
    complaint = capsys.readouterr().err.strip()
    assert said in complaint
    assert complaint.count("\n") == 0
