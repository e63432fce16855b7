"""Boundaries calculated together end as they do one by one, whatever comes in between."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import pytest

from analysis.engine_model import EngineModel, Grant
from policies.exits import APPLIED, ExitRules
from policies.nouns import Job, Ladder, Rung, Service
from tests.analysis.simulated_servers import Fixed
from tests.analysis.stepping_engine import SteppingEngine

LADDER = Ladder(
    (
        Rung("full", 20, "max"),
        Rung("full", 20, "xhigh", guidance_share=0.5),
        Rung("full", 12, "high"),
        Rung("small", 10, "medium"),
        Rung("full", 6, "low", guidance_share=0.3),
        Rung("small", 5, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
PLACES, JOBS, SEEDS = 4, 60, range(12)


@dataclass(frozen=True)
class Delivery:
    """Something that reaches an engine."""

    at_s: float
    what: str
    job_id: str = ""
    rung: int = 0
    grant: Grant | None = None

    def to(self, engine: EngineModel | SteppingEngine) -> None:
        if self.grant is not None:
            engine.submit(self.grant)
        elif self.what == "cancel":
            engine.cancel(self.job_id)
        elif self.what == "lower":
            engine.lower(self.job_id, self.rung)
        else:
            engine.announced = self.rung


Ending = tuple[str, str, int, int, int, str, int]
"""Job, variant, first plan, steps run, steps run without guidance, early exit, rung."""

Times = tuple[float, float, float, float]
"""Started, decoded, reported, share of the engine's time, in seconds."""


def deliveries(seed: int) -> list[Delivery]:
    """Jobs at about the engine's pace, some cancelled or lowered, and rungs that come and go."""
    rng = random.Random(seed)
    at_s, found = 0.0, []
    for number in range(JOBS):
        at_s += rng.expovariate(8.0)
        index = rng.randrange(len(LADDER))
        rung, fixed = LADDER[index], rng.random() < 0.1
        job = Job(
            f"job-{number}",
            at_s,
            floor=rng.randrange(index, len(LADDER)),
            variant=rung.variant if rng.random() < 0.2 else None,
            steps=rung.steps if fixed else None,
            fixed=fixed,
        )
        service = Service(rung.variant, rung.steps, index, rung.guidance_share)
        grant = Grant(job, service, rng.random() < 0.7)
        found.append(Delivery(at_s, "grant", grant=grant))
        later = partial(rng.uniform, at_s, at_s + 0.6)
        if rng.random() < 0.15:
            found.append(Delivery(later(), "cancel", job.job_id))
        if rng.random() < 0.2:
            found.append(Delivery(later(), "lower", job.job_id, rng.randrange(len(LADDER))))
        if rng.random() < 0.3:
            found.append(Delivery(later(), "announce", rung=rng.randrange(len(LADDER))))
    return sorted(found, key=lambda delivery: delivery.at_s)


def one_by_one(engine: SteppingEngine, coming: list[Delivery]) -> dict[Ending, Times]:
    found: dict[Ending, Times] = {}
    left, now_s = list(coming), 0.0
    while True:
        while left and left[0].at_s <= now_s:
            left.pop(0).to(engine)
        if not engine.has_work():
            if not left:
                return found
            now_s = left[0].at_s
            continue
        now_s, ended = engine.step(now_s)
        late = {one.job_id for one in left if one.what == "cancel" and one.at_s <= now_s}
        for run in [run for run in ended if run.job.job_id not in late]:
            ending = (
                run.job.job_id,
                run.service.variant,
                run.first_planned,
                run.done,
                run.cut_steps,
                run.early_exit,
                run.service.rung,
            )
            found[ending] = (run.started_s, run.finished_s, run.reported_s, run.engine_s)


def in_spans(engine: EngineModel, coming: list[Delivery]) -> tuple[dict[Ending, Times], int]:
    """The endings, and how many spans there were."""
    found: dict[Ending, Times] = {}
    left, now_s, spans = list(coming), 0.0, 0
    while True:
        while left and left[0].at_s <= now_s:
            left.pop(0).to(engine)
        end_s = engine.begin(now_s)
        if end_s is None:
            if not left:
                return found, spans
            now_s = left[0].at_s
            continue
        while left and left[0].at_s <= end_s:
            delivery = left.pop(0)
            delivery.to(engine)
            sooner_s = engine.interrupt(delivery.at_s)
            end_s = end_s if sooner_s is None else sooner_s
        now_s, spans = end_s, spans + 1
        for run in engine.end(now_s):
            ending = (
                run.job.job_id,
                run.service.variant,
                run.first_planned,
                run.done,
                run.cut_steps,
                run.early_exit,
                run.service.rung,
            )
            found[ending] = (run.started_s, run.finished_s, run.reported_s, run.engine_s)


