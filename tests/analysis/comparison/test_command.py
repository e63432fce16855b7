"""The command line of the comparison."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from analysis.comparison import command
from analysis.runs import DataError
from analysis.server_config import ServerSettings, write_variants
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings, write_config

FEW = ("--draws", "2", "--replications", "2")


@pytest.fixture
def static(tmp_path: Path) -> ServerSettings:
    return settings(tmp_path, "static")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_variants(write_config(tmp_path), tmp_path)[0]


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def folder(place: Path, static: ServerSettings, **how: object) -> Path:
    values = {"load": 0.3, "seconds": 30.0, "seed": 4, **how}
    return write_measured(place, Truth(static), **values)  # type: ignore[arg-type]


def test_a_table_of_costs_is_enough(
    tmp_path: Path, static: ServerSettings, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cost_table().save(tmp_path / "costs.json")
    one = folder(tmp_path / "one", static)
    out = tmp_path / "page" / "compare"
    asked = ("--config", config, "--costs", tmp_path / "costs.json", "--out", out, *FEW)
    assert run(one, *asked) == 0
    told = capsys.readouterr().out
    for word in ("measured", "queueing model", "a priori", "trace-driven", "unexplained"):
        assert word in told
    assert "requests of this very run (no --idle given)" in " ".join(told.split())
    plain = json.loads(out.with_name("compare.json").read_text())
    assert plain["made_by"]["command"] == "python -m analysis compare one"
    assert out.with_name("compare.md").exists()


def test_plain_data_alone_is_printed(
    tmp_path: Path, static: ServerSettings, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = folder(tmp_path / "one", static), folder(tmp_path / "other", static, seed=5)
    assert run(one, "--config", config, "--profile", other, "--json", *FEW) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "the runs other and requests of theirs" in plain["a_priori"]["method"]
    assert {"measured", "queueing", "a_priori", "trace_driven", "budget"} <= set(plain)


def test_the_run_itself_is_no_profile(tmp_path: Path, static: ServerSettings, config: Path) -> None:
    one = folder(tmp_path / "one", static)
    with pytest.raises(DataError, match="names the run itself"):
        run(one, "--config", config, "--profile", one)


def test_what_is_no_run_is_told(tmp_path: Path, config: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        run(tmp_path / "nothing", "--config", config)


def test_without_requests_that_met_an_empty_server_no_ways_are_known_and_the_output_says_so(
    tmp_path: Path, static: ServerSettings, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowded = folder(tmp_path / "one", static, times_s=[0.1 * k for k in range(60)])
    assert run(crowded, "--config", config, "--json", *FEW) == 0
    plain = json.loads(capsys.readouterr().out)
    assert "no ways outside the engines" in plain["a_priori"]["method"]


def test_overheads_are_those_of_requests_that_were_alone(
    tmp_path: Path, static: ServerSettings
) -> None:
    from analysis.comparison.evidence import read_evidence

    evidence = read_evidence(folder(tmp_path / "one", static), static)
    found = command.overheads_when_empty([evidence.run])
    assert found is not None
    assert found.network_s == pytest.approx(OVERHEADS.network_s, abs=1e-6)
    assert found.grant_s == pytest.approx(OVERHEADS.grant_s, abs=1e-6)
    assert found.response_s == pytest.approx(OVERHEADS.response_s, abs=1e-6)
