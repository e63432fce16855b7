"""Forms of arguments that several subcommands share."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path


def named(value: str) -> Callable[[str], tuple[str, str]]:
    """The type of a NAME=VALUE argument; `value` is what the part behind the mark is called."""

    def pair(text: str) -> tuple[str, str]:
        name, mark, rest = text.partition("=")
        if not (name and mark and rest):
            raise argparse.ArgumentTypeError(f"expected NAME={value}, got {text!r}")
        return name, rest

    return pair


def numbers(text: str) -> tuple[int, ...]:
    """The type of an argument such as 1,2,4."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers with commas between, such as 1,2,4, got {text!r}"
        ) from None


def check_folder_of(out: Path) -> None:
    """ValueError, before anything is measured, if the file could not be written at the end."""
    if not out.parent.is_dir():
        raise ValueError(f"--out: there is no folder {out.parent}; make it first.")


def quieten_libraries() -> None:
    """transformers otherwise remarks on packages that nothing here uses. Call before it is loaded."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def size(text: str) -> tuple[int, int]:
    """The type of an argument such as 512x768: width and height in pixels."""
    width, mark, height = text.partition("x")
    if not (mark and width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"expected WIDTHxHEIGHT in pixels, such as 512x768, got {text!r}"
        )
    return int(width), int(height)


def recorded_command(arguments: Sequence[str]) -> str:
    """The command line as it is kept beside results: with paths relative to the project."""
    line = shlex.join(["python", "-m", "pipelines", *arguments])
    return line.replace(f"{Path(__file__).resolve().parents[2]}/", "")
