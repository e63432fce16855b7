"""Which loads are measured, for how long, in what order and with which seeds.

Every load has an arrival seed of its own, and so has every calibration, so that no two of them, and
no replication of a prediction, meet the same arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.demo import PROMPTS
from analysis.live_plans import check_seed_and_port
from analysis.server_config import DEFAULT_CONFIG, ConfigError, Mode

MODES: tuple[Mode, ...] = ("static", "at_start", "in_flight")


class Load(NamedTuple):
    """A load on the server in one mode, as a share of its full-step capacity."""

    mode: Mode
    share: float

    @property
    def name(self) -> str:
        """Folder of its run."""
        return f"{self.mode}-{self.share:g}"


LOADS = (
    *(Load("static", share) for share in (0.3, 0.6, 0.8, 0.95)),
    *(Load("at_start", share) for share in (0.8, 1.2, 1.6, 2.5)),
    *(Load("in_flight", share) for share in (0.8, 1.2, 1.6, 2.5)),
)
SHORT = (
    Load("static", 0.6),
    Load("static", 0.95),
    Load("at_start", 1.2),
    Load("in_flight", 0.8),
    Load("in_flight", 1.6),
    Load("in_flight", 2.5),
)

SEEDS_APART = 10_000
CALIBRATION_LOAD = 0.8
"""Share of the capacity at which a session's server is calibrated."""

REQUESTS_MIN = 20


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. `requests` a load, but no load lasts longer than `load_s_max`.

    `calibrations_s` are the seconds of arrivals of the calibration loads that begin and end a
    session; `probe_s` those of the best rung's probe, other variants are probed half as long;
    `idle_requests` are answered one at a time.
    """

    loads: tuple[Load, ...]
    requests: int
    load_s_max: float
    calibrations_s: tuple[float, float]
    probe_s: float
    idle_requests: int


FULL_EXTENT = Extent(LOADS, 320, 240.0, (20.0, 15.0), 6.0, 20)
SHORT_EXTENT = Extent(SHORT, 140, 60.0, (12.0, 6.0), 4.0, 12)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure; `out` is the folder of the raw data, `command` what the results will tell.

    ConfigError if it cannot be.
    """

    out: Path
    extent: Extent = SHORT_EXTENT
    config: Path = DEFAULT_CONFIG
    seed: int = 1
    port: int | None = None
    prompts: Path = PROMPTS
    command: str = ""

    def __post_init__(self) -> None:
        check_seed_and_port(self.seed, self.port)
        if self.seed >= SEEDS_APART:
            raise ConfigError(
                f"--seed must be below {SEEDS_APART}, got {self.seed}: larger ones are those of"
                " other loads"
            )
        if self.extent.requests < REQUESTS_MIN:
            raise ConfigError(
                f"--requests must be at least {REQUESTS_MIN}, got {self.extent.requests}: fewer"
                " show nothing"
            )

    def seed_of(self, load: Load) -> int:
        """Arrival seed of a load."""
        return self.seed + SEEDS_APART * (1 + LOADS.index(load))

    def calibration_seed(self, mode: Mode, number: int) -> int:
        """Arrival seed of a session's first (0) or last (1) calibration."""
        return self.seed + SEEDS_APART * (1 + len(LOADS) + 2 * MODES.index(mode) + number)

    def duration_s(self, load: Load, capacity_per_s: float) -> float:
        """How long requests arrive."""
        return min(self.extent.requests / (load.share * capacity_per_s), self.extent.load_s_max)

    def sessions(self) -> tuple[tuple[Mode, tuple[Load, ...]], ...]:
        """Which server runs when, with what loads; a server's loads in an order drawn by the seed."""
        found: list[tuple[Mode, tuple[Load, ...]]] = []
        for number, mode in enumerate(MODES):
            its = [load for load in self.extent.loads if load.mode == mode]
            order = np.random.default_rng([self.seed, number]).permutation(len(its))
            if its:
                found.append((mode, tuple(its[place] for place in order)))
        return tuple(found)

    @property
    def steps(self) -> int:
        """How often `measure` tells its progress."""
        return sum(4 + len(loads) for _, loads in self.sessions())

    def as_plain(self) -> dict[str, Any]:
        """What is to be measured, as JSON values."""
        calibrations = {
            calibration_name(mode, number): self.calibration_seed(mode, number)
            for mode, _ in self.sessions()
            for number in (0, 1)
        }
        loads = [
            {"name": load.name, "mode": mode, "share": load.share, "seed": self.seed_of(load)}
            for mode, its in self.sessions()
            for load in its
        ]
        extent = {name: value for name, value in asdict(self.extent).items() if name != "loads"}
        return {**extent, "seed": self.seed, "loads": loads, "calibrations": calibrations}


def calibration_name(mode: Mode, number: int) -> str:
    """Folder of a session's first (0) or last (1) calibration."""
    return f"calibration-{mode}-{number + 1}"


def probe_name(mode: Mode, variant: str) -> str:
    """Folder of a probe."""
    return f"probe-{mode}-{variant}"


def idle_file(mode: Mode) -> str:
    """File of the requests that a session's idle server answered one at a time."""
    return f"idle-{mode}.jsonl"


def loads_in(plain: Mapping[str, Any]) -> list[Load]:
    """The loads of a plan that was written down, in the order of `LOADS`."""
    names = {str(one["name"]) for one in plain["loads"]}
    return [load for load in LOADS if load.name in names]


def modes_in(plain: Mapping[str, Any]) -> list[Mode]:
    """The sessions of a plan that was written down."""
    return list(dict.fromkeys(load.mode for load in loads_in(plain)))
