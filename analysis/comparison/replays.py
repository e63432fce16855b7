"""Replays a run's realised arrivals through the simulator, with given costs and overheads."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis.comparison.lags import Lags, Stay
from analysis.comparison.sums import P90_SIGMAS, PoolSums, Window
from analysis.configured_server import configured_server
from analysis.runs import Outcome, Request
from analysis.server_config import ServerSettings
from analysis.simulator import Arrival, Overheads, Template, simulate
from pipelines.costs import CostTable, Measurement
from pipelines.service_costs import CostSums
from policies.controllers import Cascade, Controller, DeadlineAware, Split
from policies.controllers.base import ControllerState
from policies.load import Load
from policies.policy import Policy

DRAW_SEED = 4_000_000
CHUNK = 4096
USUAL_S = 0.1
"""A part of a run is taken to hold so much work at the usual speed beside its own."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the server saw of a run: when each request was received, seconds from the run's start,
    and how long after its schedule. `asked` is what they asked for, None: any rung."""

    received_s: tuple[float, ...]
    late_s: tuple[float, ...]
    asked: Template | None = None


def trace_of(requests: Sequence[Request], asked: Template | None = None) -> Trace:
    """The requests that the server received, in that order."""
    came = sorted((r.received_s, r.scheduled_s) for r in requests if r.received_s is not None)
    return Trace(
        tuple(received_s for received_s, _ in came),
        tuple(received_s - scheduled_s for received_s, scheduled_s in came),
        asked,
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times as long as on the average the engines' work took, from each time on."""

    from_s: tuple[float, ...] = (-math.inf,)
    times: tuple[float, ...] = (1.0,)

    def at(self, now_s: float) -> float:
        """The factor at this time."""
        return self.times[max(0, bisect_right(self.from_s, now_s) - 1)]


def pace_of(window: Window, started_unix_s: float, means: PoolSums | None = None) -> Pace:
    """From the sums of a run's parts, all engines together: what was done took how many times as
    long as it would have at the mean costs in `means` (None: the run's own), a part with little
    work saying little."""
    whole = window.whole if means is None else means
    from_s, times = [-math.inf], [1.0]
    for at_s, part in window.parts:
        took_s = sum(sums.total_s for sums in part.values())
        expected_s = sum(_at_means(sums, whole[pool]) for pool, sums in part.items())
        from_s.append(at_s - started_unix_s)
        times.append((took_s + USUAL_S) / (expected_s + USUAL_S))
    return Pace(tuple(from_s), tuple(times))


def _at_means(part: CostSums, whole: CostSums) -> float:
    """Seconds that the part's work would have taken at the whole's mean costs."""
    total_s = 0.0
    for mine, all_of_it in (
        (part.encode, whole.encode),
        (part.step, whole.step),
        (part.decode, whole.decode),
        (part.rest, whole.rest),
    ):
        means: Mapping[object, float] = {key: one.mean_s for key, one in all_of_it.items()}
        total_s += sum(one.calls * means[key] for key, one in mine.items())
    return total_s


