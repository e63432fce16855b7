"""Sections, tables and figures are counted through the whole report."""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis.document import Heading, Paragraph, Picture, Table
from analysis.report.numbering import contents, numbered

TABLE = Table(("a",), (("b",),))


def test_sections_are_numbered_by_level() -> None:
    levels = [1, 2, 2, 3, 1, 2, 3]
    entries = numbered(Heading(f"t{n}", level) for n, level in enumerate(levels))
    assert [one.number for one in entries] == ["1", "1.1", "1.2", "1.2.1", "2", "2.1", "2.1.1"]
    assert len({one.anchor for one in entries}) == len(entries)


def test_tables_and_figures_are_counted_apart_and_have_a_caption() -> None:
    entries = numbered(
        [
            Heading("Speeds", 1),
            TABLE,
            Picture("p", Figure(), "A curve"),
            Paragraph("words"),
            TABLE,
        ]
    )
    assert [one.number for one in entries] == ["1", "Table 1", "Figure 1", "", "Table 2"]
    assert isinstance(entries[1].block, Table)
    assert entries[1].block.caption == "Speeds"
    assert isinstance(entries[2].block, Picture)
    assert entries[2].block.caption == "A curve"


def test_contents_list_headings_down_to_a_level() -> None:
    entries = numbered([Heading("a", 1), Heading("b", 2), Heading("c", 3), TABLE])
    assert [heading.text for heading, _ in contents(entries)] == ["a", "b"]
    assert [entry.number for _, entry in contents(entries, deepest=1)] == ["1"]


def test_headings_deeper_than_shown_are_shown_as_the_deepest() -> None:
    entries = numbered([Heading("a", 1), Heading("b", 5)])
    assert isinstance(entries[1].block, Heading)
    assert entries[1].block.level == 3
