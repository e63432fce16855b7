"""One run in worlds between its prediction and its replay: every input from the profile or its own.

Draw i of every world shares its random numbers with draw i of the others (common random numbers),
so that what a swap changes is not hidden by chance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.comparison.budget import Swaps
from analysis.comparison.ensembles import Ensemble, ensemble
from analysis.comparison.evidence import Evidence
from analysis.comparison.lags import STARTS_MIN, Lags
from analysis.comparison.profile import Profile, own_lags, schedule
from analysis.comparison.replays import (
    Conditions,
    Pace,
    Replayed,
    Trace,
    can_follow,
    pace_of,
    replay,
)
from analysis.comparison.sums import preferring, tables_of
from analysis.prediction import A_PRIORI_SEED
from loadgen.arrivals import poisson
from pipelines.costs import CostTable

PACE_SEED = 2_000_000
"""Seeds of paths of the engines' speed, which no schedule uses."""

DRAIN_TIMES, DRAIN_S = 3.0, 60.0
"""A path of paces lasts so many times as long as the arrivals, and so much longer: queues drain."""

ARRIVALS, COSTS, PACE, WAYS, RESPONSE = (
    "arrivals",
    "costs of the work",
    "speed from second to second",
    "way to the engines",
    "way back to the client",
)
MEANINGS = {
    ARRIVALS: "Poisson schedules give way to this run's arrivals, as the server received them",
    COSTS: "what steps, encodings and decodings cost by the profile gives way to this run's",
    PACE: "the engines' speed, drawn as in other runs, gives way to this run's",
    WAYS: "grants take as long to the engines as they did in this run",
    RESPONSE: "pictures take as long to their clients as they did in this run",
}
"""What is swapped under each name."""


@dataclass(slots=True)
class RunWorlds:
    """Simulates the run of `evidence` with the inputs that are named taken from the run itself, all
    others from `profile`. Answers are kept: a world is simulated once."""

    evidence: Evidence
    profile: Profile
    draws: int
    replications: int
    _known: dict[Swaps, Ensemble] = field(default_factory=dict)
    _tables: dict[str, dict[str, CostTable]] = field(default_factory=dict)
    _own_lags: Lags | None = None

    @property
    def follows(self) -> bool:
        """Whether simulations of this policy can have a pace."""
        return can_follow(self.evidence.settings.policy)

    @property
    def swaps(self) -> tuple[str, ...]:
        """Inputs that the run itself can give, in the order of the budget."""
        told = self.evidence.window.known
        found = [ARRIVALS]
        if told:
            found.append(COSTS)
        if self.follows and (told or self.profile.paces):
            found.append(PACE)
        return (*found, WAYS, RESPONSE)

    def __call__(self, own: Swaps) -> Ensemble:
        """The figures of `draws` replays of the run's own arrivals, of `replications` schedules."""
        if own not in self._known:
            count = self.draws if ARRIVALS in own else self.replications
            replays = [self.once(own, draw) for draw in range(count)]
            self._known[own] = ensemble(replays, self.evidence.settings)
        return self._known[own]

    def arrivals_only(self) -> Ensemble:
        """The prediction at a steady speed."""
        own: Swaps = frozenset()
        replays = [self.once(own, draw, steady=True) for draw in range(self.replications)]
        return ensemble(replays, self.evidence.settings)

    def once(self, own: Swaps, draw: int, *, steady: bool = False) -> Replayed:
        """One draw."""
        evidence = self.evidence
        pace = Pace() if steady else self.pace(PACE in own, draw)
        conditions = Conditions(
            tables=self.tables(COSTS in own),
            lags=self.lags() if WAYS in own else self.profile.lags,
            response_s=evidence.response_s if RESPONSE in own else self.profile.response_s,
            rung_s=self.profile.rung_s,
            pace=pace,
        )
        trace = evidence.trace if ARRIVALS in own else self.trace(draw)
        return replay(evidence.settings, conditions, trace, draw)

    def trace(self, draw: int) -> Trace:
        """Poisson arrivals of the run's rate and length."""
        run = self.evidence.run
        times_s = poisson(run.rate_per_s, run.duration_s, A_PRIORI_SEED + draw)
        return schedule(times_s.tolist(), self.profile.network_s, self.evidence.trace.asked)

    def pace(self, own: bool, draw: int) -> Pace:
        """How fast the engines are."""
        if not self.follows:
            return Pace()
        if own:
            evidence = self.evidence
            if not evidence.window.known:
                return Pace()
            return pace_of(evidence.window, evidence.started_unix_s)
        lasts_s = DRAIN_TIMES * self.evidence.run.duration_s + DRAIN_S
        return self.profile.drawn_pace(lasts_s, np.random.default_rng(PACE_SEED + draw))

    def tables(self, own: bool) -> dict[str, CostTable]:
        """What the engines' work costs, by pool."""
        name = COSTS if own else ""
        if name not in self._tables:
            settings, window = self.evidence.settings, self.evidence.window
            others = self.profile.sums_for(settings)
            mine = window.steady if self.follows else window.whole
            sums = preferring(mine, others) if own and window.known else others
            self._tables[name] = tables_of(settings, sums)
        return self._tables[name]

    def tables_of_best(self) -> list[CostTable]:
        """The profile's tables of the pools that host the variant of full service."""
        settings, tables = self.evidence.settings, self.tables(own=False)
        best = settings.ladder.best.variant
        return [tables[pool.name] for pool in settings.pools if best in pool.variants]

    def lags(self) -> Lags:
        """The run's own ways to the engine; the profile's where it has too few starts of a kind."""
        if self._own_lags is None:
            evidence, profile = self.evidence, self.profile
            others = profile.sums_for(evidence.settings)
            found = own_lags(evidence, others, profile.overheads)
            starts = evidence.starts
            enough = len(starts.arrivals) >= STARTS_MIN, len(starts.places) >= STARTS_MIN
            self._own_lags = Lags(
                found.arrival_s if enough[0] else profile.lags.arrival_s,
                found.place_s if enough[1] else profile.lags.place_s,
            )
        return self._own_lags
