"""Rounds of like loads on all systems, in an order drawn anew for each: paired, blocked by round.

In a round every system meets the same arrivals, prompts and picture seeds at each load, so that what
they differ by is the system, and the machine's drift from round to round falls out of the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from analysis.demo import PROMPTS
from analysis.live_plans import check_plan
from analysis.server_config import DEFAULT_CONFIG, ConfigError, Mode

BASE: Mode = "static"
SYSTEMS: tuple[Mode, ...] = ("static", "at_start", "in_flight")
LOADS = (0.8, 1.5)
"""Offered loads as shares of the full-step capacity."""

ROUNDS = 4
ROUNDS_MIN = 2
SECONDS = 15.0
SECONDS_MIN = 4.0
SEEDS_APART = 10_000

T = TypeVar("T")


class Turn(NamedTuple):
    """One run: a load on a system, in a round that counts from 1."""

    system: Mode
    load: float
    round: int

    @property
    def name(self) -> str:
        """Folder of the run."""
        return f"{self.system}-{self.load:g}-{self.round}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `out` is the folder of the raw data, `command` what the results will tell.

    With a `port` the systems listen on it and the next ones. ConfigError if it cannot be.
    """

    out: Path
    config: Path = DEFAULT_CONFIG
    systems: tuple[Mode, ...] = SYSTEMS
    rounds: int = ROUNDS
    seconds: float = SECONDS
    seed: int = 1
    port: int | None = None
    prompts: Path = PROMPTS
    command: str = ""

    def __post_init__(self) -> None:
        check_plan(self.seconds, SECONDS_MIN, "load", self.seed, self.port)
        if not ROUNDS_MIN <= self.rounds < SEEDS_APART // len(LOADS):
            raise ConfigError(
                f"--rounds must be at least {ROUNDS_MIN}, got {self.rounds}: one alone has no interval"
            )
        if self.systems[:1] != (BASE,) or len(set(self.systems)) < 2:
            raise ConfigError(
                f"--systems must be {BASE} first, against which others are held, and at least one"
                f" of {', '.join(one for one in SYSTEMS if one != BASE)}"
            )

    def seed_of(self, load: float, number: int) -> int:
        """Arrival seed of a load in a round: the same for all systems."""
        return self.seed + SEEDS_APART * (1 + len(LOADS) * number + LOADS.index(load))

    def turns(self) -> list[Turn]:
        """All runs in their order: loads at random in a round, systems at random in a load."""
        rng = np.random.default_rng([self.seed, 6])
        found = []
        for number in range(1, self.rounds + 1):
            for load in _shuffled(LOADS, rng):
                found += [Turn(system, load, number) for system in _shuffled(self.systems, rng)]
        return found

    @property
    def steps(self) -> int:
        """How often `measure` tells its progress."""
        return 5 + len(self.turns())


def _shuffled(values: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [values[index] for index in rng.permutation(len(values))]
