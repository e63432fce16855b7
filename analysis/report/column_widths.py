"""Widths of a table's columns so that it fits a page, and how large its letters can then be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.document import Table
from analysis.report.telling import unbroken

Measure = Callable[[str, float, bool], float]
"""The width in mm of a text at a size in points, bold or not."""

PORTRAIT_PT = (8.5, 8.0, 7.5, 7.0, 6.5, 6.0)
LANDSCAPE_PT = (8.0, 7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
WHOLE_PT = 7.0
"""Letters are made so small for the sake of unbroken lines, and no smaller."""
LINES_MAX, FIGURE_LINES_MAX = 7, 3
"""A cell of words, or of figures, of more lines than this is hard to read: then smaller letters or a wide page are tried."""
PADDING_MM = 1.0
"""Left and right of a cell's text."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a table is shown; `breaks_words` where even its longest words do not fit."""

    widths_mm: tuple[float, ...]
    size_pt: float
    is_landscape: bool
    breaks_words: bool = False


@dataclass(frozen=True, slots=True)
class _Needs:
    """Widths in mm by column: with no line broken, and with lines broken where they may be."""

    whole: tuple[float, ...]
    least: tuple[float, ...]


def fit(table: Table, measure: Measure, portrait_mm: float, landscape_mm: float) -> Fit:
    """Upright with unbroken lines if that does, else with broken ones, else on its side."""
    spare: Fit | None = None
    for room_mm, sizes_pt, is_landscape in (
        (portrait_mm, PORTRAIT_PT, False),
        (landscape_mm, LANDSCAPE_PT, True),
    ):
        needs = {size_pt: _needs(table, measure, size_pt) for size_pt in sizes_pt}
        for size_pt, need in needs.items():
            if size_pt >= WHOLE_PT and sum(need.whole) <= room_mm:
                return Fit(need.whole, size_pt, is_landscape)
        for size_pt, need in needs.items():
            widths = _shared(need, room_mm)
            if widths is None:
                continue
            found = Fit(widths, size_pt, is_landscape)
            if _is_readable(need, widths, table.text_columns):
                return found
            spare = spare or found
    if spare is not None:
        return spare
    least = _needs(table, measure, LANDSCAPE_PT[-1]).least
    scale = landscape_mm / sum(least)
    return Fit(tuple(scale * each for each in least), LANDSCAPE_PT[-1], True, breaks_words=True)


def _needs(table: Table, measure: Measure, size_pt: float) -> _Needs:
    whole, least = [], []
    for n, head in enumerate(table.head):
        cells = {row[n] for row in table.rows}
        if n >= table.text_columns:
            cells = {unbroken(cell) for cell in cells}
        names = max((measure(word, size_pt, True) for word in head.split()), default=0.0)
        title = measure(head, size_pt, True)
        lines = max((measure(cell, size_pt, False) for cell in cells), default=0.0)
        words = max(
            (measure(word, size_pt, False) for cell in cells for word in cell.split(" ")),
            default=0.0,
        )
        whole.append(max(lines, title) + 2 * PADDING_MM)
        least.append(max(words, names) + 2 * PADDING_MM)
    return _Needs(tuple(whole), tuple(least))


def _shared(needs: _Needs, room_mm: float) -> tuple[float, ...] | None:
    """What is left beyond the least widths goes to the columns by what they lack."""
    if sum(needs.whole) <= room_mm:
        return needs.whole
    spare_mm = room_mm - sum(needs.least)
    if spare_mm < 0:
        return None
    lacking = [whole - least for whole, least in zip(needs.whole, needs.least, strict=True)]
    share = spare_mm / sum(lacking)
    return tuple(least + share * lack for least, lack in zip(needs.least, lacking, strict=True))


def _is_readable(needs: _Needs, widths: Sequence[float], text_columns: int) -> bool:
    lines = [math.ceil(whole / width) for whole, width in zip(needs.whole, widths, strict=True)]
    words, figures = lines[:text_columns], lines[text_columns:]
    return max(words, default=1) <= LINES_MAX and max(figures, default=1) <= FIGURE_LINES_MAX
