"""The page of a comparison, from its plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.comparison.comparing import as_plain, compare
from analysis.comparison.ensembles import BUDGETED
from analysis.comparison.evidence import read_evidence
from analysis.comparison.page import HEADS, blocks, budget_rows, rows, steps_of
from analysis.comparison.profile import profile_from_table
from analysis.document import Bullets, Heading, Picture, Table, write_page
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("page")
    server = settings(place, "static")
    folder = write_measured(place / "run", Truth(server), load=0.6, seconds=8.0, seed=2)
    profile = profile_from_table(cost_table(), OVERHEADS)
    return as_plain(compare(read_evidence(folder, server), profile, draws=2, replications=2))


def test_every_compared_figure_has_a_column() -> None:
    assert tuple(HEADS) == BUDGETED


def test_the_first_block_is_the_title_and_can_stand_deeper(plain: dict[str, Any]) -> None:
    assert blocks(plain)[0] == Heading("Measured and modelled: run", 1)
    headings = [block for block in blocks(plain, 3) if isinstance(block, Heading)]
    assert [heading.level for heading in headings] == [3, 4, 4]


def test_models_stand_beside_the_measurement_with_their_deviation(plain: dict[str, Any]) -> None:
    lines = {line[0]: line for line in rows(plain)}
    assert {"measured", "queueing model", "a priori", "trace-driven"} <= set(lines)
    measured, modelled = plain["measured"]["mean_s"], plain["a_priori"]["figures"]["mean_s"]
    assert lines["measured"][1] == f"{measured:.3f}"
    assert lines["a priori"][1] == f"{modelled:.3f} ({modelled / measured - 1:+.1%})"


def test_the_budget_stands_between_its_milestones(plain: dict[str, Any]) -> None:
    kinds = [kind for kind, _ in steps_of(plain["budget"])]
    assert (kinds[0], kinds[-1]) == ("milestone", "milestone")
    assert kinds.count("entry") == len(plain["budget"]["entries"])
    firsts = [line[0] for line in budget_rows(plain)]
    assert [one for one in firsts if one.isupper()] == [
        "QUEUEING MODEL",
        "A PRIORI",
        "TRACE-DRIVEN",
        "MEASURED",
    ]


def test_a_page_with_its_picture_can_be_written(plain: dict[str, Any], tmp_path: Path) -> None:
    found = blocks(plain)
    assert sum(isinstance(block, Table) for block in found) == 2
    (picture,) = [block for block in found if isinstance(block, Picture)]
    assert picture.name == "compare-run"
    assert Bullets(tuple(plain["notes"])) in found
    written = write_page(found, tmp_path / "page.md")
    assert [path.name for path in written] == ["page.md", "compare-run.svg"]


def test_a_load_without_a_queueing_model_has_a_page_too(plain: dict[str, Any]) -> None:
    without = {**plain, "queueing": None, "queueing_method": "no steady state"}
    assert ("queueing model", "none") in [line[:2] for line in rows(without)]
