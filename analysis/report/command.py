"""`python -m analysis report`: the latest results as one HTML page and one PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from analysis.provenance import ROOT
from analysis.report.composing import compose

HTML_FILE, PDF_FILE = "report.html", "report.pdf"
DEFAULT_OUT = ROOT / "analysis" / "results" / "report"
DEFAULT_RESULTS = ROOT / "analysis" / "benchmarks"
DEFAULT_DEMO = ROOT / "analysis" / "results" / "demo"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="folder for report.html and report.pdf"
    )
    parser.add_argument(
        "--results", type=Path, default=DEFAULT_RESULTS, help="folder of the studies' JSON files"
    )
    parser.add_argument(
        "--demo", type=Path, default=DEFAULT_DEMO, help="folder of a demonstration's results.json"
    )


def run(options: argparse.Namespace) -> int:
    """Write the report; ValueError, one sentence, for bad input or a damaged file."""
    for name, folder in (("--results", options.results), ("--demo", options.demo)):
        if not folder.is_dir():
            raise ValueError(f"{name} {folder} is no folder; name one with results")
    console = Console(stderr=True)
    with console.status("reading") as status:
        paper = compose(options.results, options.demo, status.update)
        # Drawing is slow to load and needed now only.
        from analysis.report import html, pdf

        written = {}
        status.update("writing the page")
        written[HTML_FILE] = html.render(paper).encode()
        status.update("writing the PDF")
        written[PDF_FILE] = pdf.render(paper)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            (options.out / name).write_bytes(content)
    except OSError as error:
        raise ValueError(
            f"{options.out} cannot be written ({error.strerror}); name another --out"
        ) from None
    for name in written:
        print(options.out / name)
    return 0
