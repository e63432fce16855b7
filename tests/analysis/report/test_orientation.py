"""Wide tables lie on their side, with the few words that belong to them."""

from __future__ import annotations

from analysis.document import Block, Heading, Paragraph, Table
from analysis.report.column_widths import Fit
from analysis.report.orientation import lying

WIDE = Table(("a",), (("b",),))


def test_a_heading_goes_with_the_wide_table_that_it_leads_to() -> None:
    widths = Fit((1.0,), 8.0, is_landscape=True)
    blocks: list[Block] = [
        Heading("a", 1),
        Paragraph("long " * 300),
        Heading("b", 2),
        Paragraph("short"),
        WIDE,
        Paragraph("short"),
        Heading("c", 2),
        Paragraph("of another matter"),
    ]
    fits = [widths if isinstance(one, Table) else None for one in blocks]
    assert lying(blocks, fits) == [False, False, True, True, True, True, False, False]


def test_between_two_wide_tables_no_page_stands_up_for_a_few_words() -> None:
    widths = Fit((1.0,), 8.0, is_landscape=True)
    blocks: list[Block] = [WIDE, Heading("b", 2), Paragraph("short"), WIDE]
    assert lying(blocks, [widths, None, None, widths]) == [True] * 4


def test_without_wide_tables_all_stand_up() -> None:
    upright = Fit((1.0,), 8.0, is_landscape=False)
    assert lying([Heading("b", 2), WIDE], [None, upright]) == [False, False]
