"""Rungs looked up in a table that a solver made: the cost-optimal controller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from policies.controllers.bands import (
    band_for,
    check_bands,
    plain_bands,
    plain_bound,
    plain_index,
    plain_list,
)
from policies.controllers.base import ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class RateBand:
    """The table for arrival rates below `below_per_s`.

    rungs[current][n] is the rung to take with n jobs in the system while `current` stands; the
    last column holds for all larger n. ValueError if a row is empty or its rungs fall as n grows
    (then more waiting would raise quality), or names a rung that has no row.
    """

    below_per_s: float
    rungs: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("a band of the table has no rows; give one for each rung")
        for current, row in enumerate(self.rungs):
            if not row:
                raise ValueError(f"the row of rung {current} is empty; give it at least one entry")
            if any(more < fewer for fewer, more in pairwise(row)):
                raise ValueError(
                    f"the row of rung {current} goes back up as jobs are added; more waiting must"
                    " never raise quality"
                )
            if row[0] < 0 or row[-1] >= len(self.rungs):
                raise ValueError(
                    f"the row of rung {current} holds rungs {row[0]} to {row[-1]}, but the table"
                    f" has rows for rungs 0 to {len(self.rungs) - 1} only"
                )


@dataclass(frozen=True, slots=True)
class DecisionTable:
    """The rung that the table names for the arrival rate, the present rung and the jobs there are.

    The table is the solution of a Markov decision process with costs of holding, of lost quality
    and of switching (Puterman, Markov Decision Processes, 1994; `analysis` solves it). Since the
    row goes by the present rung, a cost of switching shows as hysteresis without a rule for it.
    Jobs in the system are those that wait and those that run.
    ValueError unless the bands rise to infinity and have equally many rows.
    """

    bands: tuple[RateBand, ...]

    def __post_init__(self) -> None:
        check_bands(self.bands)
        rows = {len(band.rungs) for band in self.bands}
        if len(rows) > 1:
            raise ValueError(
                f"the bands of the table have {' and '.join(map(str, sorted(rows)))} rows; give"
                " every band one for each rung"
            )

    @classmethod
    def from_plain(cls, content: object) -> DecisionTable:
        """From a solver's plain data of kind "table"; ValueError says what is wrong with it."""
        return cls(
            tuple(
                RateBand(
                    plain_bound(band),
                    tuple(
                        tuple(plain_index(rung, "rungs") for rung in plain_list(row, "rungs"))
                        for row in plain_list(band.get("rungs"), "rungs")
                    ),
                )
                for band in plain_bands(content, "table")
            )
        )

    @property
    def deepest(self) -> int:
        """The last rung that has a row."""
        return len(self.bands[0].rungs) - 1

    @property
    def needs_costs(self) -> bool:
        """The costs went into the table; a look-up needs none."""
        return False

    def initial(self) -> ControllerState:
        """Full service, free to change at once."""
        return ControllerState(0, -math.inf)

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """One look-up; up or down by any number of rungs."""
        row = band_for(self.bands, load).rungs[state.rung]
        rung = row[min(load.waiting + load.running, len(row) - 1)]
        return state if rung == state.rung else ControllerState(rung, load.now_s)
