"""The report as one PDF: A4, numbered, with contents and bookmarks, in black and white.

Letters are DejaVu's, which come with matplotlib, so that minus signs and Greek letters are there on
every machine. Pictures are rasters of grey: the SVG reader of fpdf2 leaves out hatches and clips no
markers, so what matplotlib draws would not arrive as drawn.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout, WrapMode, XPos, YPos
from fpdf.fonts import TTFFont
from fpdf.outline import OutlineSection
from matplotlib import get_data_path
from PIL import Image

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from analysis.report.column_widths import PADDING_MM, Fit, fit
from analysis.report.numbering import Entry, contents
from analysis.report.orientation import lying
from analysis.report.paper import Paper
from analysis.report.pdf_text import FONTS, LINE, MM_PER_PT, MONO, SANS, plain, written
from analysis.report.telling import unbroken

MARGIN_MM = 20.0
A4_MM = (210.0, 297.0)
TEXT_PT, CAPTION_PT, CODE_PT, SMALL_PT = 9.5, 8.0, 7.5, 7.5
HEADINGS_PT = (15.0, 12.0, 10.5)
CONTENTS_LINE_MM = 5.6
DOTS_PER_INCH = 200
TABLE_LEAST_MM = 25.0
"""A head and some rows: less of a table is not begun on a page."""
GREY, LIGHT = 110, 238


class _Document(FPDF):
    """A page's head and foot; the title page has none."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(format="A4")
        self.paper = paper
        for (family, style), file in FONTS.items():
            self.add_font(family, style, Path(get_data_path()) / "fonts" / "ttf" / file)
        self.set_margins(MARGIN_MM, MARGIN_MM)
        self.c_margin = 0.0
        self.set_auto_page_break(True, margin=MARGIN_MM)
        self.set_title(paper.title)
        self.set_lang("en")
        self.set_creator("Sluice")
        self.set_creation_date(paper.dated)

    def header(self) -> None:
        """The title, small, on every page but the first."""
        if self.page_no() > 1:
            self._at_edge(self.paper.title, 10.0, "L")

    def footer(self) -> None:
        """The number of the page."""
        if self.page_no() > 1:
            self._at_edge(str(self.page_no()), self.h - 14.0, "C")

    def _at_edge(self, text: str, y_mm: float, align: str) -> None:
        self.set_font(SANS, "", SMALL_PT)
        self.set_text_color(GREY)
        self.set_xy(MARGIN_MM, y_mm)
        self.cell(0, 4, text, align=align)
        self.set_text_color(0)
        self.set_y(MARGIN_MM)


def render(paper: Paper) -> bytes:
    """The whole document. The same paper gives the same bytes."""
    pdf = _Document(paper)
    try:
        return _written_whole(pdf, paper)
    finally:
        for font in pdf.fonts.values():  # fpdf2 leaves the files of its fonts open
            if isinstance(font, TTFFont):
                font.ttfont.close()


def _written_whole(pdf: _Document, paper: Paper) -> bytes:
    _title_page(pdf, paper)
    listed = contents(paper.body)
    pages = max(1, math.ceil((len(listed) + 3) * CONTENTS_LINE_MM / pdf.eph))
    pdf.add_page()
    pdf.insert_toc_placeholder(_contents, pages=pages, reset_page_indices=False)
    fits = [_fit(pdf, one.block) if isinstance(one.block, Table) else None for one in paper.body]
    on_side = lying([entry.block for entry in paper.body], fits)
    for n, (entry, shown, is_landscape) in enumerate(zip(paper.body, fits, on_side, strict=True)):
        if (pdf.w > pdf.h) != is_landscape:
            pdf.add_page(orientation="L" if is_landscape else "P")
        _break_unless(pdf, _least_mm(pdf, paper.body[n:]))
        _show(pdf, entry, shown)
    return bytes(pdf.output())


