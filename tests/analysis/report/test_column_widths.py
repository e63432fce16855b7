"""Columns share a page so that lines break as little as they must."""

from __future__ import annotations

from analysis.document import Table
from analysis.report.column_widths import PADDING_MM, fit

PORTRAIT_MM, LANDSCAPE_MM = 170.0, 257.0


def measure(text: str, size_pt: float, is_bold: bool) -> float:
    """Letters of one width: 0.2 mm a point."""
    return 0.2 * size_pt * len(text)


def test_a_small_table_keeps_large_letters_and_its_natural_width() -> None:
    found = fit(Table(("case", "s"), (("mm1", "2.00"),)), measure, PORTRAIT_MM, LANDSCAPE_MM)
    assert not found.is_landscape
    assert found.size_pt == 8.5
    assert found.widths_mm == (0.2 * 8.5 * 4 + 2 * PADDING_MM, 0.2 * 8.5 * 4 + 2 * PADDING_MM)


def test_prose_is_broken_between_words_before_letters_shrink_much() -> None:
    table = Table(("what", "why"), (("a word " * 20, "another " * 30),), text_columns=2)
    found = fit(table, measure, PORTRAIT_MM, LANDSCAPE_MM)
    assert not found.is_landscape
    assert found.size_pt == 8.5
    assert sum(found.widths_mm) <= PORTRAIT_MM + 1e-9


def test_figures_break_before_their_interval_only() -> None:
    cell = "0.594 (0.519 to 0.678)"
    table = Table(("case", *"abcdef"), (("x", *[cell] * 6),))
    found = fit(table, measure, PORTRAIT_MM, LANDSCAPE_MM)
    bracket_mm = measure("(0.519 to 0.678)", found.size_pt, False) + 2 * PADDING_MM
    assert not found.is_landscape
    assert all(width >= bracket_mm - 1e-9 for width in found.widths_mm[1:])


def test_too_many_columns_lie_on_their_side_with_smaller_letters() -> None:
    table = Table(tuple("abcdefghijklmnop"), (tuple("1234567890.123" for _ in range(16)),))
    found = fit(table, measure, PORTRAIT_MM, LANDSCAPE_MM)
    assert found.is_landscape
    assert sum(found.widths_mm) <= LANDSCAPE_MM + 1e-9
    assert not found.breaks_words


def test_what_fits_nowhere_is_squeezed_and_says_so() -> None:
    found = fit(Table(("a", "b"), (("x" * 900, "y" * 900),)), measure, PORTRAIT_MM, LANDSCAPE_MM)
    assert found.breaks_words
    assert abs(sum(found.widths_mm) - LANDSCAPE_MM) < 1e-6
