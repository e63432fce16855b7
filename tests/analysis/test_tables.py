"""The table and the verdicts as a terminal shows them."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from analysis.study import Study
from analysis.tables import HEADINGS, print_study, rows


def test_the_table_has_measured_predicted_and_replayed_lines(written: tuple[Study, Path]) -> None:
    study = written[0]
    found = rows(study.comparisons)
    assert len(found) == 14  # the static server at low load has two closed forms besides
    assert {len(row.cells) for row in found} == {len(HEADINGS)}
    names = [row.cells[4] for row in found]
    assert names[0:3] == ["measured", "birth-death chain", "M/G/c, its service times"]
    assert "%)" in found[1].cells[5]
    sink = StringIO()
    print_study(study, Console(file=sink))
    told = sink.getvalue()
    assert "FAILS" in told or "holds" in told
    assert "birth-death chain" in told
