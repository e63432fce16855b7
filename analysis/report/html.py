"""The report as one HTML page that opens offline: style and pictures inside, no scripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table, spans
from analysis.report.numbering import Entry, contents
from analysis.report.paper import Paper
from analysis.report.telling import unbroken

STYLE = """
body { font: 16px/1.5 Georgia, "DejaVu Serif", serif; max-width: 54rem; margin: 2rem auto;
  padding: 0 1rem; color: #111; background: #fff; overflow-wrap: break-word; }
h1, h2, h3, h4, th, td, figcaption, caption, nav { font-family: system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { font-size: 1.35rem; margin-top: 3rem;
  border-top: 2px solid #111; padding-top: .6rem; } h3 { font-size: 1.1rem; margin-top: 2rem; }
h4 { font-size: 1rem; }
.under { color: #444; } nav ul { list-style: none; padding-left: 1.2rem; }
nav > ul { padding-left: 0; } nav a { color: #111; text-decoration: none; }
nav a:hover { text-decoration: underline; }
.table { margin: 1.5rem 0; } .wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.caption, figcaption { font: 14px/1.4 system-ui, sans-serif; color: #333; margin: .4rem 0; }
th, td { padding: .2rem .5rem; text-align: right; vertical-align: top; }
th { border-bottom: 2px solid #111; vertical-align: bottom; } td { border-bottom: 1px solid #ccc; }
th.text, td.text { text-align: left; } td.text { min-width: 5rem; }
code, pre { font: 0.85em/1.45 "DejaVu Sans Mono", ui-monospace, monospace; }
pre { background: #f3f3f3; padding: .7rem; white-space: pre-wrap; }
figure { margin: 1.5rem 0; } svg { max-width: 100%; height: auto; }
@media print {
  @page { size: A4; margin: 18mm 16mm; }
  body { font-size: 10.5pt; max-width: none; margin: 0; padding: 0; }
  table { font-size: 7.5pt; } .wide { overflow: visible; } thead { display: table-header-group; }
  h2, h3, h4, .caption { break-after: avoid; } tr, figure, pre { break-inside: avoid; }
}
"""

_METADATA = re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL)
_NAMED = re.compile(r'(\bid="|\bhref="#|url\(#)')


def render(paper: Paper) -> str:
    """The whole page. The same paper gives the same page."""
    under = "".join(f'<p class="under">{_text(line)}</p>\n' for line in paper.under)
    front = "\n".join(_block(Entry(block)) for block in paper.abstract)
    body = "\n".join(_block(entry) for entry in paper.body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(paper.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(paper.title)}</h1>\n{under}"
        f'<section class="abstract">\n<h2>Abstract</h2>\n{front}\n</section>\n'
        f"{_contents(paper.body)}\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _contents(entries: Sequence[Entry]) -> str:
    lines = ['<nav aria-label="Contents">', "<h2>Contents</h2>", "<ul>"]
    depth = 1
    for heading, entry in contents(entries):
        while depth < heading.level:
            lines.append("<li><ul>")
            depth += 1
        while depth > heading.level:
            lines.append("</ul></li>")
            depth -= 1
        title = f"{entry.number} {_text(heading.text)}"
        lines.append(f'<li><a href="#{entry.anchor}">{title}</a></li>')
    lines += ["</ul></li>"] * (depth - 1)
    return "\n".join([*lines, "</ul>", "</nav>"])


def _block(entry: Entry) -> str:
    block: Block = entry.block
    match block:
        case Heading(text, level):
            name = f"h{level + 1}"
            number = f"{entry.number} " if entry.number else ""
            return f'<{name} id="{entry.anchor}">{number}{_text(text)}</{name}>'
        case Paragraph(text):
            return f"<p>{_text(text)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{_text(item)}</li>" for item in items) + "\n</ul>"
        case Table():
            return _table(block, entry)
        case Picture():
            return _picture(block, entry)
        case Code(text):
            return f"<pre>{escape(text)}</pre>"


def _table(table: Table, entry: Entry) -> str:
    def cells(row: Sequence[str], name: str) -> str:
        found = []
        for n, cell in enumerate(row):
            is_text = n < table.text_columns
            kind = ' class="text"' if is_text else ""
            shown = _text(cell if is_text or name == "th" else unbroken(cell))
            found.append(f"<{name}{kind}>{shown}</{name}>")
        return "<tr>" + "".join(found) + "</tr>"

    rows = "\n".join(cells(row, "td") for row in table.rows)
    return (
        f'<div class="table" id="{entry.anchor}">\n<p class="caption">{_caption(entry, table.caption)}'
        f'</p>\n<div class="wide"><table>\n<thead>{cells(table.head, "th")}</thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n</div>"
    )


def _picture(picture: Picture, entry: Entry) -> str:
    svg = _METADATA.sub("", picture.svg())
    svg = _NAMED.sub(rf"\g<1>{entry.anchor}-", svg)  # every picture has a "figure_1" of its own
    said = escape(picture.caption.replace("`", ""))
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{said}" ', 1)
    caption = _caption(entry, picture.caption)
    return f'<figure id="{entry.anchor}">\n{svg}\n<figcaption>{caption}</figcaption>\n</figure>'


def _caption(entry: Entry, caption: str) -> str:
    return f"<b>{entry.number}.</b> {_text(caption)}"


def _text(text: str) -> str:
    return "".join(
        f"<code>{escape(span.text)}</code>" if span.is_code else escape(span.text)
        for span in spans(text)
    )