@pytest.mark.parametrize("way", APPLIED)
@pytest.mark.parametrize("every_boundary", [False, True])
def test_spans_end_as_boundaries_one_by_one(way: str, every_boundary: bool) -> None:
    rules = ExitRules.applied(way, 0.5, LADDER)
    exits: set[str] = set()
    for seed in SEEDS:
        coming = deliveries(seed)
        reference = SteppingEngine(LADDER, Fixed(), PLACES, rules)
        expected = one_by_one(reference, coming)
        model = EngineModel(LADDER, Fixed(), PLACES, rules, every_boundary=every_boundary)
        found, spans = in_spans(model, coming)
        assert found.keys() == expected.keys()
        for ending, times_s in expected.items():
            assert found[ending] == pytest.approx(times_s, rel=1e-9, abs=1e-9)
        assert model.busy_s == pytest.approx(reference.busy_s, rel=1e-9)
        steps = sum(ending[3] for ending in expected)
        assert every_boundary or spans < steps / 2
        exits |= {ending[5] for ending in expected}
    assert way == "at_start" or len(exits) >= 2


def grant(steps: int, name: str = "a") -> Grant:
    job = Job(name, 0.0, floor=0, steps=steps, fixed=True)
    return Grant(job, Service("full", steps, 0), encodes=False)


def engine_with(*grants: Grant) -> EngineModel:
    engine = EngineModel(LADDER, Fixed(), PLACES, ExitRules())
    for one in grants:
        engine.submit(one)
    return engine


def test_a_job_that_is_alone_takes_one_span() -> None:
    engine = engine_with(grant(20))
    end_s = engine.begin(1.0)
    assert end_s == pytest.approx(1.0 + 20 * 0.015 + 0.006)
    assert end_s is not None
    (run,) = engine.end(end_s)
    assert (run.done, run.engine_s) == (20, pytest.approx(end_s - 1.0))
    assert engine.begin(end_s) is None


def test_whatever_comes_in_time_for_a_boundary_cuts_the_span_off_before_it() -> None:
    engine = engine_with(grant(20))
    engine.begin(1.0)
    assert engine.interrupt(1.040) == pytest.approx(1.045)
    assert engine.interrupt(1.044) is None
    assert engine.end(1.045) == []
    assert [(p.done, p.planned) for p in engine.progress()] == [(3, 20)]


def test_what_comes_in_the_last_boundary_does_not_hold_it_up() -> None:
    engine = engine_with(grant(2))
    end_s = engine.begin(0.0)
    assert end_s is not None
    assert engine.interrupt(0.016) is None
    assert len(engine.end(end_s)) == 1


def test_jobs_share_the_time_of_the_engine_among_them() -> None:
    engine = engine_with(grant(10, "a"), grant(20, "b"))
    first_s = engine.begin(0.0)
    assert first_s == pytest.approx(10 * 0.020 + 0.006)
    assert first_s is not None
    (short,) = engine.end(first_s)
    last_s = engine.begin(first_s)
    assert last_s is not None
    (long,) = engine.end(last_s)
    assert short.engine_s == pytest.approx(first_s / 2)
    assert short.engine_s + long.engine_s == pytest.approx(engine.busy_s)


def test_work_counts_up_to_the_moment_of_a_breakdown() -> None:
    engine = engine_with(grant(20))
    engine.begin(1.0)
    engine.break_down(1.1)
    assert engine.busy_s == pytest.approx(0.1)


def test_a_job_that_is_lowered_on_its_way_is_lowered_at_its_first_boundary() -> None:
    job = Job("a", 0.0, floor=LADDER.last)
    engine = EngineModel(LADDER, Fixed(), PLACES, ExitRules())
    engine.lower("a", 2)
    engine.submit(Grant(job, Service("full", 20, 0), encodes=False))
    end_s = engine.begin(0.0)
    assert end_s is not None
    (run,) = engine.end(end_s)
    assert (run.first_planned, run.done, run.early_exit) == (20, 12, "replan")
