"""The results as data and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.sim_check.check import DRAWS, OTHERS, OWN, Check
from analysis.sim_check.report import as_json, as_page, summary, write

MADE_BY = {
    "command": "python -m analysis sim-check",
    "commit": "abc1234",
    "machine": "a machine, 2 cores",
    "versions": {"python": "3.11"},
    "started": "2026-11-21T12:00:00+00:00",
    "took_s": 590.0,
    "load_average": 1.0,
    "seed": 1,
}


def test_the_data_hold_every_run_and_load_with_every_replay(checked: Check) -> None:
    found = json.loads(json.dumps(as_json(checked, MADE_BY)))
    assert found["made_by"]["commit"] == "abc1234"
    assert found["measured"]["seeds"].keys() == found["lags"].keys()
    assert len(found["runs"]) == 2 * len(found["loads"]) == 8
    for one in (*found["runs"], *found["loads"]):
        assert one["simulated"].keys() == DRAWS.keys()
        assert one["simulated"][OWN]["bands_95"].keys() == {"mean_s", "p95_s", "degraded_share"}


def test_the_verdict_names_the_loads_that_are_off(checked: Check) -> None:
    by_others, by_own, _ = summary(checked)
    assert "; not static-0.6" in by_others
    assert "4 of 4 loads" in by_own
    within = as_json(checked, MADE_BY)["within"]
    assert (within[OTHERS], within[OWN]) == (False, True)


def test_the_page_says_how_it_came_about_and_what_came_out(checked: Check) -> None:
    page = as_page(checked, MADE_BY)
    assert "Computed by `python -m analysis sim-check` at commit abc1234" in page
    assert "Measured by `python -m analysis sim-check --seconds 12` at commit" in page
    assert "12 s of Poisson arrivals a run" in page
    assert page.count("| measured |") == 12
    assert "| controlled-1.6-2 |" in page
    assert "Notes of the load generator" not in page


def test_both_files_lie_side_by_side(checked: Check, tmp_path: Path) -> None:
    data, page = write(checked, MADE_BY, tmp_path / "new" / "sim_check")
    assert (data.name, page.name) == ("sim_check.json", "sim_check.md")
    assert json.loads(data.read_text())["limits"] == {"mean": 0.03, "p95": 0.05, "degraded": 0.02}
    assert page.read_text() == as_page(checked, MADE_BY)


def test_a_place_that_cannot_be_written_is_told(checked: Check, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="name another --out"):
        write(checked, MADE_BY, tmp_path / "file" / "sim_check")
