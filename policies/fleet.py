"""The engines that are up: who runs where, which places are free, and when runs will end.

Like engines (same pool, variants, places and price) form a *group*: see `groups`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from operator import attrgetter
from typing import NamedTuple

from policies.costs import Costs, completion_rate_per_s, steps_s
from policies.groups import Engine, EngineView, Group, GroupKey, Running
from policies.nouns import Ladder, Rung, Service

NEWCOMER = ""
"""Stands for the id of a job that has not started; a job's own id is never empty."""


class Fleet:
    """All engines. `costs` by pool; without a pool's costs nothing can be estimated there."""

    def __init__(self, ladder: Ladder, costs: Mapping[str, Costs]) -> None:
        self._ladder = ladder
        self._costs = costs
        self._groups: dict[GroupKey, Group] = {}
        self._hosting: dict[str, tuple[Group, ...]] = {}
        self._turn = count()
        self._quickest_per_s: dict[int, float] = {}  # by deepest, for the engines that are up
        self._step_s: dict[tuple[str, str, int, int, float], float] = {}
        self.engines: dict[str, Engine] = {}
        self.engine_of: dict[str, Engine] = {}
        """Where each running job runs."""
        self.regroupings = 0
        """How often groups have come or gone: what was found out about them holds until then."""
        self.places = 0
        self.hosted: frozenset[str] = frozenset()
        self.capacity_per_s: tuple[float, ...] = ()
        """What all engines finish with full batches at each rung; empty without costs."""

    # -- membership -----------------------------------------------------------------------------

    @property
    def has_costs(self) -> bool:
        """Whether anything can be estimated."""
        return bool(self._costs)

    def check(self, engine_id: str, key: GroupKey) -> None:
        """ValueError if an engine of this kind would lack costs that others have."""
        if self._costs and key.pool not in self._costs:
            raise ValueError(
                f"engine {engine_id} is of pool {key.pool!r}, for which there is no cost table;"
                f" there are tables for {', '.join(sorted(self._costs))}"
            )

    def up(self, engine_id: str, key: GroupKey) -> Engine:
        """An engine comes up, with nothing running. ValueError as `check`."""
        self.check(engine_id, key)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, self.regroupings)
            self.regroupings += 1
        engine = Engine(engine_id, group)
        self.engines[engine_id] = group.engines[engine_id] = engine
        group.enter(engine)
        group.turn(engine, next(self._turn))
        self._membership_changed(key.places)
        return engine

    def down(self, engine: Engine) -> None:
        """An engine is gone; what runs there must have been taken out before."""
        group = engine.group
        group.leave(engine)
        group.forget(engine)
        del self.engines[engine.engine_id]
        if not group.engines:
            del self._groups[group.key]
            self.regroupings += 1
        self._membership_changed(-group.key.places)

    def suspect(self, engine: Engine, suspected: bool) -> None:
        """Stop or resume giving the engine new jobs."""
        if engine.suspected == suspected:
            return
        engine.group.leave(engine)
        engine.suspected = suspected
        engine.group.enter(engine)
        engine.group.turn(engine, next(self._turn))

    def place(self, engine: Engine, running: Running) -> None:
        """A job takes a place."""
        group = engine.group
        group.leave(engine)
        self.engine_of[running.job_id] = engine
        engine.running[running.job_id] = running
        group.enter(engine)
        group.turn(engine, next(self._turn))

    def take_out(self, job_id: str) -> Running:
        """A job leaves its place; KeyError if it has none."""
        engine = self.engine_of.pop(job_id)
        group = engine.group
        group.leave(engine)
        running = engine.running.pop(job_id)
        group.enter(engine)
        group.reopened(engine, next(self._turn))
        return running

    def views(self) -> tuple[EngineView, ...]:
        """The engines that are up, for whoever asks from outside."""
        return tuple(
            EngineView(
                name, key.pool, key.places, key.variants, tuple(engine.running), engine.suspected
            )
            for name, engine in self.engines.items()
            for key in (engine.group.key,)
        )

    def _membership_changed(self, places: int) -> None:
        self.places += places
        self._quickest_per_s.clear()
        self.hosted = frozenset().union(*(key.variants for key in self._groups))
        self._hosting = {
            variant: tuple(g for g in self._groups.values() if variant in g.key.variants)
            for variant in self.hosted
        }
        if self._costs:
            self.capacity_per_s = tuple(self._capacity_per_s(rung) for rung in self._ladder.rungs)

    def _capacity_per_s(self, rung: Rung) -> float:
        total = 0.0
        for group in self._hosting.get(rung.variant, ()):
            costs = self._costs[group.key.pool]
            rate_per_s = completion_rate_per_s(costs, rung, group.key.places)
            total += len(group.engines) * rate_per_s
        return total

    # -- what routing asks ----------------------------------------------------------------------

    @property
    def has_free_place(self) -> bool:
        """Whether any engine has one."""
        return any(group.free_places for group in self._groups.values())

    def hosting(self, variant: str) -> Sequence[Group]:
        """The groups that host a variant, in order of their first engine."""
        return self._hosting.get(variant, ())

    def open_groups(self, variant: str) -> list[Group]:
        """The groups that host a variant and have a free place."""
        return [group for group in self.hosting(variant) if group.free_places]

    def price(self, group: Group, service: Service) -> float:
        """What a picture costs there: its share of the engine's time in a full batch."""
        key = group.key
        if key.price_per_s == 0.0:
            return 0.0
        rate_per_s = completion_rate_per_s(self._costs[key.pool], service, key.places)
        return key.price_per_s / rate_per_s

    def quickest_per_s(self, deepest: int) -> float:
        """What all engines finish with full batches, each at the quickest rung that it hosts.

        Of the rungs down to `deepest`; an engine that hosts none of these counts at its quickest of
        all, since that is where its jobs end up.
        """
        found = self._quickest_per_s.get(deepest)
        if found is None:
            rates_per_s = (
                len(group.engines) * self._group_per_s(group, deepest)
                for group in self._groups.values()
            )
            found = self._quickest_per_s[deepest] = sum(rates_per_s, 0.0)
        return found

    def _group_per_s(self, group: Group, deepest: int) -> float:
        rungs, key = self._ladder.rungs, group.key
        hosted = [rung for rung in rungs[: deepest + 1] if rung.variant in key.variants]
        hosted = hosted or [rung for rung in rungs if rung.variant in key.variants]
        costs = self._costs[key.pool]
        return max((completion_rate_per_s(costs, r, key.places) for r in hosted), default=0.0)

    def run_s(self, group: Group, service: Service) -> float:
        """A whole run there in a full batch, as jobs come and go: a cautious estimate."""
        key = group.key
        return key.places / completion_rate_per_s(self._costs[key.pool], service, key.places)

    # -- when runs will end ---------------------------------------------------------------------

    def start_ends_s(self, engine: Engine, service: Service, now_s: float) -> float:
        """When a job that starts now in this engine would end, if nobody else joined.

        The running jobs are followed to their ends one after the other; between two ends a step
        costs what the jobs that are left cost together, variant by variant. The newcomer's encoding
        and the decodings on the way are waited for. What is left out: the boundary under way, and
        that guidance ends earlier for some than for others.
        """
        begin_s = now_s + self._costs[engine.group.key.pool].encode_s(service.variant)
        runs = [*self._runs(engine, now_s), _Run(service.steps, service, NEWCOMER)]
        return self._ends_s(engine, runs, begin_s, until=NEWCOMER)[NEWCOMER]

    def runs_end_s(self, engine: Engine, now_s: float) -> dict[str, float]:
        """When each running job would end, if nobody else joined."""
        return self._ends_s(engine, self._runs(engine, now_s), now_s, until=None)

    def changed_ends_s(
        self, engine: Engine, job_id: str, service: Service, steps_left: int, now_s: float
    ) -> float:
        """When a running job would end with this service and so many steps left."""
        runs = [run for run in self._runs(engine, now_s) if run.job_id != job_id]
        runs.append(_Run(steps_left, service, job_id))
        return self._ends_s(engine, runs, now_s, until=job_id)[job_id]

    def done(self, engine: Engine, running: Running, now_s: float) -> int:
        """Steps that a job has probably run by now: as told, and since then at the present pace."""
        return running.done_by(now_s, self._boundary_now_s(engine))

    def _boundary_now_s(self, engine: Engine) -> float:
        mix: dict[str, int] = {}
        for one in engine.running.values():
            if one.service is not None:
                mix[one.service.variant] = mix.get(one.service.variant, 0) + 1
        return sum(self._mean_step_s(engine, variant, n, None) for variant, n in mix.items())

    def _runs(self, engine: Engine, now_s: float) -> list[_Run]:
        boundary_s = self._boundary_now_s(engine)
        return [
            _Run(max(1, one.planned - one.done_by(now_s, boundary_s)), one.service, one.job_id)
            for one in engine.running.values()
            if one.service is not None
        ]

    def _ends_s(
        self, engine: Engine, runs: list[_Run], now_s: float, until: str | None
    ) -> dict[str, float]:
        """The ends of the runs in order, up to that of `until` (None: of all)."""
        costs = self._costs[engine.group.key.pool]
        runs.sort(key=_steps_left)
        groups: dict[str, list[Service]] = {}
        for run in runs:
            groups.setdefault(run.service.variant, []).append(run.service)
        ends_s: dict[str, float] = {}
        at_s, done = now_s, 0
        for run in runs:
            if run.steps_left > done:
                at_s += (run.steps_left - done) * self._boundary_s(engine, groups)
                done = run.steps_left
            variant = run.service.variant
            at_s += costs.decode_s(variant, 1)
            ends_s[run.job_id] = at_s
            if run.job_id == until:
                break
            groups[variant].remove(run.service)
        return ends_s

    def _boundary_s(self, engine: Engine, groups: Mapping[str, list[Service]]) -> float:
        """One step of every variant; guidance counts as the last job of the variant has it."""
        return sum(
            self._mean_step_s(engine, variant, len(services), services[-1])
            for variant, services in groups.items()
            if services
        )

    def _mean_step_s(
        self, engine: Engine, variant: str, batch: int, service: Service | None
    ) -> float:
        """A step of this batch; with `service`, the mean over its guided and unguided steps."""
        pool = engine.group.key.pool
        # An engine that came up anew may hold more jobs than places for a while.
        batch = min(batch, engine.group.key.places)
        share = 1.0 if service is None else service.guidance_share
        steps = 0 if service is None or share >= 1.0 else service.steps
        key = (pool, variant, batch, steps, share)
        found = self._step_s.get(key)
        if found is None:
            costs = self._costs[pool]
            if service is None or share >= 1.0:
                found = costs.step_s(variant, batch)
            else:
                found = steps_s(costs, service, batch) / service.steps
            self._step_s[key] = found
        return found


class _Run(NamedTuple):
    """What is left of one job's run."""

    steps_left: int
    service: Service
    job_id: str


_steps_left = attrgetter("steps_left")
