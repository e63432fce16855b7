"""Claims, and the two files they are written to."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipelines.benchmarks.comparison import Interval, summarise
from pipelines.benchmarks.report import Claim, Section, Table, claim_of, figure_text, write_report

HEADER: dict[str, Any] = {
    "command": "python -m pipelines.benchmarks engine --out x.json",
    "commit": "abc1234",
    "started_at": "2026-01-01T00:00:00+00:00",
    "duration_s": 12.3,
    "hardware": "a processor, 2 cores",
    "memory_gib": 8.0,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "seed": 1,
    "threads": 2,
    "settings": {"steps": 25},
    "load_average_start": 0.1,
    "load_average_end": 1.9,
    "others_processor_share": 0.01,
    "calibration_ms": [10.0],
    "calibration_unevenness": 1.02,
    "warnings": ["The machine was busy: load average 3.00 at the start."],
}


@pytest.mark.parametrize(
    ("figure", "at_most", "verdict"),
    [
        (1.05, True, "holds"),
        (1.06, True, "fails"),
        (1.05, False, "holds"),
        (1.04, False, "fails"),
        (None, True, "not measured"),
    ],
)
def test_a_claim_holds_if_its_figure_meets_the_goal(
    figure: float | None, at_most: bool, verdict: str
) -> None:
    assert Claim("x", figure, 1.05, at_most).verdict == verdict


def test_a_claim_is_sure_if_its_whole_interval_is_on_one_side_of_the_goal() -> None:
    assert Claim("x", 1.0, 1.05, True, Interval(0.9, 1.04)).is_sure
    assert Claim("x", 1.2, 1.05, True, Interval(1.1, 1.3)).is_sure
    assert not Claim("x", 1.0, 1.05, True, Interval(0.9, 1.06)).is_sure
    assert not Claim("x", 1.0, 1.05, True).is_sure


def test_both_files_tell_every_claim_with_its_goal_and_verdict(tmp_path: Path) -> None:
    sections = [
        Section(
            "Speed",
            "How it was done.",
            (
                claim_of("one job", summarise([1.01, 1.02, 1.03]), 1.05, at_most=True),
                Claim("growth", 0.5, 1.0, True, Interval(-math.inf, math.inf), "kB"),
                Claim("on a card", None, 2.0, False, note="there is no card"),
            ),
            Table(("name", "seconds"), (("engine", "1"), ("library", "2"))),
            {"seconds": [1.0, 2.0]},
        )
    ]
    path = tmp_path / "results" / "engine.json"
    write_report(path, "The engine", HEADER, sections)
    content = json.loads(path.read_text())
    assert content["header"] == HEADER
    assert [claim["verdict"] for claim in content["claims"]] == ["holds", "holds", "not measured"]
    assert content["claims"][1]["interval"] == [None, None]
    assert content["sections"]["Speed"]["measurements"] == {"seconds": [1.0, 2.0]}
    page = path.with_suffix(".md").read_text()
    assert "| one job | 1.02 (1.01 to 1.03) | at most 1.05 | holds |" in page
    assert (
        "| growth | 0.5 (-inf to inf) kB | at most 1 kB | holds (the interval reaches across)"
        in page
    )
    assert "| on a card | there is no card | at least 2 | not measured |" in page
    assert "| engine | 1 |" in page
    assert "**The machine was busy: load average 3.00 at the start.**" in page
    assert "abc1234" in page
    assert "Seed 1, 2 threads" in page


def test_a_figure_tells_its_interval_in_the_unit_asked_for() -> None:
    assert figure_text(summarise([0.0123, 0.0123]), scale=1000) == "12.3 (12.3 to 12.3)"
