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
    assert len(found) == 15  # overload of the static server has no queueing model
    assert {len(row.cells) for row in found} == {len(HEADINGS)}
    names = [row.cells[4] for row in found]
    assert names[0:3] == ["measured", "queueing model", "simulated, a priori"]
    assert "%)" in found[1].cells[5]
    sink = StringIO()
    print_study(study, Console(file=sink))
    told = sink.getvalue()
    assert "FAILS" in told or "holds" in told
    assert "no steady state" in told
