"""The small family of thresholds that a plan chooses from.

Rung i (i >= 1) is entered when `base * 2^(i-1)` jobs wait (doubling) or `base * i` (even), and left
when less than half as many do; the base is a share of the places of all engines, or their square
root, as far as a queue of that size swings by chance. All scale with the engines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from policies.controllers import Hysteresis

SHARES_OF_PLACES = (1 / 16, 1 / 4, 1 / 2, 1.0)


def thresholds(base: int, rungs: int, *, doubling: bool, min_hold_s: float) -> Hysteresis:
    """Of one base, for so many rungs below the first. ValueError for a base below 1."""
    if base < 1:
        raise ValueError(f"thresholds begin at 1 waiting job or more, not at {base}")
    enter = tuple(base * (2**i if doubling else i + 1) for i in range(rungs))
    leave = tuple((depth - 1) // 2 for depth in enter)
    return Hysteresis(enter, leave, min_hold_s)


def family(places: int, rungs: int, min_hold_s: float) -> Iterator[Hysteresis]:
    """Every choice for so many places, each once; none if there is no rung below the first."""
    if rungs < 1:
        return
    bases = [max(1, round(share * places)) for share in SHARES_OF_PLACES]
    bases = sorted({*bases, max(1, round(math.sqrt(places)))})
    seen = set()
    for doubling in (True, False):
        for base in bases:
            one = thresholds(base, rungs, doubling=doubling, min_hold_s=min_hold_s)
            if one not in seen:
                seen.add(one)
                yield one
