"""Whatever happens in whatever order, the dispatcher's invariants hold."""

from __future__ import annotations

import math
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from policies import (
    Admission,
    AnnounceRung,
    BestQuality,
    BurstAhead,
    Cascade,
    CascadeBand,
    Cheapest,
    Command,
    Controller,
    DeadlineAware,
    DecisionTable,
    Dispatcher,
    DropJob,
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
    OnLowerRung,
    Order,
    Policy,
    Progress,
    QualityBudget,
    RateBand,
    RedoJob,
    RejectJob,
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
    service_for,
)
from tests.policies.fleets import COSTS

LADDER = Ladder(
    (
        Rung("full", 25, "high", score=1.0),
        Rung("full", 15, "high", score=0.95),
        Rung("full", 10, "medium", score=0.9),
        Rung("small", 15, "low", score=0.8),
        Rung("turbo", 4, "low", replannable=False, score=0.7),
    )
)
ALL = frozenset(LADDER.variants)
POOLS = (ALL, frozenset({"full"}), frozenset({"small", "turbo"}))
MAX_WAITING = 6
ENGINES = ("e1", "e2", "e3")
CONTROLLERS: tuple[Controller, ...] = (
    Static(2),
    Hysteresis.threshold((1, 2, 3, 4)),
    LoadProportional(2.0, 4),
    DeadlineAware(4, 20.0, share=0.5),
    QualityBudget(Hysteresis.threshold((1, 2, 3, 4)), LADDER.scores(), 0.9),
    DecisionTable((RateBand(math.inf, ((0, 1, 2, 3, 4),) * 5),)),
    BurstAhead(Hysteresis.threshold((2, 4)), 1.0),
    Split((SplitBand(math.inf, (0.2, 0.2, 0.2, 0.2, 0.2)),)),
    Cascade(4, 0, (CascadeBand(math.inf, 0.5),)),
)
ORDERS: tuple[Order, ...] = (Fifo(), EarliestDeadline(), ShortestWork(), Tiers({}), FairShare())
ROUTINGS: tuple[Routing, ...] = (
    Uniform(),
    RoundRobin(),
    ShortestQueue(),
    TwoChoices(),
    LeastCompletion(),
    Cheapest(),
    BestQuality(),
    WithinBudget(60.0),
)

picks = st.integers(0, 10_000)


