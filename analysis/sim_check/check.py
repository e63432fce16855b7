"""Holds measured runs against their replays: figures, deviations, and what each input changes.

Every run is replayed twice over: with costs and overheads that were measured in the *other* runs,
which is a prediction but for the arrivals, and with its own, which leaves only the model to blame,
and the speed of a machine that changes while a run lasts; so it is replayed once more with the
engines' speed as it was from second to second. In between, one input at a time is changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.faults import MeasurementError
from analysis.intervals import Band
from analysis.prediction import Figures, figures_of
from analysis.runs import RUN_FILE, Run, read_requests, read_run
from analysis.server_config import ServerSettings, read_settings
from analysis.sim_check.lags import STARTS_MIN, Lags, StartLags, find_lags, start_lags, stays_of
from analysis.sim_check.measure import (
    CONTROLLED,
    LOADS,
    META_FILE,
    ROUNDS,
    STATIC,
    UNLOADED_FILE,
    Turn,
    probe_name,
)
from analysis.sim_check.replays import (
    Conditions,
    Replayed,
    Trace,
    can_follow,
    pace_of,
    replay,
    trace_of,
)
from analysis.sim_check.sums import (
    SUMS_FILE,
    PoolSums,
    Window,
    added,
    preferring,
    read_window,
    tables_of,
)
from analysis.study import unloaded_from

MEAN_LIMIT, P95_LIMIT = 0.03, 0.05
DEGRADED_LIMIT = 0.02
"""How far the simulation may be off: shares of the measured mean and p95 response, and points of
the share of degraded pictures."""

OTHERS = "costs and overheads of the other runs"
OWN = "its own costs and overheads"
OWN_COSTS = "its own costs"
OWN_LAGS = "its own way to the engine"
OWN_RESPONSE = "its own way back to the client"
OWN_PACE = "its own, with the engines' speed as it changed during the run"

DRAWS = {OTHERS: 20, OWN_COSTS: 8, OWN_LAGS: 8, OWN_RESPONSE: 8, OWN: 20, OWN_PACE: 20}
"""Replays of one run: one late decision of a controller changes all that follow, so a single replay
is itself a draw."""

LAG_DRAWS = 3

REPLAYS_TOLD = 2 * ROUNDS * len(LOADS)
"""How often `check` tells its progress."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run as it was, and what was found in it alone."""

    turn: Turn
    settings: ServerSettings
    run: Run
    window: Window
    trace: Trace
    response_s: float
    starts: StartLags
    started_unix_s: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """Simulated against measured: relative for the mean and the p95 response (0.01: the simulation
    is 1 % longer), a difference for the share of degraded pictures."""

    mean: float
    p95: float
    degraded: float

    @property
    def within(self) -> bool:
        """Whether it is inside all three limits."""
        return (
            abs(self.mean) <= MEAN_LIMIT
            and abs(self.p95) <= P95_LIMIT
            and abs(self.degraded) <= DEGRADED_LIMIT
        )


