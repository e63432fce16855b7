"""`python -m analysis simulate`: figures with intervals, and one sentence for bad input."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from analysis import simulate_command
from analysis.runs import read_run
from tests.analysis.synthetic_demo import CONFIG, cost_table, write_config

LOAD = ("--rate", "3", "--duration", "8", "--replications", "3")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    cost_table().save(tmp_path / "costs.json")
    return write_config(tmp_path)


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser(exit_on_error=False)
    simulate_command.add_options(parser)
    return simulate_command.run(parser.parse_args([*arguments]))


def figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert command(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def of(config: Path, *arguments: str) -> list[str]:
    costs = config.with_name("costs.json")
    return ["--config", str(config), "--costs", str(costs), *LOAD, *arguments]


def test_figures_come_with_intervals_and_with_what_they_were_made_by(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = figures(capsys, *of(config))
    assert (document["replications"], document["made_by"]["seed"]) == (3, 1)
    mean_s = document["figures"]["mean_s"]
    assert mean_s["half_width"] > 0
    assert mean_s["mean"] > 25 * 0.015
    assert "late_share" not in document["figures"]


def test_a_seed_gives_the_same_figures_again_and_another_gives_others(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once, again, other = (
        figures(capsys, *of(config, "--seed", seed))["figures"] for seed in ("4", "4", "5")
    )
    assert once == again
    assert once["mean_s"] != other["mean_s"]


def test_a_table_is_printed_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*of(config)) == 0
    told = capsys.readouterr()
    assert "mean_s" in told.out
    assert told.err == ""


def test_the_folder_holds_the_figures_and_the_first_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    document = figures(capsys, *of(config, "--deadline", "2", "--out", str(out)))
    written = json.loads((out / "simulation.json").read_text())
    assert written["figures"] == document["figures"]
    assert 0 <= written["figures"]["late_share"]["mean"] <= 1
    run = read_run(out)
    assert run.rate_per_s == 3
    assert len(run.outcomes) == len(run.requests)
    assert run.commit == document["made_by"]["commit"]


def test_the_least_quality_and_the_overheads_are_obeyed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pressed = of(config, "--rate", "20", "--quality", "high")
    kept = figures(capsys, *pressed)["figures"]
    assert kept["degraded_share"]["mean"] == 0
    far = figures(capsys, *of(config, "--overheads", "0.5,0,0.25,0.1"))["figures"]
    near = figures(capsys, *of(config))["figures"]
    assert far["mean_s"]["mean"] == pytest.approx(near["mean_s"]["mean"] + 0.75)


def test_an_engine_that_fails_costs_time(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, failed = (
        figures(capsys, *of(config, *more))["figures"] for more in ((), ("--fail", "main-0:2:6"))
    )
    assert failed["mean_s"]["mean"] > whole["mean_s"]["mean"] + 0.2


def test_costs_may_stand_in_the_configuration_or_be_named_by_pool(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = figures(capsys, *of(config))["figures"]
    engines = [{**CONFIG["engines"][0], "costs": "costs.json"}]
    told = write_config(config.parent, engines=engines)
    arguments = ["--config", str(told), *LOAD]
    assert figures(capsys, *arguments)["figures"] == named
    costs = f"main={config.with_name('costs.json')}"
    assert figures(capsys, *arguments, "--costs", costs)["figures"] == named


def test_arrivals_are_replayed_from_a_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = tmp_path / "times.txt"
    times.write_text("".join(f"{second}\n" for second in range(5)))
    arguments = ["--config", str(config), "--costs", str(config.with_name("costs.json"))]
    arguments += ["--replications", "2", "--arrivals", "replay", "--times", str(times)]
    document = figures(capsys, *arguments)
    assert f"--arrivals replay --times {times}" in document["made_by"]["command"]
    found = document["figures"]
    assert found["mean_s"]["half_width"] == pytest.approx(0.0, abs=1e-12)
    assert found["peak_waiting"]["mean"] == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--replications", "1"), "at least 2 for a confidence interval"),
        (("--rate", "0"), "rate"),
        (("--rate", "0.001"), "raise --rate or --duration"),
        (("--deadline", "0"), "--deadline 0.0 must be above 0"),
        (("--warm-up", "-1"), "--warm-up"),
        (("--quality", "best"), "quality 'best' is unknown"),
        (("--overheads", "1,2"), "three or four numbers"),
        (("--overheads", "1,2,-3"), "must not be negative"),
        (("--fail", "main-0"), "ENGINE:AT:BACK"),
        (("--fail", "gpu-0:1:2"), "no engine 'gpu-0'"),
        (("--costs", "gpu=x.json"), "no pool 'gpu'"),
        (("--costs", "nowhere.json"), "nowhere.json"),
        (("--seed", "-1"), "must not be negative"),
    ],
)
def test_bad_input_is_one_sentence(config: Path, more: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        command(*of(config, *more))


def test_a_pool_without_costs_and_a_folder_in_use_are_told(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name one with --costs FILE"):
        command("--config", str(config), *LOAD)
    with pytest.raises(ValueError, match="is there already"):
        command(*of(config, "--out", str(tmp_path)))
    with pytest.raises(ValueError, match="cannot be read"):
        command(*of(config, "--arrivals", "replay", "--times", str(tmp_path / "no.txt")))