class DispatcherMachine(RuleBasedStateMachine):
    """Drives a dispatcher and keeps a plain model beside it: which job is where."""

    pools: tuple[frozenset[str], ...] = POOLS
    by_arrival = True
    """Whether jobs start in order of arrival, as far as places allow."""

    def __init__(self) -> None:
        super().__init__()
        controller = Hysteresis((2, 3, 4, 5), (0, 1, 2, 3))
        self.dispatcher = Dispatcher(Policy(LADDER, controller, admission=Admission(MAX_WAITING)))
        self.now_s = 0.0
        self.jobs: dict[str, Job] = {}
        self.order: dict[str, int] = {}
        self.waiting: set[str] = set()
        self.running: dict[str, str] = {}
        self.gone: set[str] = set()
        self.expired: set[str] = set()
        self.engines: dict[str, tuple[int, frozenset[str]]] = {}
        self.suspected: set[str] = set()
        self.announced = 0

    # -- helpers --------------------------------------------------------------------------------

    def tell(self, event: Event) -> tuple[Command, ...]:
        commands = self.dispatcher.handle(event)
        starts: list[str] = []
        for command in commands:
            match command:
                case StartJob():
                    self._check_start(command)
                    starts.append(command.job_id)
                case DropJob(job_id=job_id):
                    deadline_s = self.jobs[job_id].deadline_s
                    assert deadline_s is not None
                    assert deadline_s <= self.now_s or command.reason == "hopeless"
                    self.waiting.remove(job_id)
                    self.expired.add(job_id)
                case RejectJob(job_id=job_id):
                    self.waiting.discard(job_id)
                    self.gone.add(job_id)
                case AnnounceRung(rung=rung):
                    assert self.announced != rung
                    self.announced = rung
        if not self.by_arrival:
            return commands
        keys = [(self.jobs[j].arrival_s, self.order[j]) for j in starts]
        assert keys == sorted(keys), "jobs started out of their order of arrival"
        return commands

    def _check_start(self, command: StartJob) -> None:
        job = self.jobs[command.job_id]
        assert command.job_id in self.waiting
        assert job.deadline_s is None or job.deadline_s > self.now_s
        places, variants = self.engines[command.engine_id]
        assert command.service.variant in variants
        assert command.engine_id not in self.suspected
        if job.fixed:
            assert (command.service.variant, command.service.steps) == (
                job.variant or "full",
                job.steps,
            )
        else:
            assert command.service.rung <= job.floor
        self.waiting.remove(command.job_id)
        self.running[command.job_id] = command.engine_id
        occupied = sum(engine == command.engine_id for engine in self.running.values())
        assert occupied <= places

    def some(self, among: dict[str, str] | set[str], pick: int) -> str:
        names = sorted(among)
        return names[pick % len(names)]

    # -- rules ----------------------------------------------------------------------------------

    @rule(
        quality=st.sampled_from(["auto", "low", "medium", "high"]),
        steps=st.none() | st.integers(1, 40),
        variant=st.sampled_from([None, None, None, "full", "small", "turbo"]),
        fixed=st.booleans(),
        patience_s=st.none() | st.floats(0.0, 4.0),
    )
    def arrive(
        self,
        quality: str,
        steps: int | None,
        variant: str | None,
        fixed: bool,
        patience_s: float | None,
    ) -> None:
        name = f"job{len(self.jobs)}"
        fixed = fixed and steps is not None
        floor = LADDER.last if fixed else LADDER.floor_for(quality)
        deadline_s = None if patience_s is None else self.now_s + patience_s
        job = Job(name, self.now_s, floor, variant, steps, fixed, deadline_s)
        full = len(self.waiting) >= MAX_WAITING
        self.jobs[name] = job
        self.order[name] = len(self.order)
        self.waiting.add(name)
        commands = self.tell(JobArrived(self.now_s, job))
        rejected = [c.reason for c in commands if isinstance(c, RejectJob)]
        if rejected == ["queue_full"]:
            assert full
        assert len(self.waiting) <= max(MAX_WAITING, len(self.waiting - {name}))

    @precondition(lambda self: self.running)
    @rule(pick=picks, ending=st.sampled_from([JobFinished, JobFailed, JobCancelled]))
    def end(
        self, pick: int, ending: type[JobFinished] | type[JobFailed] | type[JobCancelled]
    ) -> None:
        name = self.some(self.running, pick)
        del self.running[name]
        self.gone.add(name)
        self.tell(ending(self.now_s, name))
        counts = self.dispatcher.counts()
        self.tell(ending(self.now_s, name))
        assert self.dispatcher.counts() == counts

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def hang_up(self, pick: int) -> None:
        name = self.some(self.waiting, pick)
        self.waiting.remove(name)
        self.gone.add(name)
        self.tell(JobCancelled(self.now_s, name))

    @precondition(lambda self: self.waiting or self.running)
    @rule(pick=picks, lost=st.booleans())
    def ask_again(self, pick: int, lost: bool) -> None:
        name = self.some(self.waiting | set(self.running), pick)
        engine_id = self.running.get(name) if lost else None
        if engine_id is not None:
            del self.running[name]
            self.waiting.add(name)
        counts = self.dispatcher.counts()
        self.tell(
            JobArrived(self.now_s, self.jobs[name], again=True, lost_engine=engine_id or "nobody")
        )
        assert self.dispatcher.counts().admitted == counts.admitted

    @rule(pick=picks, places=st.integers(1, 4), pool=picks)
    def engine_up(self, pick: int, places: int, pool: int) -> None:
        engine_id = ENGINES[pick % len(ENGINES)]
        self._lose(engine_id)
        self.engines[engine_id] = (places, self.pools[pool % len(self.pools)])
        up = EngineUp(self.now_s, engine_id, *self.engines[engine_id], pool="slow", price_per_s=2.0)
        self.tell(up)

    @rule(pick=picks)
    def engine_down(self, pick: int) -> None:
        engine_id = ENGINES[pick % len(ENGINES)]
        self._lose(engine_id)
        self.tell(EngineDown(self.now_s, engine_id))

    @precondition(lambda self: self.engines)
    @rule(pick=picks, suspected=st.booleans())
    def engine_suspected(self, pick: int, suspected: bool) -> None:
        engine_id = ENGINES[pick % len(ENGINES)]
        if suspected and engine_id in self.engines:
            self.suspected.add(engine_id)
        else:
            self.suspected.discard(engine_id)
        self.tell(EngineSuspected(self.now_s, engine_id, suspected))

    def _lose(self, engine_id: str) -> None:
        self.suspected.discard(engine_id)
        self.engines.pop(engine_id, None)
        for name in [n for n, e in self.running.items() if e == engine_id]:
            del self.running[name]
            self.waiting.add(name)

    @rule(passing_s=st.floats(0.0, 3.0))
    def time_passes(self, passing_s: float) -> None:
        self.now_s += passing_s
        self.tell(Ticked(self.now_s))

    # -- invariants -----------------------------------------------------------------------------

    @invariant()
    def the_counts_are_conserved_and_exact(self) -> None:
        c = self.dispatcher.counts()
        assert c.admitted == (
            c.finished + c.cancelled + c.failed + c.expired + c.hopeless + c.waiting + c.running
        )
        assert c.admitted + c.rejected == len(self.jobs)
        assert c.expired + c.hopeless == len(self.expired)

    @invariant()
    def no_job_is_lost(self) -> None:
        assert {job.job_id for job in self.dispatcher.waiting_jobs()} == self.waiting
        seen = {j: e.engine_id for e in self.dispatcher.engines() for j in e.running}
        assert seen == self.running

    @invariant()
    def the_line_stands_in_order_of_arrival(self) -> None:
        if not self.by_arrival:
            return
        line = [(j.arrival_s, self.order[j.job_id]) for j in self.dispatcher.waiting_jobs()]
        assert line == sorted(line)

    @invariant()
    def nobody_waits_for_a_place_that_is_free(self) -> None:
        if not self.by_arrival:
            return
        hosted = frozenset[str]().union(*(variants for _, variants in self.engines.values()))
        free = {
            engine_id: places - sum(e == engine_id for e in self.running.values())
            for engine_id, (places, _) in self.engines.items()
        }
        for job in self.dispatcher.waiting_jobs():
            variant = service_for(job, LADDER, self.dispatcher.rung, hosted).variant
            assert not any(
                free[engine_id] > 0 and variant in variants and engine_id not in self.suspected
                for engine_id, (_, variants) in self.engines.items()
            )

    @invariant()
    def the_rung_is_the_one_last_announced(self) -> None:
        assert self.announced == self.dispatcher.announced_rung