@dataclass(frozen=True, slots=True)
class Simulated:
    """Mean figures of the replays under one set of conditions, and where 95 % of them fall."""

    figures: Figures
    bands: Mapping[str, Band]
    deviation: Deviation


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run, or all runs of a load together, beside its replays by what went into them."""

    name: str
    runs: tuple[str, ...]
    measured: Figures
    simulated: Mapping[str, Simulated]

    @property
    def predicted(self) -> Simulated:
        """With nothing of its own but the arrivals."""
        return self.simulated[OTHERS]

    def by_chance(self, what: str) -> bool:
        """Whether the measured figures that are beyond a limit lie among 95 % of single replays:
        then a second run like this one might differ as much from the first."""
        found, off = self.simulated[what], self.simulated[what].deviation
        beyond = {
            "mean_s": abs(off.mean) > MEAN_LIMIT,
            "p95_s": abs(off.p95) > P95_LIMIT,
            "degraded_share": abs(off.degraded) > DEGRADED_LIMIT,
        }
        return any(beyond.values()) and all(
            getattr(self.measured, name) in found.bands[name] for name, far in beyond.items() if far
        )


@dataclass(frozen=True, slots=True)
class Check:
    """The whole comparison. `lags` and `response_s` are by run."""

    meta: Mapping[str, Any]
    idle_rung_s: float
    lags: Mapping[str, Lags]
    response_s: Mapping[str, float]
    runs: tuple[Comparison, ...]
    loads: tuple[Comparison, ...]
    notes: tuple[str, ...]


def check(folder: Path, tell: Callable[[str], None] = lambda what: None) -> Check:
    """Compute everything from the raw data. MeasurementError, DataError or ValueError in one sentence."""
    meta = _read_meta(folder)
    settings = {name: read_settings(folder / f"{name}.yaml") for name in (STATIC, CONTROLLED)}
    idle = unloaded_from(read_requests(folder / UNLOADED_FILE)).overheads
    probes: PoolSums = {}
    for variant in settings[STATIC].ladder.variants:
        probes = added(probes, read_window(folder / f"{probe_name(variant)}.{SUMS_FILE}").whole)
    turns = [Turn(c, load, number) for c, load in LOADS for number in range(1, ROUNDS + 1)]
    runs = {turn.name: _measured(folder, turn, settings[turn.controller]) for turn in turns}
    conditions = _Conditions(runs, probes, idle.grant_s)
    for name in runs:
        tell(f"finding the ways to the engine in {name}")
        conditions.find_lags_of(name)
    conditions.complete_lags()
    replays: dict[str, dict[str, list[Replayed]]] = {}
    for name, one in runs.items():
        tell(f"replaying {name}")
        replays[name] = {
            what: [replay(one.settings, given, one.trace, draw) for draw in range(DRAWS[what])]
            for what, given in conditions.of(name).items()
        }
    loads = []
    for controller, load in LOADS:
        names = [t.name for t in turns if (t.controller, t.load) == (controller, load)]
        loads.append(_compare(f"{controller}-{load:g}", [runs[n] for n in names], replays))
    return Check(
        meta=meta,
        idle_rung_s=idle.grant_s,
        lags=conditions.lags,
        response_s={name: one.response_s for name, one in runs.items()},
        runs=tuple(_compare(name, [one], replays) for name, one in runs.items()),
        loads=tuple(loads),
        notes=tuple(f"{n}: {why}" for n, one in runs.items() for why in one.run.reasons),
    )


def _read_meta(folder: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MeasurementError(
            f"{folder} holds no measurement that came to its end; name another, or measure anew"
        ) from None
    return dict(meta)


def _measured(folder: Path, turn: Turn, settings: ServerSettings) -> Measured:
    run = read_run(folder / turn.name)
    after_s = [one.after_s for one in run.requests if one.after_s is not None]
    if not after_s:
        raise MeasurementError(f"no request of {turn.name} was served; look at the server's log")
    return Measured(
        turn,
        settings,
        run,
        read_window(folder / f"{turn.name}.{SUMS_FILE}"),
        trace_of(run.requests),
        float(np.mean(after_s)),
        start_lags(stays_of(run.requests), _places(settings)),
        float(
            json.loads((folder / turn.name / RUN_FILE).read_text(encoding="utf-8"))["started_at"]
        ),
    )


def _places(settings: ServerSettings) -> int:
    return sum(pool.replicas * pool.max_batch for pool in settings.pools)


class _Conditions:
    """What goes into the replays of each run: from the others, or its own."""

    def __init__(self, runs: Mapping[str, Measured], probes: PoolSums, idle_s: float) -> None:
        self.lags: dict[str, Lags] = {}
        self._runs = runs
        self._idle_s = idle_s
        self._others: dict[str, PoolSums] = {}
        self._own: dict[str, PoolSums] = {}
        whole = {name: one.window.whole for name, one in runs.items()}
        for name in runs:
            others: PoolSums = probes
            for other, sums in whole.items():
                if other != name:
                    others = added(others, sums)
            self._others[name] = others
            self._own[name] = preferring(whole[name], others)

    def find_lags_of(self, name: str) -> None:
        """Find the run's own lags, by replays with its own costs."""
        one = self._runs[name]
        tables = tables_of(one.settings, self._own[name])

        def simulated(lags: Lags) -> StartLags:
            given = Conditions(tables, lags, one.response_s, self._idle_s)
            found = [
                start_lags(replay(one.settings, given, one.trace, d).stays, _places(one.settings))
                for d in range(LAG_DRAWS)
            ]
            return StartLags(
                tuple(lag_s for each in found for lag_s in each.arrivals),
                tuple(lag_s for each in found for lag_s in each.places),
            )

        idle = Lags(self._idle_s, self._idle_s)
        self.lags[name] = find_lags(one.starts, simulated, idle)

    def complete_lags(self) -> None:
        """Where a run has too few starts of a kind to tell their lag, it is that of the others."""
        others = {name: self._lags_of_others(name) for name in self._runs}
        for name, theirs in others.items():
            starts = self._runs[name].starts
            if len(starts.arrivals) < STARTS_MIN:
                self.lags[name] = replace(self.lags[name], arrival_s=theirs.arrival_s)
            if len(starts.places) < STARTS_MIN:
                self.lags[name] = replace(self.lags[name], place_s=theirs.place_s)

    def of(self, name: str) -> dict[str, Conditions]:
        """By what is told of them."""
        one = self._runs[name]
        others = Conditions(
            tables_of(one.settings, self._others[name]),
            self._lags_of_others(name),
            float(np.mean([o.response_s for other, o in self._runs.items() if other != name])),
            self._idle_s,
        )
        own_tables = tables_of(one.settings, self._own[name])
        own = replace(others, tables=own_tables, lags=self.lags[name], response_s=one.response_s)
        found = {
            OTHERS: others,
            OWN_COSTS: replace(others, tables=own_tables),
            OWN_LAGS: replace(others, lags=self.lags[name]),
            OWN_RESPONSE: replace(others, response_s=one.response_s),
            OWN: own,
        }
        if can_follow(one.settings.policy):
            steady = tables_of(one.settings, preferring(one.window.steady, self._others[name]))
            pace = pace_of(one.window, one.started_unix_s)
            found[OWN_PACE] = replace(own, tables=steady, pace=pace)
        return found

    def _lags_of_others(self, name: str) -> Lags:
        """Their means, each weighted by the starts of its kind; an idle server's without any."""
        others = [(one.starts, self.lags[o]) for o, one in self._runs.items() if o != name]
        return Lags(
            _mean(
                [(len(starts.arrivals), lags.arrival_s) for starts, lags in others], self._idle_s
            ),
            _mean([(len(starts.places), lags.place_s) for starts, lags in others], self._idle_s),
        )


