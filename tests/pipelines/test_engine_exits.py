"""Early exits: what each does to a running job, and what it may never do."""

from __future__ import annotations

import pytest

from pipelines.engine import StepEngine
from pipelines.loading import Variant
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service
from tests.pipelines.engine_runs import alone, difference, done, engine_of, run_out
from tests.pipelines.tiny_pipelines import request

FEW = ("ddim", "euler", "euler_ancestral", "dpmpp_2m")


def test_a_replan_runs_exactly_the_promised_steps(full: Variant) -> None:
    for sampler in FEW:
        engine = engine_of(full)
        engine.submit(request(sampler=sampler))
        for _ in range(6):
            engine.step()
        engine.announce(1)
        finished = done(run_out(engine))["job"]
        # Half of twelve steps are left at a pace of six for a whole run: three.
        assert finished.facts.steps_run == 6 + 3
        assert finished.facts.steps_planned == 12
        assert finished.facts.early_exit == "replan"
        assert (finished.facts.rung_admitted, finished.facts.rung_delivered) == (0, 1)


def test_a_replan_before_the_first_step_equals_a_run_at_that_pace(full: Variant) -> None:
    for sampler in ("ddim", "euler", "dpmpp_2m"):
        engine = engine_of(full)
        engine.announce(1)
        engine.submit(request(sampler=sampler))
        lowered = done(run_out(engine))["job"]
        short = alone(full, request(sampler=sampler, service=Service("full", 6, 1)))
        assert lowered.facts.steps_run == 6
        assert difference(lowered.image, short.image) <= 2


def test_a_replanned_neighbour_changes_nobody_else(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("kept", fixed=True))
    engine.submit(request("lowered", seed=5))
    engine.step()
    engine.announce(2)
    finished = done(run_out(engine))
    assert finished["lowered"].facts.steps_run < 12
    assert finished["kept"].facts.steps_run == 12
    assert difference(finished["kept"].image, alone(full, request("kept")).image) <= 2


def test_no_job_goes_below_its_floor(full: Variant) -> None:
    engine = engine_of(full)
    for job_id, floor in (("best", 0), ("middle", 1), ("any", 3)):
        engine.submit(request(job_id, floor=floor))
    engine.step()
    engine.announce(3)
    finished = done(run_out(engine))
    delivered = {job_id: event.facts.rung_delivered for job_id, event in finished.items()}
    assert delivered == {"best": 0, "middle": 1, "any": 2}


def test_a_job_is_never_lengthened_again(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    engine.announce(2)
    engine.step()
    engine.announce(0)
    assert done(run_out(engine))["job"].facts.steps_run == 4


def test_a_rung_at_start_only_leaves_running_jobs_alone(full: Variant) -> None:
    engine = engine_of(full, rules=ExitRules("keep"))
    engine.submit(request())
    engine.step()
    engine.announce(2)
    finished = done(run_out(engine))["job"]
    assert (finished.facts.steps_run, finished.facts.early_exit) == (12, "none")


def test_a_distilled_job_is_never_replanned(turbo: Variant) -> None:
    engine = engine_of(turbo)
    engine.submit(request(service=Service("turbo", 8, 3)))
    engine.step()
    engine.announce(3)
    facts = done(run_out(engine))["job"].facts
    assert (facts.steps_run, facts.early_exit) == (8, "none")


def test_a_replannable_rung_of_a_distilled_variant_is_refused(turbo: Variant) -> None:
    with pytest.raises(ValueError, match="replannable to false"):
        StepEngine({"turbo": turbo}, Ladder((Rung("turbo", 4, "low"),)), 1)
