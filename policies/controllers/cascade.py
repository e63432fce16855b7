"""Cheap first; what a discriminator doubts is made again in full."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.controllers.bands import (
    band_for,
    check_bands,
    plain_bands,
    plain_bound,
    plain_number,
)
from policies.controllers.base import ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class CascadeBand:
    """Below which confidence a picture is made again while the rate is below `below_per_s`.

    ValueError unless 0 <= threshold <= 1. At 0 none is, at 1 all but the certain ones are.
    """

    below_per_s: float
    threshold: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold {self.threshold} must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Cascade:
    """Every job starts at the cheap rung `first`; a doubtful picture is redone at rung `second`.

    After DiffServe (Ahmad et al., arXiv 2411.15381, 2024): a light diffusion model serves every
    query, a discriminator judges the picture, and the heavy model makes anew what it doubts. Taken
    over are the cascade and the threshold on confidence by the observed demand, solved beforehand
    for all rates (`analysis`) and looked up here. What cannot be taken over: its programme also
    divides the machines between the two models and sets the batch size of each, where here pools
    are fixed and batches are whatever runs; its own trained discriminator; and a picture is redone
    by the same queue, in its order of arrival, not in a queue of the heavy model's.
    ValueError unless 0 <= second < first and the bands rise to infinity.
    """

    first: int
    second: int
    bands: tuple[CascadeBand, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.second < self.first:
            raise ValueError(
                f"a cascade from rung {self.first} to rung {self.second} must lead to a better"
                " rung, of a smaller ladder index from 0 on"
            )
        check_bands(self.bands)

    @classmethod
    def from_plain(cls, content: object, first: int, second: int) -> Cascade:
        """From a solver's plain data of kind "cascade"; ValueError says what is wrong with it."""
        return cls(
            first,
            second,
            tuple(
                CascadeBand(plain_bound(band), plain_number(band.get("threshold"), "threshold"))
                for band in plain_bands(content, "cascade")
            ),
        )

    @property
    def deepest(self) -> int:
        """The cheap rung, at which every job starts."""
        return self.first

    @property
    def needs_costs(self) -> bool:
        """The costs went into the thresholds."""
        return False

    def initial(self) -> ControllerState:
        """The one state that it has: the cheap rung."""
        return ControllerState(self.first, -math.inf)

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """No load changes it."""
        del load
        return state

    def redoes(self, rung: int, confidence: float | None, load: Load) -> bool:
        """Whether a picture delivered at `rung` with this confidence is to be made again.

        Never one that was made at `second` or better, nor one that no discriminator judged (None).
        """
        if confidence is None or rung <= self.second:
            return False
        return confidence < band_for(self.bands, load).threshold
