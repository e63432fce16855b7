"""Long tables keep their beginning and say where the rest is."""

from __future__ import annotations

from analysis.document import Paragraph, Table
from analysis.report.shortening import shortened


def table(rows: int) -> Table:
    return Table(("n",), tuple((str(n),) for n in range(rows)))


def test_a_long_table_is_cut_and_says_where_all_of_it_is() -> None:
    assert shortened([table(50)], "x/page.md", 20) == [
        table(20),
        Paragraph("The first 20 of 50 rows are shown; all are in `x/page.md`."),
    ]


def test_what_is_short_stays() -> None:
    assert shortened([table(20), Paragraph("x")], "page.md", 20) == [table(20), Paragraph("x")]


def test_a_column_without_any_figure_is_left_out() -> None:
    (found,) = shortened([Table(("n", "cost", "s"), (("a", "", "1"), ("b", "", "")))], "page.md")
    assert found == Table(("n", "s"), (("a", "1"), ("b", "")))
