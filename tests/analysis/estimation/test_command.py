"""`python -m analysis estimate` prints a page or JSON, writes both, and says what to change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from analysis.__main__ import main
from analysis.document import Bullets, Code, Heading, Table
from analysis.estimation import arrivals
from analysis.estimation.command import show


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "ALTERNATIVES", {})


def asked(run_folder: Path, *more: str) -> int:
    config = run_folder.parent / "static.yaml"
    return main(["estimate", str(run_folder), "--config", str(config), *more])


def test_it_prints_a_page(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(run_folder) == 0
    said = capsys.readouterr().out
    assert "What a run tells of itself: run" in said
    assert "Nothing speaks against a Poisson process" in said
    assert "jobs in the call" in said
    assert "python -m analysis estimate run" in said
    assert str(run_folder.parent) not in said


def test_it_prints_json_and_writes_the_page_beside_it(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(run_folder, "--json", "--out", str(tmp_path / "out" / "estimation")) == 0
    said = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "out" / "estimation.json").read_text())
    assert said == written
    assert written["made_by"]["command"] == "python -m analysis estimate run"
    page = (tmp_path / "out" / "estimation.md").read_text()
    assert page.startswith("# What a run tells of itself: run")
    for name in ("gaps", "service", "batch-speed"):
        assert f"(estimate-run-{name}.svg)" in page
        assert (tmp_path / "out" / f"estimate-run-{name}.svg").exists()


def test_a_folder_without_a_run_is_one_sentence(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run_folder.parent / "static.yaml"
    assert main(["estimate", str(tmp_path), "--config", str(config)]) == 2
    assert "run.json cannot be read" in capsys.readouterr().err


def test_a_page_can_be_printed_with_brackets_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("a", "b"), (("[x]", "1"),), caption="[red]plain[/red]")
    show([Heading("h"), Bullets(("[y]",)), Code("[z]"), table], Console())
    said = capsys.readouterr().out
    assert all(word in said for word in ("[x]", "[y]", "[z]", "[red]plain[/red]"))
