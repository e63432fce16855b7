"""`python -m analysis frontier` writes page, record and figure, and one sentence for bad input."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from analysis.frontier import command, contenders, schedules, solved
from analysis.frontier.schedules import Schedule


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args([*arguments])


@pytest.mark.slow
def test_a_race_is_written_as_page_record_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedules, "FULL", (Schedule("poisson", 2.0, 13.0),))
    monkeypatch.setattr(solved, "solve", lambda *_: contenders.Solved({}, {}, {}, {}))
    out = tmp_path / "frontier"
    assert command.run(options("--replications", "2", "--out", str(out))) == 0
    content = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert content["replications"] == 2
    assert content["made_by"]["command"].startswith("python -m analysis frontier --replications 2")
    rungs = [one["rung"] for one in content["server"]["ladder"]]
    assert rungs[0] == "full@25"
    for runner in content["runners"]:
        result = runner["results"]["poisson-2"]
        lost = sum(sum(by_replication) for by_replication in result["lost"].values())
        assert result["violations"][0] == pytest.approx(lost / sum(result["jobs"]))
    jobs = {tuple(runner["results"]["poisson-2"]["jobs"]) for runner in content["runners"]}
    assert len(jobs) == 1  # everybody had the same
    said = out.with_suffix(".md").read_text(encoding="utf-8")
    assert "](frontier.svg)" in said
    assert "- **Poisson at 2 times capacity**: ours" in said
    assert out.with_suffix(".svg").read_text(encoding="utf-8").count("<svg") == 1
    told = capsys.readouterr()
    assert "about" in told.err
    assert str(out) in told.out
    assert max(map(sum, jobs)) < contenders.MAX_WAITING  # nobody was refused for the line's length


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "/nowhere/frontier"], "there is no folder /nowhere"),
        (["--seed", "-1"], "--seed -1 must not be negative"),
        (["--replications", "1"], "--replications 1 must be at least 2"),
        (["--processes", "0"], "--processes 0 must be at least 1"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], told: str, tmp_path: Path) -> None:
    given = options("--out", str(tmp_path / "frontier"), *arguments)
    with pytest.raises(ValueError, match=told):
        command.run(given)
    assert not list(tmp_path.iterdir())
