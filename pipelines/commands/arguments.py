"""Forms of arguments that several subcommands share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
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
