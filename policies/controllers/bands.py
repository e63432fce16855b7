"""What the solved policies share: a row for each band of arrival rates, read from plain data.

A solver in `analysis` writes `{"version": 1, "kind": ..., "bands": [{"below_per_s": 3.5, ...}, ...],
"made_by": {...}}`. `below_per_s` is where a band ends, and null (infinity) ends the last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from policies.load import Load

VERSION = 1
"""The layout of the plain data that this package reads."""


class Banded(Protocol):
    """A row that holds for arrival rates below a bound."""

    @property
    def below_per_s(self) -> float:
        """The first rate that is too high for it."""


BandT = TypeVar("BandT", bound=Banded)


def check_bands(bands: Sequence[Banded]) -> None:
    """ValueError unless there are bands, their bounds rise from above 0, and the last is inf."""
    if not bands:
        raise ValueError("there are no bands; give at least one, which ends at infinity")
    bounds = [band.below_per_s for band in bands]
    if not bounds[0] > 0 or any(not low < high for low, high in pairwise(bounds)):
        raise ValueError(f"the bands end at {bounds} jobs a second; these must rise, from above 0")
    if bounds[-1] != math.inf:
        raise ValueError(
            f"the last band ends at {bounds[-1]} jobs a second; it must end at infinity (null)"
        )


def band_for(bands: Sequence[BandT], load: Load) -> BandT:
    """The first band that ends above the arrival rate; the last one takes every rate."""
    rate_per_s = load.arrival_rate_per_s
    return next((band for band in bands if rate_per_s < band.below_per_s), bands[-1])


def plain_bands(content: object, kind: str) -> list[Mapping[str, object]]:
    """The bands of plain data of this kind; ValueError says what else it is."""
    if not isinstance(content, Mapping):
        raise ValueError(f"a {kind} must be a JSON object, not {_shown(content)}")
    if content.get("version") != VERSION:
        raise ValueError(
            f"the {kind} has version {_shown(content.get('version'))}; this program reads"
            f" version {VERSION}: solve it anew"
        )
    if content.get("kind") != kind:
        raise ValueError(
            f"this is of kind {_shown(content.get('kind'))}, where {kind!r} is needed; name"
            " another file"
        )
    bands = content.get("bands")
    if not isinstance(bands, list) or not all(isinstance(band, Mapping) for band in bands):
        raise ValueError(f"bands of the {kind} must be a list of objects, not {_shown(bands)}")
    return bands


def plain_bound(band: Mapping[str, object]) -> float:
    """Where a plain band ends; null is infinity. ValueError if it is missing."""
    if "below_per_s" not in band:
        raise ValueError("a band has no below_per_s; give the rate where it ends, or null")
    bound = band["below_per_s"]
    return math.inf if bound is None else plain_number(bound, "below_per_s")


def plain_number(value: object, name: str) -> float:
    """A number that is one; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{name} must be a number, not {_shown(value)}")
    return float(value)


def plain_list(value: object, name: str) -> list[object]:
    """A list that is one; ValueError otherwise."""
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, not {_shown(value)}")
    return value


def plain_index(value: object, name: str) -> int:
    """A whole number that is one; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must hold whole numbers, not {_shown(value)}")
    return value


def _shown(value: object, length_max: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= length_max else f"{text[:length_max]} ..."
