"""One run in worlds between the queueing model and the prediction: what the textbook idealises.

Without any swap this is the server that the queueing model solves, simulated; with all of them it is
the prediction by the simulator. Draw i of every world has the arrivals of draw i of the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.comparison.budget import Swaps
from analysis.comparison.ensembles import Ensemble, figures_of_replay
from analysis.comparison.lags import Lags
from analysis.comparison.profile import schedule
from analysis.comparison.replays import Conditions, Pace, Replayed, Trace, replay
from analysis.comparison.sharing import Sharing, simulate_sharing
from analysis.comparison.worlds import RunWorlds
from analysis.models.stages import StageServer
from analysis.prediction import A_PRIORI_SEED, Figures, figures_of
from analysis.runs import Outcome
from analysis.server_config import ServerSettings
from loadgen.arrivals import poisson
from pipelines.costs import CostTable, Measurement, VariantCosts
from policies.controllers import Hysteresis
from policies.nouns import Ladder

BURN_IN_SEED = 3_000_000
SHARING_SEED = 5_000_000
FINER = 4
"""Steps are cut in so many to let newcomers and rungs in nearly at once."""

LAW, BATCHING, BINDING = "service law", "batching", "when it binds"
LAG, OVERHEAD, SPEED, WARM_UP = (
    "controller's lag",
    "HTTP and Ray overhead",
    "speed, as in other runs",
    "warm-up and length",
)
MEANINGS = {
    LAW: "steps of exponential length give way to what they cost",
    BATCHING: "jobs that share a mean rate give way to steps, encodings and decodings of a batch",
    BINDING: "newcomers and rungs are taken in at the next step boundary, not at once",
    LAG: "an announced rung takes its way to the engine, and stands for a while",
    OVERHEAD: "the ways, in the model a time that is added, keep places empty",
    SPEED: "the engines' speed changes, as it did in the profile's runs",
    WARM_UP: "the long run gives way to a run of this length from an empty server",
}
"""What is put right under each name."""


@dataclass(slots=True)
class TextbookWorlds:
    """Simulates the run as it might be, with the named idealisations put right.

    `server` is the queueing model's engine. Answers are kept: a world is simulated once.
    """

    worlds: RunWorlds
    server: StageServer
    _known: dict[Swaps, Ensemble] = field(default_factory=dict)

    @property
    def swaps(self) -> tuple[str, ...]:
        """All that there are, in the order of the budget."""
        found = [LAW, BATCHING, BINDING, LAG, OVERHEAD]
        if self.worlds.follows and self.worlds.profile.paces:
            found.append(SPEED)
        return (*found, WARM_UP)

    def __call__(self, real: Swaps) -> Ensemble:
        """The figures of all draws. A static server has no controller that could lag."""
        if not self.worlds.evidence.settings.controlled:
            real |= {LAG}
        if real == frozenset(self.swaps):
            return self.worlds(frozenset())
        if real not in self._known:
            once = self._stepwise if BATCHING in real else self._shared
            found = [once(real, draw) for draw in range(self.worlds.replications)]
            self._known[real] = Ensemble(tuple(one for one in found if one is not None))
        return self._known[real]

    # -- the arrivals ---------------------------------------------------------------------------

    def _arrivals(self, real: Swaps, draw: int) -> tuple[list[float], float]:
        """When jobs come, and the time from which on they count."""
        run = self.worlds.evidence.run
        times_s = poisson(run.rate_per_s, run.duration_s, A_PRIORI_SEED + draw).tolist()
        if WARM_UP in real:
            return times_s, 0.0
        before_s = poisson(run.rate_per_s, run.duration_s, BURN_IN_SEED + draw).tolist()
        return [*before_s, *(run.duration_s + at_s for at_s in times_s)], run.duration_s

    def _pace(self, real: Swaps, draw: int) -> Pace:
        if SPEED not in real:
            return Pace()
        pace = self.worlds.pace(own=False, draw=draw)
        if WARM_UP in real:
            return pace
        later_s = self.worlds.evidence.run.duration_s
        first, *others = pace.from_s
        return Pace((first, *(later_s + at_s for at_s in others)), pace.times)

    @property
    def _around_s(self) -> float:
        """What the queueing model adds for the ways."""
        ways = self.worlds.profile.overheads
        return ways.network_s + ways.grant_s + ways.response_s

    # -- the shared rate ------------------------------------------------------------------------

    def _shared(self, real: Swaps, draw: int) -> Figures | None:
        worlds, profile = self.worlds, self.worlds.profile
        settings, lags = worlds.evidence.settings, worlds.profile.lags
        came_s, from_s = self._arrivals(real, draw)
        delayed = OVERHEAD in real
        ahead_s = profile.network_s + lags.arrival_s - lags.place_s if delayed else 0.0
        shift_s = max(0.0, ahead_s)
        after_s = ahead_s - shift_s + profile.response_s if delayed else self._around_s
        sharing = Sharing(
            self.server,
            tuple(rung.steps for rung in settings.ladder.rungs[: len(self.server.work)]),
            even=LAW in real,
            bounded=BINDING in real,
            hold_s=settings.hold_s if LAG in real else 0.0,
            rung_s=profile.rung_s if LAG in real else 0.0,
            grant_s=lags.place_s if delayed else 0.0,
            pace=self._pace(real, draw),
        )
        found = simulate_sharing([t + shift_s for t in came_s], sharing, SHARING_SEED + draw)
        rungs, outcomes = settings.ladder.rungs, []
        for at_s, job in zip(came_s, found.jobs, strict=True):
            if at_s < from_s:
                continue
            steps = max(1, round(job.steps))
            latency_s = job.ended_s - at_s + after_s
            outcomes.append(
                Outcome(latency_s, rungs[job.rung].variant, steps, job.ended_s - job.started_s)
            )
        over_s = max((job.ended_s for job in found.jobs), default=0.0) + after_s
        return _figures(outcomes, settings, found.busy_s / over_s if over_s > 0 else 0.0)

    # -- step by step ---------------------------------------------------------------------------

    def _stepwise(self, real: Swaps, draw: int) -> Figures | None:
        worlds, profile = self.worlds, self.worlds.profile
        settings, tables = worlds.evidence.settings, worlds.tables(own=False)
        lags, network_s, response_s = profile.lags, profile.network_s, profile.response_s
        later_s = 0.0
        if OVERHEAD not in real:
            lags, network_s, response_s, later_s = Lags(0.0, 0.0), 0.0, 0.0, self._around_s
        finer = 1 if BINDING in real else FINER
        if LAW not in real:
            tables = {pool: _erlang(table, settings, self.server) for pool, table in tables.items()}
        if LAG not in real:
            settings = _prompt(settings)
        if finer > 1:
            settings = _finer(settings, finer)
            tables = {pool: _faster(table, finer) for pool, table in tables.items()}
        conditions = Conditions(
            tables,
            lags,
            response_s + later_s,
            profile.rung_s if LAG in real else 0.0,
            self._pace(real, draw),
        )
        came_s, from_s = self._arrivals(real, draw)
        trace = schedule(came_s, network_s, worlds.evidence.trace.asked)
        found = replay(settings, conditions, trace, draw)
        return _since(found, trace, from_s + network_s, finer, worlds.evidence.settings)


def _figures(
    outcomes: Sequence[Outcome], settings: ServerSettings, utilisation: float
) -> Figures | None:
    return figures_of(outcomes, len(outcomes), 0, settings, utilisation) if outcomes else None


def _since(
    found: Replayed, trace: Trace, from_s: float, finer: int, settings: ServerSettings
) -> Figures | None:
    """Of those who came from then on, their steps counted as whole ones again."""
    counted = [
        replace(one, steps=-(-one.steps // finer), cut_steps=one.cut_steps // finer)
        for one, stay in zip(found.outcomes, found.stays, strict=True)
        if stay.received_s >= from_s
    ]
    if not counted:
        return None
    came = sum(received_s >= from_s for received_s in trace.received_s)
    kept = replace(found, outcomes=tuple(counted), requests=came)
    return figures_of_replay(kept, settings)


def _prompt(settings: ServerSettings) -> ServerSettings:
    """With a controller that may change its mind at once."""
    controller = settings.controller
    if not isinstance(controller, Hysteresis):
        return settings
    policy = replace(settings.policy, controller=replace(controller, min_hold_s=0.0))
    return replace(settings, policy=policy, hold_s=0.0)


def _finer(settings: ServerSettings, times: int) -> ServerSettings:
    """With so many times as many steps on every rung."""
    rungs = tuple(replace(rung, steps=times * rung.steps) for rung in settings.ladder.rungs)
    return replace(settings, policy=replace(settings.policy, ladder=Ladder(rungs)))


def _faster(table: CostTable, times: int) -> CostTable:
    """With steps of a part of their time; the spread of all together stays."""

    def part(one: Measurement) -> Measurement:
        mean_s, spread_s = one.median_s / times, (one.p90_s - one.median_s) / np.sqrt(times)
        return Measurement(mean_s, max(0.0, mean_s - spread_s), mean_s + spread_s, 1)

    def fast(costs: VariantCosts) -> VariantCosts:
        return replace(
            costs,
            step_s={batch: part(one) for batch, one in costs.step_s.items()},
            unguided_step_s={batch: part(one) for batch, one in costs.unguided_step_s.items()},
            step_fit=None,
        )

    return replace(table, variants={name: fast(one) for name, one in table.variants.items()})


def _erlang(table: CostTable, settings: ServerSettings, server: StageServer) -> CostTable:
    """With steps that vary so much that those of a full service, one after the other, vary as
    Erlang stages do; here all jobs of a batch meet the same slow steps."""
    steps = settings.ladder.best.steps
    sigmas = 1.2816 * np.sqrt(steps / server.stages)

    def vary(one: Measurement) -> Measurement:
        spread_s = float(sigmas) * one.median_s
        return Measurement(one.median_s, 0.0, one.median_s + spread_s, 1)

    def varying(costs: VariantCosts) -> VariantCosts:
        return replace(
            costs,
            step_s={batch: vary(one) for batch, one in costs.step_s.items()},
            unguided_step_s={batch: vary(one) for batch, one in costs.unguided_step_s.items()},
        )

    return replace(table, variants={name: varying(one) for name, one in table.variants.items()})
