"""What is known of a server before a run: costs, ways and changes of speed, from other runs.

A machine that others share is not equally fast all the time. The profile's runs tell how fast it
was from second to second, each against the mean of all; a run that has not been is given a path of
such paces, drawn in blocks of neighbouring seconds (the moving-block bootstrap, Künsch 1989), about
a level of its own, for runs differ from one another by more than their seconds explain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.evidence import Evidence, places_of
from analysis.comparison.lags import STARTS_MIN, Lags, StartLags, find_lags, start_lags
from analysis.comparison.replays import Conditions, Pace, Trace, pace_of, replay
from analysis.comparison.sums import PoolSums, added, preferring, sums_from, tables_of
from analysis.runs import DataError
from analysis.server_config import ServerSettings
from analysis.simulator import Overheads, Template
from pipelines.costs import CostTable
from pipelines.service_costs import CostSums

LAG_DRAWS = 3
PACE_BLOCK_S = 8
"""Paces are drawn in blocks of so many seconds: as long as a disturbance may last."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known beforehand. `source` says in a few words where from.

    sums: what the engines' work cost, by pool, with the spread that there is within a second; empty
    if `table` holds the costs of all pools instead. rung_s is what an announced rung takes to reach
    an engine. paces: the engines' speed in each of the profile's runs, against the mean of all.
    """

    sums: PoolSums = field(repr=False)
    lags: Lags
    response_s: float
    network_s: float
    rung_s: float
    paces: tuple[Pace, ...] = field(repr=False)
    source: str
    table: CostTable | None = field(default=None, repr=False)

    def sums_for(self, settings: ServerSettings) -> PoolSums:
        """The costs of these settings' pools. ValueError if the table lacks a variant or a batch."""
        return self.sums if self.table is None else sums_from(self.table, settings)

    def tables(self, settings: ServerSettings) -> dict[str, CostTable]:
        """A cost table for each pool. ValueError for one that is not in the profile."""
        return tables_of(settings, self.sums_for(settings))

    @property
    def overheads(self) -> Overheads:
        """As the simulator takes them: the way of a grant is that from a free place."""
        return Overheads(self.network_s, self.lags.place_s, self.response_s, self.rung_s)

    def drawn_pace(self, duration_s: float, rng: np.random.Generator) -> Pace:
        """How fast the engines might be in a run of this length; steady if no run told."""
        if not self.paces:
            return Pace()
        paths = [_by_second(pace) for pace in self.paces]
        levels = np.array([path.mean() for path in paths])
        seconds = np.concatenate([p / level for p, level in zip(paths, levels, strict=True)])
        level = float(levels.mean()) + self._deviation(levels, rng)
        wanted = math.ceil(duration_s) + 1
        block = max(1, min(PACE_BLOCK_S, seconds.size))
        starts = rng.integers(0, seconds.size, size=math.ceil(wanted / block))
        rows = (starts[:, None] + np.arange(block)).ravel()[:wanted] % seconds.size
        times = level * seconds[rows]
        from_s = (-math.inf, *(float(second) for second in range(1, wanted)))
        return Pace(from_s, tuple(times.tolist()))

    @staticmethod
    def _deviation(levels: NDArray[np.float64], rng: np.random.Generator) -> float:
        """Of a new run's level from the mean of the profile's: one of theirs, stretched so that its
        variance is (1 + 1/k) times their sample variance, for the mean of k runs is not sure."""
        k = levels.size
        if k < 2:
            return 0.0
        one = float(levels[rng.integers(k)] - levels.mean())
        return max(-0.5, one * math.sqrt((k + 1) / (k - 1)))


def _by_second(pace: Pace) -> NDArray[np.float64]:
    """The pace of each second of its run."""
    if len(pace.from_s) < 2:
        return np.ones(1)
    first, last = pace.from_s[1], pace.from_s[-1]
    seconds = np.arange(first, last + 0.5, 1.0)
    return np.array([pace.at(second + 1e-6) for second in seconds.tolist()])


def profile_of(runs: Sequence[Evidence], idle: Overheads, source: str) -> Profile:
    """What separate runs tell: costs from all of them, paces too, and ways from those whose
    requests took the server's rungs as they came.

    `idle` are the overheads of an idle server: of the way to it and of announcements, and of the
    way to the engine where the runs have too few starts. DataError if none tells its costs.
    """
    known = [one for one in runs if one.window.known]
    if not known:
        raise DataError(
            "none of the calibration runs has a costs.jsonl; make them with `python -m loadgen run`"
            " on a Sluice server of this version"
        )
    sums: PoolSums = {}
    whole: PoolSums = {}
    for one in known:
        sums, whole = added(sums, one.window.steady), added(whole, one.window.whole)
    found = [(one.starts, own_lags(one, sums, idle)) for one in known if one.free]
    return Profile(
        sums=sums,
        lags=Lags(
            _mean([(len(starts.arrivals), lags.arrival_s) for starts, lags in found], idle.grant_s),
            _mean([(len(starts.places), lags.place_s) for starts, lags in found], idle.grant_s),
        ),
        response_s=float(np.mean([one.response_s for one in known])),
        network_s=idle.network_s,
        rung_s=idle.grant_s,
        paces=tuple(pace_of(one.window, one.started_unix_s, whole) for one in known),
        source=source,
    )


def profile_from_table(costs: CostTable, overheads: Overheads, source: str = "") -> Profile:
    """What a cost table profiled apart and an idle server's overheads tell; no changes of speed."""
    return Profile(
        sums={},
        lags=Lags(overheads.grant_s, overheads.grant_s),
        response_s=overheads.response_s,
        network_s=overheads.network_s,
        rung_s=overheads.announce_s,
        paces=(),
        source=source or f"a cost table of {costs} and an idle server",
        table=costs,
    )


def own_lags(evidence: Evidence, others: PoolSums, idle: Overheads) -> Lags:
    """The ways to the engine in this run, found by replays with its own costs (`others` help out
    where it has too few); those of `idle` where it has too few starts."""
    settings, places = evidence.settings, places_of(evidence.settings)
    whole: dict[str, CostSums] = evidence.window.whole
    tables = tables_of(settings, preferring(whole, others))

    def simulated(lags: Lags) -> StartLags:
        given = Conditions(tables, lags, evidence.response_s, idle.announce_s)
        found = [
            start_lags(replay(settings, given, evidence.trace, draw).stays, places)
            for draw in range(LAG_DRAWS)
        ]
        return StartLags(
            tuple(lag_s for each in found for lag_s in each.arrivals),
            tuple(lag_s for each in found for lag_s in each.places),
        )

    return find_lags(evidence.starts, simulated, Lags(idle.grant_s, idle.grant_s))


def _mean(found: Sequence[tuple[int, float]], otherwise: float) -> float:
    """The mean of lags, weighted by the starts that they rest on; too few do not count."""
    told = [(starts, lag_s) for starts, lag_s in found if starts >= STARTS_MIN]
    if not told:
        return otherwise
    return sum(starts * lag_s for starts, lag_s in told) / sum(starts for starts, _ in told)


def schedule(times_s: Sequence[float], network_s: float, asked: Template | None = None) -> Trace:
    """Arrivals that have not been: each takes `network_s` to the server."""
    return Trace(tuple(t + network_s for t in times_s), (network_s,) * len(times_s), asked)
