"""The page, and what it admits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.document import Heading, Table, to_markdown, write_page
from analysis.validation.figure import EDGE, predicted_against_measured
from analysis.validation.page import blocks, summary
from tests.analysis.validation.documents import document


@pytest.fixture
def page() -> str:
    return to_markdown(blocks(json.loads(json.dumps(document()))))


def table(caption: str) -> Table:
    (one,) = [b for b in blocks(document()) if isinstance(b, Table) and caption in b.caption]
    return one


def test_the_page_begins_with_its_title() -> None:
    first = blocks(document())[0]
    assert isinstance(first, Heading)
    assert first.level == 1


def test_verdicts_tell_what_passed_what_missed_and_by_how_much() -> None:
    static, in_flight = table("Predicted against measured").rows
    assert static[:3] == ("static 0.6", "320 (42)", "+1.0% passed *")
    assert static[5] == "+1.0 points passed *"
    assert static[6] == "+4.0% passed"
    assert in_flight[2:4] == ("-12.0% missed by 9.0% *", "-12.0% missed by 7.0%")
    assert in_flight[5] == "-12.0 points missed by 10.0 points *"
    assert in_flight[6:] == ("+20.0% passed, in the band", "+20.0% passed, in the band")


def test_the_summary_counts_limits_and_bands_apart() -> None:
    sentences = summary(document())
    assert sentences[0] == (
        "Trace-driven, mean within 3%: 1 of 2 loads; 2 of the runs too short for the claim."
    )
    assert sentences[3].startswith("Trace-driven, degraded share within 2 points: 1 of 2 loads")
    assert sentences[4] == (
        "A priori, mean within 5%: 1 of 2 loads; inside the finite-run band: 2; within the limit or"
        " inside the band: 2."
    )


def test_a_model_without_figures_has_a_row_that_says_so() -> None:
    rows = table("95 % intervals").rows
    assert [row[1] for row in rows[:4]] == [
        "measured",
        "queueing model",
        "a priori",
        "trace-driven",
    ]
    assert rows[5][2:] == ("-",) * 7
    assert rows[0][2] == "1.000 [0.960, 1.040]"
    assert rows[1][2] == "3.000"


def test_the_budget_of_a_load_adds_up() -> None:
    (one,) = [b for b in blocks(document()) if isinstance(b, Table) and b.head[-1] == "measured"]
    assert one.head[1:-1] == ("predicted", "its arrivals", "its costs", "what is left")
    assert one.rows[0] == ("static 0.6", "930 (a priori)", "+100", "-50", "+20", "1000")


def test_the_page_admits_what_is_missing_and_invalid(page: str) -> None:
    assert "- at_start-0.8 was not measured." in page
    assert "- at_start-1.2 cannot be compared: no request was served." in page
    assert "- static 0.6: A note of its own. A note of the comparison.\n" in page
    assert (
        "- in-flight 2.5: The load generator's audit calls the run invalid. A note of the comparison."
        " The queueing model has no figures: it is not stable.\n"
    ) in page


def test_the_page_tells_how_it_was_made(page: str) -> None:
    for told in ("abc1234", "a machine, 2 cores", "static 0.6: 10001", "130001", "6.01 pictures"):
        assert told in page
    assert "python -m loadgen run --rate 1" in page


def test_page_and_figure_are_files_beside_each_other(tmp_path: Path) -> None:
    written = write_page(blocks(document()), tmp_path / "validation.md")
    assert [path.name for path in written] == ["validation.md", "validation.svg"]


def test_what_is_far_off_stands_at_the_edge_with_its_number() -> None:
    mean, _ = predicted_against_measured(document()["loads"]).get_axes()
    (text,) = [one.get_text() for one in mean.texts]
    assert text == "+200%"
    assert mean.get_ylim()[1] >= 100 * EDGE
    labels = [
        one.get_text()
        for one in predicted_against_measured(document()["loads"]).axes[0].get_legend().get_texts()
    ]
    assert len(labels) == len(set(labels)) == 6
