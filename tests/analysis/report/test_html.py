"""The page is well-formed, needs nothing from outside, and is the same every time."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

from analysis.document import Heading, Paragraph
from analysis.report.html import render
from analysis.report.paper import Paper
from tests.analysis.report.papers import paper_of, picture

SVG = "{http://www.w3.org/2000/svg}"


def tree(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.removeprefix("<!doctype html>\n"))


def test_the_page_is_well_formed(paper: Paper) -> None:
    root = tree(render(paper))
    assert [one.text for one in root.iter("h1")] == ["A title & more"]
    assert [one.text for one in root.iter("h2")][2:] == ["1 One <section>", "2 Two"]
    assert len(list(root.iter("table"))) == 1
    assert len(list(root.iter(f"{SVG}svg"))) == 2


def test_nothing_is_loaded_from_outside_and_no_script_runs(paper: Paper) -> None:
    page = render(paper)
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page)
    assert not re.search(r"<(script|link|iframe|img)\b|@import|url\((?!#)", page)


def test_every_picture_has_a_caption_and_words_for_who_cannot_see(paper: Paper) -> None:
    root = tree(render(paper))
    for figure in root.iter("figure"):
        svg = figure.find(f"{SVG}svg")
        assert svg is not None
        assert svg.get("role") == "img"
        assert svg.get("aria-label")
        assert "".join(figure.find("figcaption").itertext())  # type: ignore[union-attr]


def test_names_are_unique_and_every_link_leads_somewhere(paper: Paper) -> None:
    page = render(paper)
    names = Counter(re.findall(r'\bid="([^"]+)"', page))
    assert [name for name, count in names.items() if count > 1] == []
    aims = re.findall(r'href="#([^"]+)"', page) + re.findall(r"url\(#([^)]+)\)", page)
    assert set(aims) <= set(names)


def test_code_and_tables_are_marked_up(paper: Paper) -> None:
    page = render(paper)
    assert "<code>code</code>" in page
    assert "row 3 &amp; co" in page
    assert '<th class="text">case</th><th>value</th>' in page
    assert "(1.00\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}2.00)" in page


def test_the_same_paper_gives_the_same_page() -> None:
    assert render(paper_of(picture())) == render(paper_of(picture()))


def test_contents_lead_to_sections_and_subsections() -> None:
    page = render(paper_of(Heading("a", 1), Heading("b", 2), Heading("c", 1), Paragraph("x")))
    nav = tree(page).find(".//nav")
    assert nav is not None
    assert [one.get("href") for one in nav.iter("a")] == ["#s1", "#s1.1", "#s2"]
