"""The report opens offline, says what was found, and is the same when built again."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from analysis.figures import PICTURES_PER_RUNG, contact_sheet, pictures_by_rung
from analysis.report import render, write_report
from analysis.study import Study
from analysis.tables import HEADINGS, print_study, rows
from tests.analysis.synthetic_demo import write_demo


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    folder = write_demo(tmp_path_factory.mktemp("demo"), slowness=1.3, pictures=60)
    return write_report(folder, replications=3)


def test_the_page_needs_nothing_from_outside(written: tuple[Study, Path]) -> None:
    page = written[1].read_text()
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith(("data:", "#")) for address in loaded)
    assert not re.search(r"<(script|link|iframe)\b|@import", page)
    assert page.count("<svg") == 3
    assert page.count('src="data:image/png;base64,') == 1


def test_the_page_tells_every_verdict_and_note(written: tuple[Study, Path]) -> None:
    study, path = written
    page = path.read_text()
    for verdict in study.verdicts:
        assert verdict.claim.replace("'", "&#x27;") in page
    assert "Largest cause" in page
    assert "no steady state" in page
    assert "python -m loadgen run --rate 1" in page


def test_building_it_again_gives_the_same_page(written: tuple[Study, Path]) -> None:
    study, path = written
    assert render(study) == path.read_text()
    again, _ = write_report(study.folder, replications=3)
    assert again.verdicts == study.verdicts


def test_data_is_left_beside_the_page(written: tuple[Study, Path]) -> None:
    results = json.loads((written[1].parent / "results.json").read_text())
    assert [run["name"] for run in results["runs"]] == [
        "static-0.6",
        "controlled-0.6",
        "static-1.5",
        "controlled-1.5",
    ]


def test_text_from_files_cannot_become_markup(written: tuple[Study, Path]) -> None:
    study = written[0]
    meta = {**study.meta, "commands": ["<script>alert(1)</script>"], "problems": ["<b>"]}
    page = render(
        Study(**{name: getattr(study, name) for name in study.__slots__} | {"meta": meta})
    )
    assert "<script>" not in page


def test_the_contact_sheet_goes_by_rung_in_the_ladders_order(written: tuple[Study, Path]) -> None:
    study = written[0]
    groups = pictures_by_rung([c.run for c in study.comparisons], study.settings["static"])
    known = ["full@25", "full@10", "turbo@4", "full,\nre-planned in flight"]
    assert list(groups) == [rung for rung in known if rung in groups]
    assert "full@25" in groups
    assert len(groups) >= 2
    assert max(len(pictures) for pictures in groups.values()) <= PICTURES_PER_RUNG


def test_without_pictures_there_is_no_sheet(tmp_path: Path) -> None:
    study, page = write_report(
        write_demo(tmp_path / "demo", pictures=0, seconds=6.0), replications=2
    )
    assert contact_sheet(study) is None
    assert "<img" not in page.read_text()


def test_the_table_has_measured_predicted_and_replayed_lines(written: tuple[Study, Path]) -> None:
    study = written[0]
    found = rows(study.comparisons)
    assert len(found) == 12
    assert {len(row.cells) for row in found} == {len(HEADINGS)}
    names = [row.cells[4] for row in found]
    assert names[0:3] == ["measured", "birth-death chain", "simulated, its arrivals"]
    assert "%)" in found[1].cells[5]
    sink = StringIO()
    print_study(study, Console(file=sink))
    told = sink.getvalue()
    assert "FAILS" in told or "holds" in told
    assert "birth-death chain" in told
