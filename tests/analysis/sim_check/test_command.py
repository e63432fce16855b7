"""The command line of the check."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from analysis.server_config import ConfigError
from analysis.sim_check import command


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args([*words])


def test_results_go_where_they_are_kept_unless_told_otherwise() -> None:
    asked = options()
    assert asked.out == Path("analysis/benchmarks/sim_check")
    assert (asked.runs, asked.again, asked.seed) == (None, None, 1)


@pytest.mark.slow
def test_what_was_measured_can_be_computed_again(
    folder: Path, few_draws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sim_check"
    assert command.run(options("--again", str(folder), "--out", str(out))) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == [f"{out}.json", f"{out}.md"]
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["made_by"]["command"].endswith(f"--again {folder.name}")
    assert str(folder.parent) not in out.with_suffix(".json").read_text()


def test_a_mistake_is_told_before_anything_is_started(tmp_path: Path) -> None:
    asked = options("--runs", str(tmp_path / "runs"), "--seconds", "1")
    with pytest.raises(ConfigError, match="--seconds"):
        command.run(asked)
    assert not (tmp_path / "runs").exists()
