"""Studies' blocks as sections of the report: long tables cut, with a pointer to the whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from analysis.document import Block, Paragraph, Table

ROWS_MAX = 40
"""Two thirds of a printed page."""


def shortened(blocks: Iterable[Block], page: str, rows_max: int = ROWS_MAX) -> list[Block]:
    """Tables longer than `rows_max` keep their first rows; `page` is where all of them are.

    Columns of figures in which nothing stands are left out.
    """
    found: list[Block] = []
    for block in blocks:
        if isinstance(block, Table):
            block = _without_empty_columns(block)
        if isinstance(block, Table) and len(block.rows) > rows_max:
            found.append(replace(block, rows=block.rows[:rows_max]))
            where = f"; all are in `{page}`" if page else ""
            found.append(
                Paragraph(f"The first {rows_max} of {len(block.rows)} rows are shown{where}.")
            )
        else:
            found.append(block)
    return found


def _without_empty_columns(table: Table) -> Table:
    kept = [
        n
        for n in range(len(table.head))
        if n < table.text_columns or not table.rows or any(row[n] for row in table.rows)
    ]
    return replace(
        table,
        head=tuple(table.head[n] for n in kept),
        rows=tuple(tuple(row[n] for n in kept) for row in table.rows),
    )
