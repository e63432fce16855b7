"""From the synthetic measurement to its page."""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.comparison.evidence import read_evidence
from analysis.document import Heading, Picture, Table, to_markdown
from analysis.faults import MeasurementError
from analysis.improvement.command import add_options, run
from analysis.improvement.measures import MEASURES, measured_values
from analysis.improvement.page import blocks, findings
from analysis.improvement.study import compared, study
from analysis.server_config import ConfigError, read_settings
from tests.analysis.improvement.synthetic_servers import (
    ACCURACY,
    ENCODE_AGAIN_S,
    ENCODE_NEW_S,
    SLOWNESS,
    Processes,
)


def comparison(results: dict[str, Any], load: float, other: str, base: str = "static") -> Any:
    return next(
        one["measures"]
        for one in results["measured"]
        if (one["load"], one["base"], one["other"]) == (load, base, other)
    )


def test_early_exit_is_quicker_under_overload_and_costs_steps_and_quality(
    results: dict[str, Any],
) -> None:
    for other in ("at_start", "in_flight"):
        found = comparison(results, 1.5, other)
        assert found["mean_s"]["value"] > 10.0
        assert found["steps"]["value"] < 0.0
        gain = 100 * (ACCURACY[other] - ACCURACY["static"])
        assert found["all_right"]["value"] == pytest.approx(gain, abs=0.2)
        assert found["mean_s"]["rounds"] == 3


def test_each_pair_of_systems_is_compared_at_each_load(results: dict[str, Any]) -> None:
    pairs = [(one["load"], one["base"], one["other"]) for one in results["measured"]]
    wanted = [("static", "at_start"), ("static", "in_flight"), ("at_start", "in_flight")]
    assert pairs == [(load, *pair) for load in (0.8, 1.5) for pair in wanted]
    for one in results["measured"]:
        assert set(one["measures"]) == {measure.key for measure in MEASURES}


def test_the_pairs_are_those_of_a_round() -> None:
    values: dict[tuple[str, float, int], Any] = {}
    for number, drift in ((1, 1.0), (2, 10.0), (3, 0.1)):
        for system, factor in (("static", 1.0), ("in_flight", 0.6)):
            values[system, 1.5, number] = {m.key: drift * factor for m in MEASURES}
    found = compared(values, ("static", "in_flight"))[0]["measures"]["mean_s"]
    assert (found["low"], found["high"]) == pytest.approx((40.0, 40.0))


def test_what_was_not_measured_in_every_round_is_left_out() -> None:
    values: dict[tuple[str, float, int], Any] = {}
    for number in (1, 2):
        for system in ("static", "in_flight"):
            values[system, 1.5, number] = {m.key: 1.0 + number for m in MEASURES}
    values["in_flight", 1.5, 2]["all_right"] = None
    found = compared(values, ("static", "in_flight"))[0]["measures"]
    assert "all_right" not in found
    assert "mean_s" in found


def test_the_values_of_a_run_are_its_own(measured: tuple[Path, Processes]) -> None:
    folder, _ = measured
    settings = read_settings(folder / "static.yaml")
    evidence = read_evidence(folder / "static-1.5-1", settings)
    found = measured_values(evidence)
    latencies_s = [outcome.latency_s for outcome in evidence.run.outcomes]
    assert found["mean_s"] == pytest.approx(np.mean(latencies_s))
    assert found["within_2s"] == pytest.approx(np.mean([each <= 2.0 for each in latencies_s]))
    in_time = [r for r in evidence.run.requests if (r.answered_s or 99.0) <= 8.0]
    assert found["pictures_per_s"] == pytest.approx(len(in_time) / 8.0)
    assert found["steps"] == 25.0
    busy_s = evidence.window.whole["main"].total_s
    assert found["engine_s"] == pytest.approx(busy_s / len(latencies_s))


def test_what_a_text_costs_is_what_the_engine_counted(results: dict[str, Any]) -> None:
    assert results["alone"]["encode_new_s"] == pytest.approx(ENCODE_NEW_S)
    assert results["alone"]["encode_again_s"] == pytest.approx(ENCODE_AGAIN_S)
    about = results["simulation"]
    assert about["new_s"] - about["cached_s"] == pytest.approx(ENCODE_NEW_S - ENCODE_AGAIN_S)


def test_simulated_loads_are_shares_of_what_the_simulated_costs_allow(
    results: dict[str, Any],
) -> None:
    capacity_per_s = results["simulation"]["capacity_per_s"]
    assert capacity_per_s == pytest.approx(results["capacity_per_s"] / SLOWNESS, rel=0.04)


def test_idle_servers_beside_cost_nothing_here(results: dict[str, Any]) -> None:
    assert results["alone"]["beside"]["value"] == 0.0


def test_the_page_comes_from_the_document_alone(results: dict[str, Any]) -> None:
    page = blocks(results)
    assert isinstance(page[0], Heading)
    assert page[0].level == 1
    assert len([block for block in page if isinstance(block, Picture)]) == 1
    assert len([block for block in page if isinstance(block, Table)]) == 5
    text = to_markdown(page)
    mean = comparison(results, 1.5, "in_flight")["mean_s"]
    assert f"{mean['value']:+.1f} %" in text
    for sentence in findings(results):
        assert sentence in text
    assert text.count("Simulated, not measured") == 2


def test_the_page_tells_where_the_optimised_system_is_worse(results: dict[str, Any]) -> None:
    changed = copy.deepcopy(results)
    one = comparison(changed, 1.5, "in_flight")["all_right"]
    one |= {"value": -4.0, "low": -5.0, "high": -3.0, "verdict": "worse"}
    other = comparison(changed, 0.8, "in_flight")["p95_s"]
    other |= {"value": -2.0, "low": -2000.0, "high": 3.0, "verdict": "open"}
    text = to_markdown(blocks(changed))
    worse = "in flight at 1.5: pictures with every attribute right -4.0 points (-5.0 to -3.0)"
    assert worse in text.split("Worse, at 5 %")[1].split("Behind")[0]
    assert "in flight at 0.8: p95 latency -2.0 % (below -1000 to +3.0)" in text.split("Behind")[1]


def test_two_systems_will_do_for_the_page(results: dict[str, Any]) -> None:
    fewer = results | {
        "systems": ["static", "in_flight"],
        "measured": [
            one for one in results["measured"] if "at_start" not in (one["base"], one["other"])
        ],
        "simulated": [row for row in results["simulated"] if row["system"] == "in_flight"],
    }
    assert (
        "at start"
        not in to_markdown(blocks(fewer)).split("## Simulated: each")[0].split("## Measured")[1]
    )


def test_a_measurement_that_did_not_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="came to its end"):
        study(tmp_path)


def test_the_command_computes_again_and_writes_page_figure_and_document(
    measured: tuple[Path, Processes],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = partial(study, simulated_s=3.0)
    monkeypatch.setattr("analysis.improvement.command.study", quick)
    parser = argparse.ArgumentParser()
    add_options(parser)
    out = tmp_path / "out"
    words = ["--again", str(measured[0]), "--out", str(out)]
    assert run(parser.parse_args([*words, "--replications", "2"])) == 0
    for suffix in (".json", ".md"):
        assert out.with_suffix(suffix).exists()
    assert (tmp_path / "improvement.svg").exists()
    assert "Measured at 1.5 times" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--replications"):
        run(parser.parse_args([*words, "--replications", "1"]))