class OnePoolMachine(DispatcherMachine):
    """Every engine hosts every variant: then the line is strictly first come, first served."""

    pools = (ALL,)

    @invariant()
    def the_line_is_empty_while_a_place_is_free(self) -> None:
        taking = {e: places for e, (places, _) in self.engines.items() if e not in self.suspected}
        running = [engine_id for engine_id in self.running.values() if engine_id in taking]
        assert not self.waiting or len(running) == sum(taking.values())


class AnyPolicyMachine(DispatcherMachine):
    """Whatever the controller, exits, order, routing and admission, nothing is lost or overfilled."""

    by_arrival = False

    @initialize(
        controller=st.sampled_from(CONTROLLERS),
        exits=st.sampled_from(("keep", "replan", "finish", "hand_over")),
        order=st.sampled_from(ORDERS),
        routing=st.sampled_from(ROUTINGS),
        tenant_max=st.none() | st.integers(1, 4),
        refuses=st.booleans(),
    )
    def choose_a_policy(
        self,
        controller: Controller,
        exits: OnLowerRung,
        order: Order,
        routing: Routing,
        tenant_max: int | None,
        refuses: bool,
    ) -> None:
        policy = Policy(
            LADDER,
            controller,
            ExitRules(exits),
            order,
            routing,
            Admission(MAX_WAITING, tenant_max, refuses),
        )
        self.dispatcher = Dispatcher(policy, costs=COSTS, draws=Random(1))
        self.announced = self.dispatcher.announced_rung

    @precondition(lambda self: self.running)
    @rule(pick=picks, done=st.integers(0, 30), left=st.integers(0, 30))
    def progress(self, pick: int, done: int, left: int) -> None:
        name = self.some(self.running, pick)
        told = (Progress(name, done, done + left), Progress("nobody", 1, 2))
        self.tell(EngineProgressed(self.now_s, self.running[name], told))

    @precondition(lambda self: self.running)
    @rule(pick=picks, confidence=st.none() | st.floats(0.0, 1.0), rung=st.integers(0, 4))
    def finish_with_facts(self, pick: int, confidence: float | None, rung: int) -> None:
        name = self.some(self.running, pick)
        del self.running[name]
        self.waiting.add(name)  # as if it were done over; if not, it is gone
        finished = JobFinished(self.now_s, name, rung, 3, confidence)
        commands = self.tell(finished)
        if RedoJob(name) not in commands:
            self.waiting.remove(name)
            self.gone.add(name)

    @invariant()
    def the_line_is_bounded(self) -> None:
        again = self.dispatcher.counts().requeued + self.dispatcher.counts().redone
        assert len(self.waiting) <= MAX_WAITING + again


TestManyPools = DispatcherMachine.TestCase
TestManyPools.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOnePool = OnePoolMachine.TestCase
TestOnePool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyPolicy = AnyPolicyMachine.TestCase
TestAnyPolicy.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
