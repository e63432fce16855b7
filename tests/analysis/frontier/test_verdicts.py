"""What follows for the claim, from outcomes made by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from analysis.frontier.figure import draw
from analysis.frontier.page import as_text, page, record
from analysis.frontier.schedules import Schedule
from analysis.frontier.study import Race, Tallies, Tally
from analysis.frontier.verdicts import Comparison, compare, levels_of, verdict
from policies.controllers import Static
from policies.nouns import Ladder, Rung
from tests.analysis.frontier.races import LADDER, contender, race

ONE = (Schedule("poisson", 1.5, 14.0),)
JOBS = 1000
HEADER = {
    "command": "python -m analysis frontier",
    "commit": "abc",
    "machine": "m",
    "versions": {"python": "3"},
    "started": "now",
    "took_s": 1.0,
    "load_average": 0.1,
    "costs": "table",
    "jobs": 3000,
}


@dataclass(frozen=True)
class Bound:
    """A bound that says the same of every quality."""

    least: float = 0.0

    def least_violations(self, mean_score: float) -> float | None:
        return self.least

    def best_score(self, violations: float) -> float | None:
        return 1.0 if violations >= self.least else None


def met(
    ours: tuple[float, float], theirs: tuple[float, float], least: float = 0.0
) -> tuple[Race, Tallies, Comparison]:
    """One setting a side, as (share of violations, quality); a full run loses half of its jobs."""
    small = race(
        contender("mine", "ours", Static(2)),
        contender("other", "baseline", Static(1)),
        contender("full", "baseline", Static(0)),
        loads=ONE,
    )
    tallies = [[[tally(*figures)] * 3] for figures in (ours, theirs, (0.5, 1.0))]
    return small, tallies, compare(small, tallies, 0, Bound(least))  # type: ignore[arg-type]


def tally(share: float, quality: float) -> Tally:
    lost = round(share * JOBS)
    return Tally(JOBS, {"late": lost}, (JOBS - lost) * quality)


def finding(comparison: Comparison, name: str) -> str:
    (level,) = (one for one in comparison.levels if one.name == name)
    return level.finding


def test_levels_are_the_rungs_between_the_ends_and_no_further_apart_than_the_gap() -> None:
    levels = levels_of(LADDER)
    assert [name for name, _ in levels[:2]] == ["full@15", "full@10"]
    qualities = [quality for _, quality in levels]
    assert qualities == pytest.approx([0.998, 0.995, 0.9875, 0.98, 0.9725])
    assert levels[2][0] == "75% full@10, 25% turbo@4"
    two = Ladder((Rung("a", 2, "high", score=1.0), Rung("a", 1, "high", score=0.9)))
    assert levels_of(two) == []


def test_a_tenth_of_the_violations_dominates() -> None:
    _, _, found = met((0.01, 0.999), (0.1, 0.999))
    assert finding(found, "full@10") == "fewer violations"
    assert found.holds
    assert "ours dominate: at 5 of 5 levels" in verdict(found)
    assert "0.10 (0.10 to 0.10)" in verdict(found)


def test_half_of_them_with_a_higher_quality_is_told_as_that() -> None:
    _, _, found = met((0.05, 0.9999), (0.1, 0.999))
    assert finding(found, "full@10") == "higher quality"
    assert found.holds
    assert "not a third, but for as many violations a higher quality" in verdict(found)


def test_more_violations_are_behind_and_the_verdict_says_so() -> None:
    _, _, found = met((0.2, 0.999), (0.1, 0.999))
    assert finding(found, "full@10") == "behind"
    assert not found.holds
    assert "do not dominate everywhere" in verdict(found)
    assert "at full@10 ours have 2.00 (2.00 to 2.00) of the best baseline's violations" in verdict(
        found
    )


def test_violations_where_a_baseline_has_none_are_behind() -> None:
    _, _, found = met((0.02, 0.999), (0.0, 0.999))
    assert not found.holds
    assert "at full@10 ours lose 2.00 % of the jobs and a baseline none" in verdict(found)


def test_what_no_policy_can_is_no_defeat() -> None:
    _, _, found = met((0.1, 0.999), (0.1, 0.999), least=0.05)
    assert finding(found, "full@10") == "no policy can"
    assert found.holds
    assert "even one that knew all arrivals beforehand would lose 5.0 % of the jobs" in verdict(
        found
    )


def test_without_violations_on_either_side_there_is_nothing_to_win() -> None:
    _, _, found = met((0.0, 0.999), (0.0, 0.999))
    assert finding(found, "full@10") == "no violations on either side"
    assert "neither side has a violation" in verdict(found)


def test_page_and_record_hold_what_was_found() -> None:
    small, tallies, found = met((0.0, 0.999), (0.1, 0.999))
    said = page(small, [found], HEADER, "frontier.svg")
    # Wilson's upper end for none of 3000.
    assert "| mine (0) | < 0.13; 0.9990; 0.999 |" in said
    assert "10.00 ± 0.00; 0.9990; 0.899" in said
    assert "![violations against mean score](frontier.svg)" in said
    content = record(small, tallies, [found], HEADER)
    again = json.loads(as_text(content))
    assert again["runners"][1]["results"]["poisson-1.5"]["lost"] == {"late": [100, 100, 100]}
    assert again["schedules"][0]["at_quality"][0]["ratio"] == 0.0


def test_levels_without_violations_take_one_line_together() -> None:
    small, _, found = met((0.0, 0.999), (0.0, 0.999))
    rows = [
        line for line in page(small, [found], HEADER, "x.svg").splitlines() if "neither" in line
    ]
    assert len(rows) == 2  # one in the verdict, one in the table
    assert "full@15 to 25% full@10, 75% turbo@4" in rows[1]


def test_the_figure_has_a_panel_a_schedule_and_stays_the_same() -> None:
    small, tallies, _ = met((0.0, 0.999), (0.1, 0.999))
    drawn = draw(small, tallies)
    assert drawn.count('id="axes_') >= 2
    assert drawn == draw(small, tallies)
    assert "<svg" in drawn


def test_an_interval_without_an_upper_end_is_written_as_null() -> None:
    small, _, _ = met((0.0, 0.999), (0.1, 0.999))
    # In draws that leave out the last replication the baselines have no violation, and ours do.
    mine = [tally(0.01, 0.999)] * 2 + [tally(0.0, 0.999)]
    other = [tally(0.0, 0.999)] * 2 + [tally(0.2, 0.999)]
    tallies = [[mine], [other], [[tally(0.5, 1.0)] * 3]]
    found = compare(small, tallies, 0, Bound())  # type: ignore[arg-type]
    content = json.loads(as_text(record(small, tallies, [found], HEADER)))
    low, high = content["schedules"][0]["at_quality"][0]["band"]
    assert low == 0.0
    assert high is None
    assert "inf" in page(small, [found], HEADER, "x.svg")
