"""The PDF opens, has its pages, keeps tables on them, and is the same every time."""

from __future__ import annotations

import re
import zlib

import pytest

from analysis.document import Bullets, Heading, Paragraph, Table
from analysis.report.paper import Paper
from analysis.report.pdf import A4_MM, MARGIN_MM, render
from analysis.report.pdf_text import MM_PER_PT
from tests.analysis.report.papers import MINUS, paper_of, picture

WIDE = Table(
    tuple(f"a head of column {n}" for n in range(16)),
    tuple(tuple(f"some words in cell {n}" for n in range(16)) for _ in range(60)),
    text_columns=16,
    caption="Wide",
)


def boxes(document: bytes) -> list[tuple[float, float]]:
    """Width and height in points of every page that has a size of its own, else of all."""
    found = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", document)
    return [(float(width), float(height)) for width, height in found]


def page_count(document: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", document))


def drawn_rights_pt(document: bytes) -> list[float]:
    """The right ends of all horizontal lines (tables') that are drawn."""
    ends = []
    for stream in re.findall(rb"stream\n(.*?)\nendstream", document, re.DOTALL):
        try:
            text = zlib.decompress(stream)
        except zlib.error:  # a font or a picture under another filter
            continue
        ends += [
            float(right)
            for _, y, right, y_end in re.findall(
                rb"([\d.]+) ([\d.]+) m ([\d.]+) ([\d.]+) l S", text
            )
            if y == y_end
        ]
    return ends


def test_it_is_a_pdf_with_contents_bookmarks_and_pages(paper: Paper) -> None:
    document = render(paper)
    assert document.startswith(b"%PDF-1.")
    assert document.rstrip().endswith(b"%%EOF")
    assert page_count(document) >= 5  # title, contents, and a table over three pages
    count = re.search(rb"/Count (\d+)\n/Kids", document)
    assert count is not None
    assert int(count.group(1)) == page_count(document)
    assert len(re.findall(rb"/Title ", document)) >= 4  # the document's and three bookmarks'
    assert b"/Type /Outlines" in document


def test_the_same_paper_gives_the_same_bytes() -> None:
    assert render(paper_of(Heading("a", 1), picture())) == render(
        paper_of(Heading("a", 1), picture())
    )


def test_a_wide_table_lies_on_its_side_and_does_not_run_off_the_page() -> None:
    document = render(paper_of(Heading("a", 1), WIDE, Paragraph("after")))
    widths = {width for width, _ in boxes(document)}
    landscape_pt = A4_MM[1] / MM_PER_PT
    assert any(width == pytest.approx(landscape_pt, abs=0.5) for width in widths)
    rights = drawn_rights_pt(document)
    assert rights
    assert max(rights) <= landscape_pt - MARGIN_MM / MM_PER_PT + 0.5


def test_a_table_whose_words_fit_nowhere_is_broken_inside_words() -> None:
    table = Table(("x" * 90, "y" * 90), (("a" * 400, "b" * 400),), text_columns=2)
    document = render(paper_of(Heading("a", 1), table))
    assert max(drawn_rights_pt(document)) <= (A4_MM[1] - MARGIN_MM) / MM_PER_PT + 0.5


def test_strange_letters_long_words_and_empty_texts_do_not_stop_it() -> None:
    document = render(
        paper_of(
            Heading("Ünïcode λ²: `code`", 1),
            Paragraph(f"λ√n ≈ 1 {MINUS} ½ → ∞ „x“ … `{'w' * 400}`, and on"),
            Paragraph(""),
            Bullets(("(`analysis/a/long/path/that/breaks/nowhere.json`) " * 9,)),
            Table(("λ", MINUS), (("", ""), ("µs", f"1 {MINUS} 2"))),
        )
    )
    assert page_count(document) >= 3


def test_long_contents_get_the_pages_they_need() -> None:
    blocks = [Heading(f"A section with a long name {n} " + "and more " * 12, 1) for n in range(120)]
    document = render(paper_of(*blocks))
    assert page_count(document) > 120 / 12 + 3