CostLaw = Literal["counted", "constant"]
"""Costs vary as much as was counted, or always have their mean."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that a replay needs to know beside the arrivals and the configuration.

    `tables` are by pool. `response_s` is the time from the end of decoding to the client, `rung_s`
    what an announced rung takes to reach an engine.
    """

    tables: Mapping[str, CostTable]
    lags: Lags
    response_s: float
    rung_s: float
    pace: Pace = Pace()
    law: CostLaw = "counted"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay gave: the outcomes and stays of those served, how many were refused, and the
    share of the engines' time in boundaries, from the run's start to its last answer."""

    outcomes: tuple[Outcome, ...]
    stays: tuple[Stay, ...]
    requests: int
    rejected: int
    utilisation: float


def replay(settings: ServerSettings, conditions: Conditions, trace: Trace, draw: int) -> Replayed:
    """Serve the trace once, with costs drawn from the tables; `draw` is the number of the draw.

    For a policy that goes by costs nothing is drawn: it has to see their means, as it does live.
    Every newcomer is charged `encode_s`: the tables hold what one cost on the average, its text in
    the cache or not. The way to the server is in the trace as it was measured. A way of a grant
    that is shorter for arrivals than for free places is had by arrivals that much earlier.
    """
    lags, clock = conditions.lags, _Clock()
    exact = conditions.law == "constant" or settings.policy.costs_needed_by() is not None
    rng = None if exact else np.random.default_rng(DRAW_SEED + draw)
    costs = {
        pool: DrawnCosts(table, rng, conditions.pace, clock)
        for pool, table in conditions.tables.items()
    }
    overheads = Overheads(0.0, lags.place_s, conditions.response_s, conditions.rung_s)
    server = configured_server(settings, costs, overheads)
    if rng is not None or conditions.pace != Pace():
        server = replace(server, costs_vary=True)
    if conditions.pace != Pace():
        server = replace(server, policy=_telling_time(server.policy, clock))
    template = trace.asked or Template(settings.ladder.last)
    shift_s = lags.arrival_s - lags.place_s
    # Virtual time begins at nought, and the first arrival may lie before it now.
    first_s = min(0.0, trace.received_s[0] + shift_s) if trace.received_s else 0.0
    clock.zero_s = first_s
    arrivals = [Arrival(at_s + shift_s - first_s, template) for at_s in trace.received_s]
    outcomes, stays, rejected = [], [], 0
    result = simulate(arrivals, server)
    records, over_s = result.records, 0.0
    for record, received_s, late_s in zip(records, trace.received_s, trace.late_s, strict=True):
        rejected += record.status == "rejected"
        over_s = max(over_s, record.answered_s + first_s)
        if record.variant is None or record.started_s is None or record.finished_s is None:
            continue
        started_s, ended_s = record.started_s + first_s, record.finished_s + first_s
        latency_s = record.answered_s + first_s - received_s + late_s
        steps, service_s = record.steps_run or 0, ended_s - started_s
        outcome = Outcome(latency_s, record.variant, steps, service_s, record.cut_steps)
        outcomes.append(outcome)
        stays.append(Stay(received_s, started_s, ended_s))
    busy_s = sum(result.busy_s.values())
    utilisation = busy_s / (len(result.busy_s) * over_s) if over_s > 0 else 0.0
    return Replayed(tuple(outcomes), tuple(stays), len(records), rejected, utilisation)


def can_follow(policy: Policy) -> bool:
    """Whether a replay can have a pace: the dispatcher knows some controllers by their kind."""
    return not isinstance(policy.controller, Cascade | DeadlineAware | Split)


def _telling_time(policy: Policy, clock: _Clock) -> Policy:
    if not can_follow(policy):
        raise ValueError(
            "The dispatcher knows this controller by its kind, so no other can stand before it to"
            " tell the time; replay without a pace."
        )
    return replace(policy, controller=_TellsTime(policy.controller, clock))


class _Clock:
    """The virtual time of the latest decision, from the run's start."""

    def __init__(self) -> None:
        self.now_s = self.zero_s = 0.0


@dataclass(frozen=True, slots=True)
class _TellsTime:
    """A controller that also sets the clock: it is asked at every arrival and at every end."""

    inner: Controller
    clock: _Clock

    @property
    def deepest(self) -> int:
        return self.inner.deepest

    @property
    def needs_costs(self) -> bool:
        return self.inner.needs_costs

    def initial(self) -> ControllerState:
        return self.inner.initial()

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        self.clock.now_s = load.now_s + self.clock.zero_s
        return self.inner.decide(load, state)


class DrawnCosts:
    """A cost table whose every call is drawn anew, with the mean and the spread of the table.

    Gamma distributed: never negative, and constant where there is no spread, or no `rng`.
    """

    def __init__(
        self, table: CostTable, rng: np.random.Generator | None, pace: Pace, clock: _Clock
    ) -> None:
        self._table = table
        self._rng = rng
        self._pace = pace
        self._clock = clock
        self._steps: dict[tuple[str, int, int | None], _Gamma] = {}
        self._encodings = {v: self._gamma(c.encode_s) for v, c in table.variants.items()}
        self._decodings = {
            (variant, batch): self._gamma(one)
            for variant, costs in table.variants.items()
            for batch, one in costs.decode_s.items()
        }

    def encode_s(self, variant: str) -> float:
        """Taking in one new job."""
        return self._encodings[variant].draw() * self._pace.at(self._clock.now_s)

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """One step of `batch` jobs, `guided` of them with guidance (None: all)."""
        key = variant, batch, guided
        if key not in self._steps:
            self._steps[key] = self._gamma(self._step(variant, batch, guided))
        return self._steps[key].draw() * self._pace.at(self._clock.now_s)

    def decode_s(self, variant: str, batch: int) -> float:
        """Decoding `batch` pictures."""
        return self._decodings[variant, batch].draw() * self._pace.at(self._clock.now_s)

    def _step(self, variant: str, batch: int, guided: int | None) -> Measurement:
        known = self._table.variants[variant].step_s.get(batch)
        if known is None or guided not in (None, batch):
            return Measurement.exactly(self._table.step_s(variant, batch, guided))
        return known

    def _gamma(self, one: Measurement) -> _Gamma:
        return _Gamma(one.median_s, (one.p90_s - one.median_s) / P90_SIGMAS, self._rng)


class _Gamma:
    """Draws in chunks, which is much faster than one by one."""

    def __init__(self, mean_s: float, spread_s: float, rng: np.random.Generator | None) -> None:
        self._mean_s, self._rng = mean_s, rng
        self._shape = math.inf if spread_s <= 0 or mean_s <= 0 else (mean_s / spread_s) ** 2
        self._drawn: list[float] = []

    def draw(self) -> float:
        if self._rng is None or math.isinf(self._shape):
            return self._mean_s
        if not self._drawn:
            scale_s = self._mean_s / self._shape
            self._drawn = self._rng.gamma(self._shape, scale_s, CHUNK).tolist()
        return self._drawn.pop()
