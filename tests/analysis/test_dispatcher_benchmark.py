"""The dispatcher's benchmark times every policy in both states and tells what it was made with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.dispatcher_benchmark import policies


def test_every_policy_is_timed_in_both_states(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "dispatcher"
    options = ["--waiting", "20", "--engines", "4", "--rounds", "5", "--out", str(out)]
    assert main(["bench-dispatcher", *options]) == 0
    content = json.loads(out.with_suffix(".json").read_text())
    assert len(content["timed"]) == 2 * len(list(policies()))
    assert all(one["events"] == 20 and one["mean_us"] > 0 for one in content["timed"])
    assert content["made_by"]["seed"] == 1
    assert "| DeadlineAware | FairShare |" in out.with_suffix(".md").read_text()
    assert "µs in the mean" in capsys.readouterr().out


def test_nothing_to_measure_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-dispatcher", "--engines", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
