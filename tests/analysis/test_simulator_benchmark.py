"""The benchmark writes what it measured and with what."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from analysis import simulator_benchmark
from tests.analysis.synthetic_demo import cost_table


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    simulator_benchmark.add_options(parser)
    return simulator_benchmark.run(parser.parse_args([*arguments]))


def test_every_case_is_timed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cost_table(8).save(tmp_path / "costs.json")
    out = tmp_path / "out" / "simulator"
    size = ("--jobs", "40", "--rounds", "2")
    assert command(*size, "--costs", str(tmp_path / "costs.json"), "--out", str(out)) == 0
    content = json.loads(out.with_suffix(".json").read_text())
    told = out.with_suffix(".md").read_text()
    assert len(content["timed"]) == len(simulator_benchmark.CASES)
    for one in content["timed"]:
        assert one["jobs"] == 40
        assert one["jobs_per_s"] > 0
        assert one["name"] in told
    assert content["made_by"]["seed"] == 1
    together, apart = content["timed"][0], content["timed"][2]
    assert together["mean_latency_s"] == pytest.approx(apart["mean_latency_s"], abs=1e-6)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        command("--jobs", "0")
