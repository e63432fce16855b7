"""The command line: a report whatever it says, and one sentence for bad input."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import analysis.__main__ as command_line
from analysis import demo_command, demo_report
from analysis.faults import MeasurementError
from analysis.study import read_study
from tests.analysis.synthetic_demo import write_demo


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert said.startswith("python -m analysis: ")
    return said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required"),
        (["dance"], "invalid choice"),
        (["demo", "--seconds", "soon"], "invalid float"),
        (["demo", "--seconds", "1"], "at least 5"),
        (["demo", "--config", "/nowhere.yaml"], "cannot be read"),
        (["demo", "--prompts", "/nowhere.txt"], "--prompts"),
        (["demo", "--again", "/nowhere"], "finished demo"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in said
    assert said.startswith("python -m analysis: ")


def test_a_report_is_built_again_from_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_demo(tmp_path / "demo", seconds=6.0, pictures=1, controller_works=False)

    def quick(run: Path, replications: int, on_progress: object) -> object:
        return partial(read_study, run, 2)()

    monkeypatch.setattr(demo_report, "read_study", quick)
    assert command_line.main(["demo", "--again", str(folder)]) == 0  # though claims fail
    told = capsys.readouterr().out
    assert "FAILS" in told
    assert str(folder / "report.html") in told
    assert (folder / "results.json").exists()


def test_a_demo_that_cannot_go_on_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MeasurementError("the server did not start")

    monkeypatch.setattr(demo_command, "measure", fail)
    assert command_line.main(["demo"]) == 2
    assert "the server did not start" in one_sentence(capsys)


def test_ctrl_c_ends_quietly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_command, "measure", interrupt)
    assert command_line.main(["demo"]) == 130
    assert "stopped" in one_sentence(capsys)
