"""A paper with every kind of block."""

from __future__ import annotations

from datetime import UTC, datetime

from matplotlib.figure import Figure

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.report.numbering import numbered
from analysis.report.paper import Paper

MINUS = "\N{MINUS SIGN}"


def picture(caption: str = "A curve of `x`") -> Picture:
    with plain_style():
        figure = Figure(figsize=(4, 2))
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3, 1, 2], "k--", label=f"λ {MINUS} μ")
        axes.legend()
    return Picture("curve", figure, caption)


def paper_of(*blocks: Block) -> Paper:
    """A paper whose body these are."""
    return Paper(
        title="A title & more",
        under=("Measured on `x` <here>.",),
        abstract=(Paragraph(f"What was found: λ ≤ 1 {MINUS} ε."), Bullets(("first", "second"))),
        body=tuple(numbered(blocks)),
        dated=datetime(2026, 1, 2, tzinfo=UTC),
    )


def full_paper() -> Paper:
    """Every kind of block, twice where that matters."""
    return paper_of(
        Heading("One <section>", 1),
        Paragraph(f"λ, μ ≤ 1 {MINUS} ε and `python -m analysis report --out a/long/path/for/it`."),
        Heading("Below", 2),
        Bullets(("a `code` item", "another")),
        Table(
            ("case", "value"),
            tuple((f"row {n} & co", f"{n:.2f} (1.00 to 2.00)") for n in range(90)),
            caption="Long",
        ),
        picture(),
        picture("The same again"),
        Heading("Two", 1),
        Code("make report <x>\n" + "y" * 300),
    )
