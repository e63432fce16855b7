"""`python -m analysis textbook` writes both files, and one sentence for bad input."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.textbook import command
from analysis.textbook.benchmark import SPEED_ONLY, Measured, Speed, measure, page, summary
from analysis.textbook.reference import joint_level, read_cases

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    return parser.parse_args(["--reference", str(REFERENCE), *arguments])


def test_a_run_is_written_as_json_and_as_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "textbook"
    few = ("--jobs", "20000", "--replications", "5", "--out", str(out))
    assert command.run(options("--case", "MM1_0.5", "--case", "ERLANG_A", *few)) == 0
    content = json.loads(out.with_suffix(".json").read_text())
    assert [one["case_id"] for one in content["speed"]] == ["MM1_0.5", "ERLANG_A"]
    assert all(one["median_per_s"] > 0 for one in content["speed"])
    assert len(content["values"]) == 6 + 8
    assert content["values"][0]["exact"] == 2.0
    made_by = content["made_by"]
    assert made_by["command"].startswith(
        "python -m analysis textbook --case MM1_0.5 --case ERLANG_A --replications 5 --jobs 20000"
    )
    assert {"python", "numpy", "numba"} <= set(made_by["versions"])
    shown = out.with_suffix(".md").read_text()
    assert "| ERLANG_A | P_abandon | 0.200751 |" in shown
    told = capsys.readouterr()
    assert "of 14 reference values lie inside" in told.out
    assert told.err.split() == ["MM1_0.5", "ERLANG_A"]  # no bar where there is no terminal


def test_values_that_are_not_met_are_said_to_be(tmp_path: Path) -> None:
    cases = read_cases(REFERENCE)
    wrong = {name: value for name, value in cases["MM1_0.8"].simulated.items() if name != "util"}
    case = cases["MM1_0.5"]
    broken = type(case)(case.case_id, case.model, case.arrivals, case.server, wrong, {"W": 5.0})
    checks = measure(broken, 20_000, 5, 1, joint_level(cases)).checks
    measured = [Measured(Speed("MM1_0.5", "M/M/1", 10.0, 9.0, 11.0, goal_per_s=10.0), checks)]
    said = summary(measured)
    assert said[0].startswith("0 of 5 ")
    assert said[2].startswith("0 of 5 ")
    assert said[3].startswith("0 of 1 exact")
    made_by = {
        "command": "x",
        "commit": "x",
        "started_at": "x",
        "duration_s": 1.0,
        "load_average_start": 0.5,
        "load_average_end": None,
        "hardware": {"processor": "x", "cores": 1, "memory_gib": 1.0},
        "versions": {},
        "jobs": 1,
        "replications": 1,
        "seed": 1,
    }
    assert page(measured, made_by).count("**no**") == 5 + 5 + 1


def test_laws_without_a_reference_are_timed_only() -> None:
    for case in SPEED_ONLY:
        measured = measure(case, 2000, 2, 1, 0.99)
        assert measured.checks == ()
        assert measured.speed.slowest_per_s <= measured.speed.median_per_s


def test_a_goal_is_reached_by_the_median() -> None:
    speed = Speed("X", "x", 10.0, 5.0, 20.0, goal_per_s=10.0)
    assert speed.reached
    assert not replace(speed, goal_per_s=11.0).reached
    said = summary([Measured(speed, ()), Measured(replace(speed, median_per_s=9.0), ())])
    assert said[-1].startswith("1 of 2 models reach 10 jobs/s on one core; the slowest, X")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--case", "MM9"), "there is no case MM9; choose from MM1_0.5, "),
        (("--all", "--replications", "1"), "--replications 1 must be at least 2"),
        (("--all", "--jobs", "10"), "--jobs 10 must be at least 1000"),
        (("--all", "--seed", "-1"), "--seed -1"),
        (("--all", "--reference", "nowhere.json"), "cannot read nowhere.json"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        command.run(options(*arguments))


def test_either_some_cases_or_all_must_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options()
    assert "one of the arguments --case --all is required" in capsys.readouterr().err
