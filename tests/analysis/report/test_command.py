"""`python -m analysis report`: two files, or one sentence that says what to change."""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis.__main__ as command_line
from analysis.document import Heading
from analysis.report import composing


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "_models", lambda: ([Heading("Queueing models", 1)], [], []))


def asked(results: Path, out: Path) -> int:
    words = ["report", "--results", str(results), "--demo", str(results), "--out", str(out)]
    return command_line.main(words)


def test_both_forms_are_written_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a" / "b"
    assert asked(tmp_path, out) == 0
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (out / "report.pdf").read_bytes().startswith(b"%PDF")
    told = capsys.readouterr().out.split()
    assert told == [str(out / "report.html"), str(out / "report.pdf")]


def test_a_damaged_file_is_status_2_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text("{")
    assert asked(tmp_path, tmp_path / "out") == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "plan.json cannot be read" in said
    assert "make plan" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(tmp_path / "nowhere", tmp_path) == 2
    assert "--results" in capsys.readouterr().err
