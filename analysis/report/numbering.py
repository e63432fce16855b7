"""Numbers of sections, tables and figures: one pass over the blocks, shared by HTML and PDF."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.document import Block, Heading, Picture, Table

DEEPEST = 3
"""Headings below this level are shown as this level."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A block in its place: "3.2" for a heading, "Table 4" or "Figure 2"; `anchor` is unique."""

    block: Block
    number: str = ""
    anchor: str = ""


def numbered(blocks: Iterable[Block]) -> list[Entry]:
    """Number headings, tables and pictures; what has no caption takes its section's title."""
    entries = []
    places = [0] * DEEPEST
    tables = figures = 0
    title = ""
    for block in blocks:
        match block:
            case Heading(text, level):
                depth = min(max(level, 1), DEEPEST)
                places[depth - 1] += 1
                places[depth:] = [0] * (DEEPEST - depth)
                title = text
                number = ".".join(str(place) for place in places[:depth])
                entries.append(Entry(replace(block, level=depth), number, f"s{number}"))
            case Table():
                tables += 1
                captioned = replace(block, caption=block.caption or title)
                entries.append(Entry(captioned, f"Table {tables}", f"t{tables}"))
            case Picture():
                figures += 1
                captioned_picture = replace(block, caption=block.caption or title)
                entries.append(Entry(captioned_picture, f"Figure {figures}", f"f{figures}"))
            case _:
                entries.append(Entry(block))
    return entries


def contents(entries: Iterable[Entry], deepest: int = 2) -> list[tuple[Heading, Entry]]:
    """The headings down to a level, with their entries."""
    return [
        (entry.block, entry)
        for entry in entries
        if isinstance(entry.block, Heading) and entry.block.level <= deepest
    ]
