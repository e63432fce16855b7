"""What a study has to say, apart from how it is shown: blocks that become Markdown, HTML or PDF.

Texts are plain, with `code` between backticks. A study's page and the report show the same blocks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from matplotlib import rc_context
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; level 1 is the page's own, 2 and 3 are below it."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """One sentence or two each."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as shown. The first `text_columns` columns are words, the others figures.

    ValueError if a row is not as long as the head.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"a row of {len(row)} cells under a head of {len(self.head)}")


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that can be read in black and white; `name` is its file beside a page, without end."""

    name: str
    figure: Figure = field(compare=False)
    caption: str = ""

    def svg(self) -> str:
        """The figure as an SVG element, letters as outlines."""
        sink = io.StringIO()
        # Letters as outlines, so that no font is needed; the same names of parts in every run.
        with rc_context({"svg.fonttype": "path", "svg.hashsalt": "sluice"}):
            self.figure.savefig(sink, format="svg", metadata={"Date": None})
        text = sink.getvalue()
        return text[text.index("<svg") :]  # without the XML head, which HTML does not take

    def png(self, dots_per_inch: int = 200) -> bytes:
        """The figure as a raster."""
        sink = io.BytesIO()
        self.figure.savefig(sink, format="png", dpi=dots_per_inch)
        return sink.getvalue()


@dataclass(frozen=True, slots=True)
class Code:
    """Lines as they are: commands, formulas."""

    text: str


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Picture | Code


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text: words, or code that stood between backticks."""

    text: str
    is_code: bool = False


def spans(text: str) -> list[Span]:
    """A text as words and code in turn. A backtick without a partner is an ordinary letter."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        pieces[-2:] = ["`".join(pieces[-2:])]
    return [Span(piece, n % 2 == 1) for n, piece in enumerate(pieces) if piece]


def to_markdown(blocks: Iterable[Block]) -> str:
    """A page; its pictures are files beside it."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def write_page(blocks: Sequence[Block], page: Path) -> list[Path]:
    """Write a Markdown page and its pictures beside it; all paths written.

    ValueError, one sentence, if they cannot be written.
    """
    written = [page]
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(to_markdown(blocks), encoding="utf-8")
        for block in blocks:
            if isinstance(block, Picture):
                path = page.with_name(f"{block.name}.svg")
                path.write_text(block.svg() + "\n", encoding="utf-8")
                written.append(path)
    except OSError as error:
        raise ValueError(
            f"{page} cannot be written ({error.strerror}); name another --out"
        ) from None
    return written


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table():
            return _markdown_table(block)
        case Picture(name, _, caption):
            shown = f"![{caption}]({name}.svg)"
            return f"{shown}\n\n*{caption}*" if caption else shown
        case Code(text):
            return f"```\n{text}\n```"


def _markdown_table(table: Table) -> str:
    marks = ["---" if n < table.text_columns else "---:" for n in range(len(table.head))]
    lines = [table.head, tuple(marks), *table.rows]
    text = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )
    return f"{table.caption}\n\n{text}" if table.caption else text
