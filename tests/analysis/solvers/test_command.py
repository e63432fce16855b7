"""`python -m analysis solve`: from a server's files to a policy that its controllers read."""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.solvers import command
from analysis.solvers.plain import read
from pipelines.costs import CostTable, Measurement, VariantCosts
from policies.controllers import Cascade, DecisionTable, Split

CONFIG: dict[str, Any] = {
    "model": {"sizes": ["16x16"]},
    "variants": {"full": {"source": "full"}},
    "ladder": [
        {"variant": "full", "steps": 20, "quality": "high"},
        {"variant": "full", "steps": 10, "quality": "medium"},
        {"variant": "full", "steps": 5, "quality": "low"},
    ],
    "controller": {"kind": "static"},
    "dispatcher": {"max_waiting": 8},
    "engines": [{"name": "main", "variants": ["full"], "max_batch": 2}],
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a server's configuration and its cost table."""
    (tmp_path / "server.yaml").write_text(yaml.safe_dump(CONFIG))
    at = Measurement.exactly
    costs = VariantCosts(at(0.01), {1: at(0.02), 2: at(0.03)}, {1: at(0.01), 2: at(0.02)})
    table = CostTable("test", 1, "float32", "abc", 16, 16, {"full": costs})
    table.save(tmp_path / "costs.json")
    return tmp_path


def solve(folder: Path, *words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    base = ["--config", str(folder / "server.yaml"), "--costs", str(folder / "costs.json")]
    out = folder / "policy.json"
    kind, *others = words
    scores = [] if "--scores" in words else ["--scores", "0.9,0.8,0.6"]
    options = parser.parse_args([kind, *base, "--out", str(out), *scores, *others])
    assert command.run(options) == 0
    read(out)
    content: dict[str, Any] = json.loads(out.read_text())
    return content


def falls(content: dict[str, Any]) -> bool:
    scores = [band["solved"]["mean_score"] for band in content["bands"]]
    return all(high >= low - 1e-6 for high, low in pairwise(scores))


def test_a_table_is_solved_for_every_band(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = solve(files, "table", "--deadline-s", "1.5", "--bands", "4", "--stages", "3")
    table = DecisionTable.from_plain(content)
    assert len(table.bands) == 4
    assert all(len(row) == 1 + 2 + 8 for band in table.bands for row in band.rungs)
    assert table.bands[-1].rungs[0][-1] > 0  # a full room at the highest rate is not at its best
    for band in content["bands"]:
        assert band["solved"]["bound_per_s"] <= band["solved"]["cost_per_s"] * (1 + 1e-9)
    assert falls(content)
    assert content["made_by"]["inputs"]["engines"] == 1
    assert "--deadline-s 1.5" in content["made_by"]["command"]
    assert "below inf/s" in capsys.readouterr().out


def test_a_server_that_refuses_the_hopeless_has_a_shorter_line(files: Path) -> None:
    words = ("table", "--deadline-s", "0.4", "--bands", "2", "--stages", "3")
    content = solve(files, *words, "--refuse-hopeless")
    capacity = max(content["made_by"]["inputs"]["capacity_per_s"])
    assert len(content["bands"][0]["rungs"][0]) == 1 + int(capacity * 0.4)
    assert "--refuse-hopeless" in content["made_by"]["command"]


def test_a_split_moves_down_the_ladder_with_the_rate(files: Path) -> None:
    content = solve(files, "split", "--bands", "6")
    split = Split.from_plain(content)
    assert split.bands[0].shares[0] == 1.0
    assert split.bands[-1].shares == (0.0, 0.0, 1.0)
    assert falls(content)
    assert not content["bands"][-1]["solved"]["feasible"]


@pytest.mark.parametrize("how", [(), ("--divided",)])
def test_a_cascade_redoes_less_as_the_rate_rises(files: Path, how: tuple[str, ...]) -> None:
    content = solve(files, "cascade", "--deadline-s", "2", "--bands", "4", *how)
    cascade = Cascade.from_plain(content, first=2, second=0)
    redone = [band["solved"]["redone_share"] for band in content["bands"]]
    assert redone == sorted(redone, reverse=True)
    assert cascade.bands[-1].threshold == 0.0
    assert (redone[0] > 0) == (not how)  # one engine cannot be divided
    assert content["made_by"]["seed"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("split", "--pool", "other"), "no pool 'other'"),
        (("split", "--scores", "1,x"), "commas between"),
        (("split", "--scores", "1,0.5"), "one of each per rung"),
        (("split", "--bands", "1"), "bands 1"),
        (("split", "--out", "nowhere/policy.json"), "no folder nowhere"),
        (("cascade", "--deadline-s", "1", "--cheap", "3"), "ladder indices"),
        (("table", "--deadline-s", "0"), "deadline_s 0"),
        (("table", "--deadline-s", "1", "--jobs-max", "1"), "jobs_max 1"),
    ],
)
def test_wrong_input_is_answered_in_a_sentence(
    files: Path, words: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        solve(files, *words)


def test_a_server_of_several_pools_is_asked_which(files: Path) -> None:
    engine = CONFIG["engines"][0]
    both = {**CONFIG, "engines": [engine, {**engine, "name": "other", "variants": ["small"]}]}
    (files / "server.yaml").write_text(yaml.safe_dump(both))
    with pytest.raises(ValueError, match="name one with --pool"):
        solve(files, "split")
    with pytest.raises(ValueError, match="does not host full"):
        solve(files, "split", "--pool", "other")
