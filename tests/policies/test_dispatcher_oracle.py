"""The dispatcher does exactly what its rules say, whatever happens: it is held against the same
rules written down naively, over random scripts and every combination of policies."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import (
    Admission,
    BestQuality,
    BurstAhead,
    Cascade,
    CascadeBand,
    Cheapest,
    Controller,
    DeadlineAware,
    DecisionTable,
    Dispatcher,
    EarliestDeadline,
    EngineDown,
    EngineProgressed,
    EngineSuspected,
    EngineUp,
    Event,
    ExitRules,
    FairShare,
    Fifo,
    Hysteresis,
    Job,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Ladder,
    LeastCompletion,
    LoadProportional,
    Order,
    Policy,
    Progress,
    QualityBudget,
    RateBand,
    RoundRobin,
    Routing,
    Rung,
    ShortestQueue,
    ShortestWork,
    Split,
    SplitBand,
    StartJob,
    Static,
    Ticked,
    Tiers,
    TwoChoices,
    Uniform,
    WithinBudget,
    hand_overs,
)
from policies.exits import OnLowerRung
from tests.policies.fleets import COSTS
from tests.policies.plain_dispatcher import PlainDispatcher

LADDER = Ladder(
    (
        Rung("full", 25, "high", score=1.0),
        Rung("full", 10, "medium", guidance_share=0.6, score=0.9),
        Rung("small", 12, "medium", score=0.8),
        Rung("turbo", 4, "low", replannable=False, score=0.7),
    )
)
LEVELS = Hysteresis((2, 3, 5), (0, 1, 2))
CONTROLLERS: tuple[Controller, ...] = (
    Static(),
    Static(2),
    LEVELS,
    Hysteresis.threshold((1, 2, 3)),
    LoadProportional(60.0, 3),
    DeadlineAware(3, 60.0, share=0.5),
    DeadlineAware(3, 80.0),
    DeadlineAware(2, 30.0, margin_s=2.0, drain_s=20.0),
    QualityBudget(LEVELS, LADDER.scores(), 0.9),
    DecisionTable((RateBand(2.0, ((0, 0, 1, 2, 3),) * 4), RateBand(math.inf, ((1, 2, 3),) * 4))),
    BurstAhead(LEVELS, 20.0),
    Split((SplitBand(math.inf, (0.4, 0.2, 0.2, 0.2)),)),
    Cascade(3, 0, (CascadeBand(math.inf, 0.5),)),
)
ORDERS: tuple[Order, ...] = (
    Fifo(),
    EarliestDeadline(),
    ShortestWork(),
    Tiers({"priority": 0.0, "default": 5.0}),
    FairShare(),
)
ROUTINGS: tuple[Routing, ...] = (
    RoundRobin(),
    ShortestQueue(),
    LeastCompletion(),
    Cheapest(),
    BestQuality(),
    WithinBudget(60.0),
    Uniform(),
    TwoChoices(),
)
KINDS = (  # pool, variants, places, price_per_s
    ("slow", frozenset({"full", "small", "turbo"}), 3, 1.0),
    ("slow", frozenset({"full", "turbo"}), 1, 0.5),
    ("fast", frozenset({"full", "small", "turbo"}), 2, 3.0),
    ("fast", frozenset({"turbo"}), 3, 0.0),
    ("slow", frozenset({"small"}), 1, 1.0),
)
ENGINES = ("e1", "e2", "e3", "e4")  # no more than the dispatcher compares one by one


class Script:
    """Draws the next event with an eye to what runs and waits, so that much of it matters."""

    def __init__(self, random: Random, dispatcher: Dispatcher) -> None:
        self.random = random
        self.dispatcher = dispatcher
        self.now_s = 100.0
        self.jobs: dict[str, Job] = {}

    def running(self) -> list[tuple[str, str]]:
        return [(job, e.engine_id) for e in self.dispatcher.engines() for job in e.running]

    def event(self) -> Event:
        random = self.random
        if random.random() < 0.7:
            self.now_s += random.choice((0.5, 1.0, 5.0, 20.0))
        kinds = (self.arrival, self.ending, self.membership, self.progress, self.others)
        return random.choices(kinds, (12, 5, 2, 4, 2))[0]()

    def arrival(self) -> Event:
        random = self.random
        fixed = random.random() < 0.1
        steps = random.choice((4, 9, 10, 30)) if fixed or random.random() < 0.25 else None
        deadline_s = None
        if random.random() < 0.6:
            deadline_s = self.now_s + random.choice((0.0, 5.0, 20.0, 40.0, 60.0, 100.0, 400.0))
        job = Job(
            f"job{len(self.jobs)}",
            self.now_s - random.choice((0.0, 0.0, 3.0)),
            LADDER.last if fixed else random.choice((0, 1, 2, 3, 3, 3)),
            random.choice((None, None, None, None, "full", "small", "turbo")),
            steps,
            fixed,
            deadline_s,
            random.choice("abc"),
            random.choice(("priority", "default", "flex")),
            random.choice((None, None, None, "latency", "cost", "quality")),
        )
        self.jobs[job.job_id] = job
        return JobArrived(self.now_s, job)

    def ending(self) -> Event:
        random, running = self.random, self.running()
        if not running:
            return Ticked(self.now_s)
        job_id, _ = random.choice(running)
        kind = random.random()
        if kind < 0.1:
            return JobFailed(self.now_s, job_id)
        if kind < 0.2:
            return JobCancelled(self.now_s, job_id)
        return JobFinished(
            self.now_s,
            job_id,
            random.choice((None, *range(len(LADDER)))),
            random.choice((None, 3, 10, 25, 40)),
            random.choice((None, 0.2, 0.5, 0.8)),
        )

    def membership(self) -> Event:
        random = self.random
        engine_id = random.choice(ENGINES)
        if random.random() < 0.4:
            return EngineDown(self.now_s, engine_id)
        if random.random() < 0.4:
            return EngineSuspected(self.now_s, engine_id, random.random() < 0.5)
        pool, variants, places, price_per_s = random.choice(KINDS)
        known = [*self.jobs, "stranger1", "stranger2"]
        there = [job for job, engine in self.running() if engine == engine_id]
        named = [job for job in there if random.random() < 0.5][:places]
        if random.random() < 0.3 and len(named) < places:
            named.append(random.choice(known))
        running = tuple(dict.fromkeys(named))
        return EngineUp(self.now_s, engine_id, places, variants, running, pool, price_per_s)

    def progress(self) -> Event:
        random = self.random
        engine_id = random.choice([engine for _, engine in self.running()] or ENGINES)
        told = tuple(
            Progress(job, done, done + random.choice((0, 3, 12, 24)))
            for job, engine in self.running()
            if engine == engine_id and random.random() < 0.8
            for done in (random.choice((0, 0, 4, 12)),)
        )
        return EngineProgressed(self.now_s, engine_id, told)

    def others(self) -> Event:
        random = self.random
        waiting = [job.job_id for job in self.dispatcher.waiting_jobs()]
        kind = random.random()
        if kind < 0.3 and waiting:
            return JobCancelled(self.now_s, random.choice(waiting))
        if kind < 0.7 and self.jobs:
            job = self.jobs[random.choice(list(self.jobs))]
            return JobArrived(self.now_s, job, True, random.choice((None, *ENGINES)))
        return Ticked(self.now_s - random.choice((0.0, 50.0)))  # a clock may be set back


def play(policy: Policy, seed: int, events: int) -> None:
    """Both are told the same, and must do the same."""
    real = Dispatcher(policy, costs=COSTS, draws=Random(seed), rate_window_s=10.0)
    plain = PlainDispatcher(policy, COSTS, Random(seed), 10.0)
    script = Script(Random(seed), real)
    for number in range(events):
        pool, variants, places, price_per_s = KINDS[(seed + number) % len(KINDS)]
        event: Event = script.event()
        if number < 2:
            event = EngineUp(100.0, ENGINES[number], places, variants, (), pool, price_per_s)
        commands = real.handle(event)
        drawn = {c.job_id: c.engine_id for c in commands if isinstance(c, StartJob)}
        assert list(commands) == plain.handle(event, drawn), f"at event {number}: {event}"
        line = [w.job.job_id for w in sorted(plain.line, key=plain.place)]
        assert [job.job_id for job in real.waiting_jobs()] == line
        leaving_s = min((plain.leaves_s(w) for w in plain.line), default=math.inf)
        assert real.next_deadline_s() == (leaving_s if leaving_s < math.inf else None)


seeds = st.integers(0, 10_000_000)


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda one: type(one).__name__)
@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.sampled_from(ORDERS),
    st.sampled_from(ROUTINGS),
    st.sampled_from(("keep", "replan", "finish", "hand_over")),
    st.none() | st.integers(1, 4),
    st.booleans(),
)
def test_the_dispatcher_agrees_with_its_rules_written_down_plainly(
    controller: Controller,
    seed: int,
    order: Order,
    routing: Routing,
    on_lower: OnLowerRung,
    tenant_max: int | None,
    refuse_hopeless: bool,
) -> None:
    if isinstance(controller, Split | DeadlineAware) and not routing.needs_costs:
        routing = ShortestQueue()  # these would draw at other moments than the plain one can know
    exits = ExitRules(on_lower, hands_over=hand_overs(LADDER))
    admission = Admission(8, tenant_max, refuse_hopeless)
    play(Policy(LADDER, controller, exits, order, routing, admission), seed, events=50)
