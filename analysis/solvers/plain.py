"""Solved policies as JSON files: what `DecisionTable`, `Split` and `Cascade` read.

    {"version": 1, "kind": "table" | "split" | "cascade",
     "bands": [{"below_per_s": 3.5, "rungs": [[...]] | "shares": [...] | "threshold": x,
                "solved": {...}}, ...],
     "made_by": {"command": ..., "commit": ..., "seed": ..., "inputs": {...}}}

A band holds for measured arrival rates below its bound; the last bound is null, for infinity.
`solved` says what the solver knows of the band (its rate, mean score, ...); controllers ignore it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from policies.controllers import Cascade, DecisionTable, Split

VERSION = 1
Kind = Literal["table", "split", "cascade"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANSWER: Mapping[Kind, str] = {"table": "rungs", "split": "shares", "cascade": "threshold"}


@dataclass(frozen=True, slots=True)
class Band:
    """What to do below a rate: `answer` is the table, the shares or the threshold."""

    below_per_s: float
    answer: Any
    solved: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What it takes to make the file again."""

    command: str
    commit: str
    seed: int | None
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Solved:
    """A solved policy. ValueError unless its bands rise to infinity and a controller accepts it."""

    kind: Kind
    bands: tuple[Band, ...]
    made_by: MadeBy

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        bounds = [band.below_per_s for band in self.bands]
        if not bounds or bounds[-1] != math.inf or any(b <= a for a, b in pairwise(bounds)):
            raise ValueError(f"the bands end at {bounds}; they must rise, and the last at infinity")
        content = self.to_plain()
        if self.kind == "table":
            DecisionTable.from_plain(content)
        elif self.kind == "split":
            Split.from_plain(content)
        else:
            Cascade.from_plain(content, first=1, second=0)

    def to_plain(self) -> dict[str, Any]:
        """The JSON object."""
        bands = [
            {
                "below_per_s": None if math.isinf(band.below_per_s) else band.below_per_s,
                ANSWER[self.kind]: band.answer,
                "solved": dict(band.solved),
            }
            for band in self.bands
        ]
        made_by = {
            "command": self.made_by.command,
            "commit": self.made_by.commit,
            "seed": self.made_by.seed,
            "inputs": dict(self.made_by.inputs),
        }
        return {"version": VERSION, "kind": self.kind, "bands": bands, "made_by": made_by}

    def write(self, path: Path) -> None:
        """Write the file, a band a line, so that changes can be read."""
        content = self.to_plain()
        bands = ",\n    ".join(json.dumps(band, allow_nan=False) for band in content["bands"])
        made_by = json.dumps(content["made_by"], allow_nan=False)
        path.write_text(
            f'{{\n  "version": {VERSION},\n  "kind": "{self.kind}",\n  "bands": [\n    {bands}\n'
            f'  ],\n  "made_by": {made_by}\n}}\n',
            encoding="utf-8",
        )


def read(path: Path) -> Solved:
    """Read such a file; ValueError says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or 'cannot be read'}; {_AGAIN}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {_AGAIN}") from error
    try:
        return from_plain(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


_AGAIN = "make it with `python -m analysis solve`"


def from_plain(content: Any) -> Solved:
    """The solved policy of a JSON object; ValueError says what is wrong with it."""
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError(f"this is no solved policy of version {VERSION}; {_AGAIN}")
    kind = content.get("kind")
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}; {_AGAIN}")
    try:
        bands = tuple(_band(band, kind) for band in content["bands"])
        made_by = content["made_by"]
        origin = MadeBy(**{name: made_by[name] for name in ("command", "commit", "seed", "inputs")})
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no solved policy ({error!r}); {_AGAIN}") from error
    return Solved(kind, bands, origin)


def _band(band: Mapping[str, Any], kind: Kind) -> Band:
    bound = band["below_per_s"]
    return Band(
        math.inf if bound is None else float(bound), band[ANSWER[kind]], band.get("solved", {})
    )


def band_edges(top_per_s: float, bands: int) -> Sequence[float]:
    """Bounds of `bands` bands, evenly spaced up to `top_per_s`, then one without end.

    ValueError for fewer than two bands, or a top that is not above 0.
    """
    if bands < 2:
        raise ValueError(f"bands {bands} must be at least 2")
    if not 0 < top_per_s < math.inf:
        raise ValueError(f"the top rate {top_per_s} must be above 0")
    return [*(top_per_s * k / (bands - 1) for k in range(1, bands)), math.inf]
