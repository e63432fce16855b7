"""The report opens offline, says what was found, and is the same when built again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from analysis.demo_report import render
from analysis.study import Study, read_study


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
    assert read_study(study.folder, 3).verdicts == study.verdicts


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
