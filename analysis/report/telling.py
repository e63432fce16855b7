"""Numbers as words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

MINUS = "\N{MINUS SIGN}"
HOLD = "\N{NO-BREAK SPACE}"
HELD_CHARS = 20
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_WORD = re.compile(r"[^\W\d_]{3,}")


def per_cent(share: float, digits: int = 1) -> str:
    """A share in per cent."""
    return f"{_minus(f'{100 * share:.{digits}f}')} %"


def signed(value: float, digits: int = 1, unit: str = "") -> str:
    """A difference with its sign."""
    return _minus(f"{value:+.{digits}f}") + (f" {unit}" if unit else "")


def off_by(deviation: float | None) -> str:
    """A relative deviation in per cent with its sign; empty where none is defined."""
    return "" if deviation is None else signed(100 * deviation, 1, "%")


def band(low: float, high: float, digits: int = 3) -> str:
    """An interval."""
    return _minus(f"{low:.{digits}f} to {high:.{digits}f}")


def plain(value: float, digits: int = 4) -> str:
    """A number to so many significant digits."""
    if not math.isfinite(value):
        return str(value)
    return _minus(f"{value:,.{digits}g}") if abs(value) < 1e4 else f"{value:,.0f}"


def listed(names: Iterable[str]) -> str:
    """A list in a sentence."""
    found = list(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def unbroken(figure: str) -> str:
    """A figure whose line may be broken before its bracket only, not inside an interval.

    Between words, as in a verdict, and in long lists of figures it may be broken.
    """
    held = _BRACKETED.sub(lambda found: found.group().replace(" ", HOLD), figure)
    if held.endswith(" *"):
        held = f"{held[:-2]}{HOLD}*"
    bare = _BRACKETED.sub("", figure)
    if _WORD.search(bare) or len(bare) > HELD_CHARS:
        return held
    return re.sub(r" (?![(\[])", HOLD, held)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
