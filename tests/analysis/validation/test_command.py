"""The command line of the validation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.server_config import ConfigError
from analysis.validation import command
from analysis.validation.plan import FULL_EXTENT, SHORT_EXTENT, Plan
from tests.analysis.validation.documents import document


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args([*words])


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """What would have been measured and computed."""
    found: list[Plan] = []

    def measure(plan: Plan, tell: Callable[[str], None]) -> Path:
        found.append(plan)
        return plan.out

    def compute(folder: Path, tell: Callable[[str], None]) -> Mapping[str, Any]:
        results = document()
        full = bool(found) and found[-1].extent.loads == FULL_EXTENT.loads
        loads = FULL_EXTENT.loads if full else SHORT_EXTENT.loads
        results["measured"]["plan"]["loads"] = [load.name for load in loads]
        results["loads"][0]["comparison"]["measured"]["utilisation"] = float("nan")
        return {k: v for k, v in results.items() if k not in ("made_by", "name")}

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(command, "compute", compute)
    monkeypatch.setattr(command, "steps_of", lambda folder: 1)
    return found


@pytest.mark.parametrize("full", [False, True])
def test_short_and_full_have_their_own_loads_and_results(
    plans: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    monkeypatch.setattr(command, "BENCHMARKS", tmp_path)
    words = ["--full"] if full else []
    assert command.run(options(*words, "--runs", str(tmp_path / "runs"))) == 0
    assert plans[0].extent == (FULL_EXTENT if full else SHORT_EXTENT)
    name = "validation" if full else "validation_short"
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{e}" for e in ("json", "md", "svg")
    }


def test_what_was_measured_is_computed_again_and_told(
    plans: list[Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    assert command.run(options("--again", str(tmp_path / "runs"), "--out", str(out))) == 0
    assert plans == []
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Trace-driven, mean within 3%: 1 of 2")
    assert "Not measured: at_start-0.8." in told
    assert told[-3:] == [f"{out}.{end}" for end in ("json", "md", "svg")]
    text = out.with_suffix(".json").read_text()
    written = json.loads(text)
    assert "NaN" not in text
    assert written["loads"][0]["comparison"]["measured"]["utilisation"] is None
    assert written["made_by"]["command"].endswith("validate --again runs")
    assert str(tmp_path) not in text


def test_measuring_alone_writes_no_results(
    plans: list[Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "runs"
    asked = options("--measure-only", "--runs", str(place), "--requests", "30", "--seed", "4")
    assert command.run(asked) == 0
    assert capsys.readouterr().out == f"{place}\n"
    assert plans[0].extent.requests == 30
    assert plans[0].command == "python -m analysis validate --requests 30 --seed 4"


def test_a_mistake_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--requests"):
        command.run(options("--runs", str(tmp_path / "runs"), "--requests", "1"))
    with pytest.raises(ConfigError, match="drop one"):
        command.run(options("--again", str(tmp_path), "--measure-only"))
    assert not (tmp_path / "runs").exists()
