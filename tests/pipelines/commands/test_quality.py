"""`python -m pipelines quality`: rendered again without pictures, and refused before anything is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.costs import save_tables
from tests.pipelines.quality_study.synthetic import study
from tests.pipelines.quality_study.test_results import table

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    study().save(tmp_path / "quality.json")
    return tmp_path / "quality.json"


def test_an_earlier_study_is_rendered_with_a_cost_table(measured: Path, tmp_path: Path) -> None:
    costs, out = tmp_path / "costs.json", tmp_path / "again"
    save_tables([table("full", "turbo")], costs)
    assert main(["quality", "--from", str(measured), "--costs", str(costs), "--out", str(out)]) == 0
    assert json.loads((out / "pareto.json").read_text())["cost"]["unit"] == "s a picture"
    assert (out / "quality.svg").exists()
    # The command that made the pictures stays, not the one that rendered them again.
    assert "python -m pipelines quality --out somewhere" in (out / "quality.md").read_text()


def test_of_several_tables_the_one_of_the_threads_is_taken(measured: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    costs, out = tmp_path / "costs.json", tmp_path / "again"
    one = table("full", "turbo")
    save_tables([one, replace(one, threads=2)], costs)
    asked = ["quality", "--from", str(measured), "--costs", str(costs), "--out", str(out)]
    assert main(asked) == 2
    assert main([*asked, "--cost-threads", "2"]) == 0
    assert "with 2 threads" in (out / "quality.md").read_text()


def test_rendering_again_needs_no_torch(measured: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pipelines.__main__ import main;"
        f"status = main(['quality', '--from', {str(measured)!r}, '--out', {str(tmp_path)!r}]);"
        "sys.exit(status or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--costs", "no/such.json"], "no/such.json"),
        (["--from", "no/such.json"], "no/such.json"),
        (["--prompts", "5"], "--prompts must be at least 10"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--weights", "a/full", "b/full"], "two folders have the same name"),
        (["--weights", "nowhere-to-be-found"], "there is no folder"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quality", "--out", str(tmp_path), *more]) == 2
    assert said in capsys.readouterr().err


def test_pictures_that_the_judge_cannot_read_are_refused(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["quality", "--out", str(tmp_path), "--weights", str(folders["v_prediction"])]
    assert main([*asked, "--threads", "1"]) == 2
    assert "the judge reads those of the embedded model, 64 x 64" in capsys.readouterr().err
