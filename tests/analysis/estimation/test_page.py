"""The page says what was estimated, and what was not."""

from __future__ import annotations

from typing import Any

from analysis.document import Bullets, Heading, Picture, Table, to_markdown
from analysis.estimation.page import TOPIC_NAMES, blocks, findings, shortfalls


def test_every_topic_has_a_heading_below_the_runs_own(results: dict[str, Any]) -> None:
    headings = [block for block in blocks(results) if isinstance(block, Heading)]
    assert headings[0].level == 1
    assert "run" in headings[0].text
    assert [(one.text, one.level) for one in headings[1:]] == [
        (title, 2) for title in TOPIC_NAMES.values()
    ]


def test_the_page_has_three_figures_named_after_the_run(results: dict[str, Any]) -> None:
    pictures = [block for block in blocks(results) if isinstance(block, Picture)]
    names = ["estimate-run-gaps", "estimate-run-service", "estimate-run-batch-speed"]
    assert [picture.name for picture in pictures] == names
    assert all(picture.svg().startswith("<svg") for picture in pictures)


def test_figures_stand_with_their_intervals(results: dict[str, Any]) -> None:
    page = to_markdown(blocks(results))
    rate = results["arrivals"]["rate_per_s"]
    band = results["arrivals"]["rate_band"]
    assert f"Rate {rate:.3g} ({band['low']:.3g} to {band['high']:.3g}) a second" in page
    tables = [block for block in blocks(results) if isinstance(block, Table)]
    (points,) = (table for table in tables if table.head[0] == "jobs in the call")
    assert [row[0] for row in points.rows] == ["1", "2", "3", "4"]
    assert points.rows[0][1] == "400"


def test_the_first_list_has_a_sentence_for_each_topic(results: dict[str, Any]) -> None:
    first = next(block for block in blocks(results) if isinstance(block, Bullets))
    assert list(first.items) == findings(results)
    assert len(first.items) == len(TOPIC_NAMES)
    assert "Nothing speaks against a Poisson process" in first.items[0]


def test_a_topic_that_could_not_be_estimated_says_why(results: dict[str, Any]) -> None:
    cut = {**results, "service": {"cannot": "3 service times are too few"}}
    page = to_markdown(blocks(cut))
    assert "Not estimated: 3 service times are too few." in page
    assert len(findings(cut)) == len(TOPIC_NAMES) - 1
    assert "Service times could not be estimated: 3 service times are too few." in shortfalls(cut)


def test_a_run_too_short_for_its_claim_is_a_shortfall(results: dict[str, Any]) -> None:
    steady = results["steady_state"]
    length = {**steady["run_length"], "n": 100, "needed": 5000, "half_width": 0.35}
    (said,) = shortfalls({**results, "steady_state": {**steady, "run_length": length}})
    assert "too short for a half-width of 5 %" in said
    assert "5,000 requests" in said
    enough = {**length, "n": 9000}
    assert shortfalls({**results, "steady_state": {**steady, "run_length": enough}}) == []


def test_an_invalid_run_is_called_so(results: dict[str, Any]) -> None:
    invalid = {**results["run"], "valid": False, "reasons": ["requests went out late."]}
    page = to_markdown(blocks({**results, "run": invalid}))
    assert "calls this run invalid: requests went out late." in page
    assert "invalid" not in to_markdown(blocks(results))


def test_suspicious_requests_are_listed(results: dict[str, Any]) -> None:
    wrong = [{"index": 7, "why": "it was never answered"}]
    topic = {**results["littles_law"], "suspicious": wrong, "suspicious_in_all": 3}
    page = to_markdown(blocks({**results, "littles_law": topic}))
    assert "request 7: it was never answered\nand 2 more" in page