def _title_page(pdf: _Document, paper: Paper) -> None:
    pdf.add_page()
    pdf.set_y(32)
    pdf.set_font(SANS, "B", 22)
    pdf.multi_cell(0, 10, paper.title, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(4)
    for line in paper.under:
        _flow(pdf, line, SMALL_PT + 1)
    pdf.ln(6)
    pdf.set_font(SANS, "B", HEADINGS_PT[1])
    pdf.cell(0, 8, "Abstract", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    for block in paper.abstract:
        _show(pdf, Entry(block), None)


def _contents(pdf: FPDF, outline: list[OutlineSection]) -> None:
    pdf.set_font(SANS, "B", HEADINGS_PT[0])
    pdf.cell(0, 2 * CONTENTS_LINE_MM, "Contents", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    for section in outline:
        if section.level > 1:
            continue
        pdf.set_font(SANS, "" if section.level else "B", TEXT_PT - 0.5)
        link = pdf.add_link(page=section.page_number)
        pdf.set_x(MARGIN_MM + 6 * section.level)
        title = _cut(pdf, section.name, pdf.epw - 6 * section.level - 12)
        pdf.cell(pdf.epw - 6 * section.level - 10, CONTENTS_LINE_MM, title, link=link)
        pdf.cell(
            10,
            CONTENTS_LINE_MM,
            str(section.page_number),
            align="R",
            link=link,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )


def _cut(pdf: FPDF, text: str, room_mm: float) -> str:
    """A text that takes one line."""
    if pdf.get_string_width(text) <= room_mm:
        return text
    while text and pdf.get_string_width(text + " …") > room_mm:
        text = text[:-1]
    return text.rstrip() + " …"


def _show(pdf: _Document, entry: Entry, shown: Fit | None) -> None:
    block: Block = entry.block
    match block:
        case Heading():
            _heading(pdf, block, entry)
        case Paragraph(text):
            _flow(pdf, text, TEXT_PT)
        case Bullets(items):
            _bullets(pdf, items)
        case Table():
            _table(pdf, block, entry, shown or _fit(pdf, block))
        case Picture():
            _picture(pdf, block, entry)
        case Code(text):
            _code(pdf, text)


def _room_mm(pdf: FPDF) -> float:
    return float(pdf.h - pdf.b_margin - pdf.get_y())


def _break_unless(pdf: FPDF, needed_mm: float) -> None:
    if _room_mm(pdf) < needed_mm and pdf.get_y() > pdf.t_margin + 1:
        pdf.add_page(same=True)


def _heading(pdf: FPDF, heading: Heading, entry: Entry) -> None:
    name = f"{entry.number}  {plain(heading.text)}"
    size_pt = HEADINGS_PT[heading.level - 1]
    if pdf.get_y() > pdf.t_margin + 1:
        pdf.ln(0.5 * size_pt)
    pdf.start_section(name, level=heading.level - 1, strict=False)
    pdf.set_font(SANS, "B", size_pt)
    pdf.multi_cell(
        0, 1.3 * size_pt * MM_PER_PT, name, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT
    )
    pdf.ln(0.2 * size_pt)


def _least_mm(pdf: FPDF, entries: Sequence[Entry]) -> float:
    """How much room the first of the entries needs where it begins; a heading brings what follows."""
    if not entries:
        return 0.0
    match entries[0].block:
        case Heading(_, level):
            lines_mm = 2 * 1.3 * HEADINGS_PT[level - 1] * MM_PER_PT
            return 0.7 * HEADINGS_PT[level - 1] + lines_mm + _least_mm(pdf, entries[1:])
        case Table(caption=caption):
            return _caption_mm(pdf, caption) + TABLE_LEAST_MM
        case Picture() as picture:
            return _picture_mm(pdf, picture)[1] + _caption_mm(pdf, picture.caption) + 5
        case _:
            return 2 * TEXT_PT * MM_PER_PT * LINE


def _flow(pdf: FPDF, text: str, size_pt: float) -> None:
    """A paragraph, its code in letters of one width."""
    written(pdf, text, size_pt)
    pdf.ln(1.8)


def _bullets(pdf: FPDF, items: Sequence[str]) -> None:
    line_mm = TEXT_PT * MM_PER_PT * LINE
    for item in items:
        _break_unless(pdf, 2 * line_mm)
        pdf.set_font(SANS, "", TEXT_PT)
        pdf.set_x(MARGIN_MM)
        pdf.cell(5, line_mm, "•")
        pdf.set_left_margin(MARGIN_MM + 5)
        _flow(pdf, item, TEXT_PT)
        pdf.set_left_margin(MARGIN_MM)
        pdf.set_xy(MARGIN_MM, pdf.get_y() - 0.8)
    pdf.ln(1)


def _code(pdf: FPDF, text: str) -> None:
    pdf.set_font(MONO, "", CODE_PT)
    pdf.set_fill_color(LIGHT)
    pdf.multi_cell(
        0,
        CODE_PT * MM_PER_PT * LINE,
        text,
        fill=True,
        align="L",
        padding=1,
        new_x=XPos.LMARGIN,
        new_y=YPos.NEXT,
    )
    pdf.set_fill_color(255)
    pdf.ln(2.5)


def _caption(pdf: FPDF, entry: Entry, caption: str) -> None:
    line_mm = CAPTION_PT * MM_PER_PT * LINE
    pdf.set_font(SANS, "B", CAPTION_PT)
    pdf.write(line_mm, f"{entry.number}. ")
    written(pdf, caption, CAPTION_PT)


def _caption_mm(pdf: FPDF, caption: str) -> float:
    pdf.set_font(SANS, "", CAPTION_PT)
    lines = math.ceil(1.1 * (pdf.get_string_width(caption) + 20) / pdf.epw)
    return lines * CAPTION_PT * MM_PER_PT * LINE


def _picture(pdf: FPDF, picture: Picture, entry: Entry) -> None:
    with Image.open(io.BytesIO(picture.png(DOTS_PER_INCH))) as drawn:
        grey = drawn.convert("RGBA")
        paper = Image.new("RGBA", grey.size, "white")
        image = Image.alpha_composite(paper, grey).convert("L")
    width_mm, height_mm = _picture_mm(pdf, picture)
    said = picture.caption.replace("`", "")
    pdf.image(image, x=MARGIN_MM, w=width_mm, h=height_mm, alt_text=said)
    pdf.ln(1.5)
    _caption(pdf, entry, picture.caption)
    pdf.ln(3.5)


def _picture_mm(pdf: FPDF, picture: Picture) -> tuple[float, float]:
    """Width and height: as drawn, but within a page with its caption."""
    drawn_mm = [25.4 * float(inches) for inches in picture.figure.get_size_inches()]
    most_mm = pdf.eph - _caption_mm(pdf, picture.caption) - 8
    scale = min(1.0, pdf.epw / drawn_mm[0], most_mm / drawn_mm[1])
    return scale * drawn_mm[0], scale * drawn_mm[1]


def _measure(pdf: FPDF, text: str, size_pt: float, is_bold: bool) -> float:
    pdf.set_font(SANS, "B" if is_bold else "", size_pt)
    return float(pdf.get_string_width(plain(text)))


def _fit(pdf: FPDF, table: Table) -> Fit:
    short_mm, long_mm = (side - 2 * MARGIN_MM for side in A4_MM)
    # A hair less than the page, so that rounding never breaks a line that fits.
    return fit(
        table,
        lambda text, size_pt, is_bold: 1.01 * _measure(pdf, text, size_pt, is_bold),
        short_mm - 0.1,
        long_mm - 0.1,
    )


def _table(pdf: _Document, table: Table, entry: Entry, shown: Fit) -> None:
    _caption(pdf, entry, table.caption)
    pdf.ln(0.8)
    pdf.set_font(SANS, "", shown.size_pt)
    pdf.set_draw_color(160)
    pdf.set_line_width(0.15)
    aligned = tuple("L" if n < table.text_columns else "R" for n in range(len(table.head)))
    with pdf.table(
        width=sum(shown.widths_mm),
        col_widths=shown.widths_mm,
        text_align=aligned,
        align="L",
        v_align="T",
        line_height=shown.size_pt * MM_PER_PT * 1.3,
        padding=(0.6, PADDING_MM),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD"),
        wrapmode=WrapMode.CHAR if shown.breaks_words else WrapMode.WORD,
    ) as rows:
        for row in (table.head, *table.rows):
            cells = [plain(cell) for cell in row]
            figures = (unbroken(cell) for cell in cells[table.text_columns :])
            rows.row(cells if row is table.head else [*cells[: table.text_columns], *figures])
    pdf.set_draw_color(0)
    pdf.ln(4)
