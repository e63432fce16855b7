"""Letters on a page of the PDF: fonts, and texts with code whose words stay whole."""

from __future__ import annotations

from collections.abc import Sequence

from fpdf import FPDF

from analysis.document import Span, spans

SANS, MONO = "sans", "mono"
FONTS = {
    (SANS, ""): "DejaVuSans.ttf",
    (SANS, "B"): "DejaVuSans-Bold.ttf",
    (SANS, "I"): "DejaVuSans-Oblique.ttf",
    (MONO, ""): "DejaVuSansMono.ttf",
}
LINE = 1.45
"""The height of a line over that of its letters."""
MM_PER_PT = 25.4 / 72


def written(pdf: FPDF, text: str, size_pt: float) -> None:
    """A text from where the page stands, and the end of its last line."""
    line_mm = size_pt * MM_PER_PT * LINE
    pieces = _with_tails(spans(text))
    for n, span in enumerate(pieces):
        _set_span_font(pdf, span, size_pt)
        if pdf.get_x() + _unbreakable_mm(pdf, pieces[n:], size_pt) > pdf.w - pdf.r_margin:
            pdf.ln(line_mm)
        pdf.write(line_mm, span.text)
    pdf.ln(line_mm)


def _with_tails(pieces: Sequence[Span]) -> list[Span]:
    """A word that sticks to the code behind it, as a bracket does, is a piece of its own."""
    found = []
    for piece in pieces:
        head, space, tail = piece.text.rpartition(" ")
        if piece.is_code or not tail or not head:
            found.append(piece)
        else:
            found += [Span(head + space), Span(tail)]
    return found


def _set_span_font(pdf: FPDF, span: Span, size_pt: float) -> None:
    # The wide letters of code look larger than words of the same size.
    pdf.set_font(MONO if span.is_code else SANS, "", size_pt * (0.9 if span.is_code else 1))


def _unbreakable_mm(pdf: FPDF, pieces: Sequence[Span], size_pt: float) -> float:
    """The width of the first word of a span and of what sticks to it; `write` would break it
    anywhere if it began in the middle of a line. 0 if it takes more than a line by itself."""
    width_mm = 0.0
    for span in pieces:
        word, space, _ = span.text.partition(" ")
        _set_span_font(pdf, span, size_pt)
        width_mm += pdf.get_string_width(word)
        if space:
            break
    _set_span_font(pdf, pieces[0], size_pt)
    return width_mm if width_mm < pdf.w - pdf.l_margin - pdf.r_margin else 0.0


def plain(cell: str) -> str:
    """A text without the marks of its code."""
    return "".join(span.text for span in spans(cell))
