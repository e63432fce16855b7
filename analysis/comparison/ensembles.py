"""Figures over several draws of one world: their means, where single draws fall, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.replays import Replayed
from analysis.intervals import Band
from analysis.prediction import Figures, figures_of
from analysis.runs import DataError
from analysis.server_config import ServerSettings

Array = NDArray[np.float64]

BUDGETED = (
    "mean_s",
    "p50_s",
    "p95_s",
    "p99_s",
    "degraded_share",
    "mean_steps",
    "utilisation",
)
"""The figures that are compared, and whose differences are explained."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """What a model says: figures, where 95 % of runs fall (empty for the long run), and how."""

    figures: Figures
    bands: Mapping[str, Band]
    method: str


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The figures of each draw; draw i of one world shares its random numbers with that of others."""

    draws: tuple[Figures, ...]

    def __post_init__(self) -> None:
        if not self.draws:
            raise DataError("the run is too short for a single arrival; make a longer one")

    @property
    def figures(self) -> Figures:
        """Their means."""
        return Figures(**{name: float(self.column(name).mean()) for name in Figures.__slots__})

    @property
    def bands(self) -> dict[str, Band]:
        """Where 95 % of single draws fall."""
        found = {}
        for name in BUDGETED:
            low, high = np.quantile(self.column(name), (0.025, 0.975))
            found[name] = Band(float(low), float(high))
        return found

    def column(self, name: str) -> Array:
        """One figure of every draw."""
        return np.array([getattr(one, name) for one in self.draws], dtype=np.float64)

    def table(self) -> Array:
        """All compared figures, a row for each draw."""
        return np.column_stack([self.column(name) for name in BUDGETED])


def figures_of_replay(replayed: Replayed, settings: ServerSettings) -> Figures:
    """Of one draw."""
    return figures_of(
        replayed.outcomes, replayed.requests, replayed.rejected, settings, replayed.utilisation
    )


def values_of(figures: Figures) -> Array:
    """The compared figures in order."""
    return np.array([getattr(figures, name) for name in BUDGETED], dtype=np.float64)


def ensemble(replays: Sequence[Replayed], settings: ServerSettings) -> Ensemble:
    """Of draws that served anybody."""
    return Ensemble(tuple(figures_of_replay(one, settings) for one in replays if one.outcomes))