def _mean(found: Sequence[tuple[int, float]], otherwise: float) -> float:
    """The mean of lags, weighted by the starts that they rest on; too few do not count."""
    told = [(starts, lag_s) for starts, lag_s in found if starts >= STARTS_MIN]
    if not told:
        return otherwise
    return sum(starts * lag_s for starts, lag_s in told) / sum(starts for starts, _ in told)


def _compare(
    name: str, runs: Sequence[Measured], replays: Mapping[str, Mapping[str, Sequence[Replayed]]]
) -> Comparison:
    """All runs together, draw by draw."""
    settings = runs[0].settings
    outcomes = [outcome for one in runs for outcome in one.run.outcomes]
    requests = sum(len(one.run.requests) for one in runs)
    measured = figures_of(outcomes, requests, sum(one.run.rejected for one in runs), settings)
    names = tuple(one.turn.name for one in runs)
    simulated = {}
    for what in replays[names[0]]:
        draws = zip(*(replays[name][what] for name in names), strict=True)
        simulated[what] = _simulated([_together(draw, settings) for draw in draws], measured)
    return Comparison(name, names, measured, simulated)


def _together(replayed: Sequence[Replayed], settings: ServerSettings) -> Figures:
    outcomes = [outcome for one in replayed for outcome in one.outcomes]
    requests = sum(one.requests for one in replayed)
    return figures_of(outcomes, requests, sum(one.rejected for one in replayed), settings)


def _simulated(draws: Sequence[Figures], measured: Figures) -> Simulated:
    columns = {n: np.array([getattr(one, n) for one in draws]) for n in Figures.__slots__}
    figures = Figures(**{name: float(column.mean()) for name, column in columns.items()})
    bands = {}
    for name, column in columns.items():
        low, high = np.quantile(column, (0.025, 0.975))
        bands[name] = Band(float(low), float(high))
    return Simulated(figures, bands, deviation_of(figures, measured))


def deviation_of(simulated: Figures, measured: Figures) -> Deviation:
    """How far the simulation is from the measurement."""
    return Deviation(
        simulated.mean_s / measured.mean_s - 1,
        simulated.p95_s / measured.p95_s - 1,
        simulated.degraded_share - measured.degraded_share,
    )
