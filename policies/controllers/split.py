"""Arriving jobs shared out over the rungs at random, in shares that a solver set."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from policies.controllers.bands import (
    band_for,
    check_bands,
    plain_bands,
    plain_bound,
    plain_list,
    plain_number,
)
from policies.controllers.base import ControllerState
from policies.load import Load

SHARES_MISS = 1e-6
"""What the shares of a solver may miss 1 by in sum."""


@dataclass(frozen=True, slots=True)
class SplitBand:
    """The share of jobs that each rung gets while the arrival rate is below `below_per_s`.

    ValueError unless no share is negative and they add up to 1.
    """

    below_per_s: float
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if any(not share >= 0.0 for share in self.shares):
            raise ValueError(f"shares {self.shares} must not be negative")
        if not abs(sum(self.shares) - 1.0) <= SHARES_MISS:
            raise ValueError(f"shares {self.shares} add up to {sum(self.shares)}; they must to 1")


@dataclass(frozen=True, slots=True)
class Split:
    """Draws a rung for each arriving job; the line has no say in it.

    With one band it is the random split, the plainest baseline. With a band for each rate it is
    accuracy scaling after Proteus (Ahmad et al., ASPLOS 2024): the shares that a linear programme
    over the variants finds for the observed rate, the most accurate mix that can carry it.
    What cannot be taken over: Proteus also decides which machine hosts which variant and swaps
    models by its demand; here engines host what their pool names. Its adaptive batching of whole
    queries has no counterpart where jobs join a running batch at any step. It solves its programme
    again and again as demand moves; here all rates are solved beforehand and looked up.
    ValueError unless the bands rise to infinity and have equally many shares.
    """

    bands: tuple[SplitBand, ...]

    def __post_init__(self) -> None:
        check_bands(self.bands)
        rungs = {len(band.shares) for band in self.bands}
        if len(rungs) > 1:
            raise ValueError(
                f"the bands have {' and '.join(map(str, sorted(rungs)))} shares; give every band"
                " one for each rung"
            )

    @classmethod
    def from_plain(cls, content: object) -> Split:
        """From a solver's plain data of kind "split"; ValueError says what is wrong with it."""
        return cls(
            tuple(
                SplitBand(
                    plain_bound(band),
                    tuple(
                        plain_number(share, "shares")
                        for share in plain_list(band.get("shares"), "shares")
                    ),
                )
                for band in plain_bands(content, "split")
            )
        )

    @property
    def deepest(self) -> int:
        """The last rung that has a share."""
        return len(self.bands[0].shares) - 1

    @property
    def needs_costs(self) -> bool:
        """The costs went into the shares."""
        return False

    def initial(self) -> ControllerState:
        """The one state that it has: nothing is asked of all jobs alike."""
        return ControllerState(0, -math.inf)

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """No load changes it: each job's rung is drawn as it arrives."""
        del load
        return state

    def draw(self, u: float, load: Load) -> int:
        """The rung of an arriving job, where `u` is uniform on [0, 1). Rises with `u`."""
        shares = band_for(self.bands, load).shares
        drawn = bisect_right(list(accumulate(shares)), u)
        # Shares that add up to a little less than 1 leave a sliver, which no empty rung may get.
        return min(drawn, max(rung for rung, share in enumerate(shares) if share > 0))
