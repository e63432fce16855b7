"""`python -m analysis estimate RUN`: what a run of the load generator tells of itself."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table, write_page
from analysis.estimation.estimating import TOPICS, estimate, read_material
from analysis.progress import Steps
from analysis.provenance import made_by
from analysis.server_config import DEFAULT_CONFIG, read_settings

PACKAGES = ("numpy", "scipy", "statsmodels")
PIPE_WIDTH = 200


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the load generator's run")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="the server's (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print plain data, no page")
    parser.add_argument("--out", type=Path, help="also write OUT.json and OUT.md with figures")


def run(options: argparse.Namespace) -> int:
    """Estimate and print. ValueError, one sentence, for what has to be changed."""
    began = datetime.now(UTC)
    material = read_material(options.run, read_settings(options.config))
    with Steps(Console(stderr=True), TOPICS) as steps:
        found = estimate(material, steps.begin)
        steps.finish()
    command = shlex.join(["python", "-m", "analysis", "estimate", options.run.name])
    results = {"made_by": made_by(command, began, packages=PACKAGES), **found}
    # Loaded here: matplotlib takes seconds, which a mistake on the command line shall not cost.
    from analysis.estimation.page import blocks

    page = blocks(results)
    if options.json:
        json.dump(results, sys.stdout, indent=1, allow_nan=False)
        print()
    else:
        show(page, Console())
    if options.out is not None:
        for path in write(results, page, options.out):
            print(path, file=sys.stderr)
    return 0


def write(results: dict[str, Any], page: Sequence[Block], out: Path) -> list[Path]:
    """OUT.md with its figures, and OUT.json. ValueError if they cannot be written."""
    paths = write_page(page, out.with_name(f"{out.name}.md"))
    data = out.with_name(f"{out.name}.json")
    data.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return [*paths, data]


def show(page: Sequence[Block], console: Console) -> None:
    """Print a page without its figures."""
    # A pipe has no width; fold nothing there.
    console = console if console.is_terminal else Console(file=console.file, width=PIPE_WIDTH)

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, markup=False)

    for block in page:
        match block:
            case Heading(text, _):
                say(f"\n{text}", "bold")
            case Paragraph(text) | Code(text):
                say(text)
            case Bullets(items):
                for item in items:
                    say(f"- {item}")
            case Table():
                console.print(_table(block))
                if block.caption:
                    say(block.caption, "dim")
            case Picture():
                pass  # with --out


def _table(block: Table) -> RichTable:
    table = RichTable()
    for number, name in enumerate(block.head):
        table.add_column(name, justify="left" if number < block.text_columns else "right")
    for row in block.rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    return table
