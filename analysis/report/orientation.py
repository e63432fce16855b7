"""Which pages of the PDF lie on their side."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.document import Block, Bullets, Code, Heading, Paragraph
from analysis.report.column_widths import Fit

SHORT_CHARS = 900
"""So many letters go with a table on the same page."""


def lying(blocks: Sequence[Block], fits: Sequence[Fit | None]) -> list[bool]:
    """Which blocks stand on pages that lie on their side: wide tables, the short heading and words
    that lead to one, and the short words below it, so that nothing is left alone on a page."""
    wide = [shown is not None and shown.is_landscape for shown in fits]
    found = list(wide)
    for n in [n for n, is_wide in enumerate(wide) if is_wide]:
        start = n
        while start and _is_short(blocks[start - 1]):
            start -= 1
        while start < n and not isinstance(blocks[start], Heading) and not found[start - 1]:
            start += 1
        end = n + 1
        while end < len(blocks) and _is_short(blocks[end]):
            if isinstance(blocks[end], Heading):
                break
            end += 1
        found[start:end] = [True] * (end - start)
    return found


def _is_short(block: Block) -> bool:
    match block:
        case Heading():
            return True
        case Paragraph(text) | Code(text):
            return len(text) <= SHORT_CHARS
        case Bullets(items):
            return sum(len(item) for item in items) <= SHORT_CHARS
        case _:
            return False
