"""Blocks become a Markdown page with its pictures beside it, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.document import (
    Bullets,
    Code,
    Heading,
    Paragraph,
    Picture,
    Span,
    Table,
    spans,
    to_markdown,
    write_page,
)


def drawn() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2, 3], [2, 1, 3], "k--", label="λ")
    return figure


def test_every_block_has_its_markdown() -> None:
    page = to_markdown(
        [
            Heading("A title", 1),
            Paragraph("Words with `code`."),
            Bullets(("one", "two")),
            Table(("case", "value"), (("a|b", "1.5"),), caption="What was found"),
            Picture("shape", drawn(), "A line"),
            Code("make report"),
        ]
    )
    assert page.startswith("# A title\n\nWords with `code`.\n\n- one\n- two\n\n")
    assert "What was found\n\n| case | value |\n| --- | ---: |\n| a\\|b | 1.5 |" in page
    assert "![A line](shape.svg)\n\n*A line*" in page
    assert page.endswith("```\nmake report\n```\n")


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells under a head of 1"):
        Table(("case",), (("a", "b"),))


def test_pictures_stand_beside_the_page_and_are_the_same_every_time(tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.md"
    written = write_page([Heading("T", 1), Picture("shape", drawn())], page)
    assert written == [page, page.with_name("shape.svg")]
    again = Picture("shape", drawn()).svg()
    assert written[1].read_text(encoding="utf-8") == again + "\n"
    assert "<text" not in again  # letters are outlines
    assert Picture("shape", drawn()).png().startswith(b"\x89PNG")


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="name another --out"):
        write_page([Heading("T", 1)], tmp_path / "file" / "page.md")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [Span("plain")]),
        ("see `make x`, then", [Span("see "), Span("make x", True), Span(", then")]),
        ("`a``b`", [Span("a", True), Span("b", True)]),
        ("it`s alone", [Span("it`s alone")]),
        ("`a` and ` alone", [Span("a", True), Span(" and ` alone")]),
        ("", []),
    ],
)
def test_code_stands_between_backticks(text: str, expected: list[Span]) -> None:
    assert spans(text) == expected
