"""The model of an engine and the engine itself do the same at the same boundaries."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from analysis.engine_model import EngineModel, Grant
from pipelines.engine import StepEngine
from pipelines.jobs import PictureDone, PictureRequest
from pipelines.loading import Variant, load_variant
from policies.exits import ExitRules
from policies.nouns import Job, Ladder, Rung, Service
from tests.analysis.simulated_servers import Fixed

pytestmark = pytest.mark.slow

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
PLACES, BOUNDARIES, SEEDS = 4, 60, range(3)
Ending = tuple[int, str, int, int, str, int]
"""Boundary, variant, steps run, steps run without guidance, early exit, rung."""


@dataclass(frozen=True)
class Script:
    """What happens before each boundary: jobs are granted, cancelled and lowered, rungs announced."""

    grants: list[list[tuple[Job, Service]]]
    cancelled: list[list[str]]
    lowered: list[list[tuple[str, int]]]
    rungs: list[int]


def random_script(seed: int) -> Script:
    rng = random.Random(seed)
    grants: list[list[tuple[Job, Service]]] = []
    cancelled: list[list[str]] = []
    lowered: list[list[tuple[str, int]]] = []
    rungs: list[int] = []
    for boundary in range(BOUNDARIES):
        batch = []
        for number in range(rng.choice((0, 0, 1, 2))):
            index = rng.randrange(len(LADDER))
            rung = LADDER[index]
            service = Service(rung.variant, rung.steps, index, rung.guidance_share)
            fixed = rng.random() < 0.1
            job = Job(
                f"{boundary}-{number}",
                0.0,
                floor=rng.randrange(index, len(LADDER)),
                variant=rung.variant if rng.random() < 0.2 else None,
                steps=rung.steps if fixed else None,
                fixed=fixed,
            )
            batch.append((job, service))
        known = [job.job_id for batch in grants[-6:] for job, _ in batch]  # who may still run
        cancelled.append([rng.choice(known)] if known and rng.random() < 0.1 else [])
        lowered.append([(rng.choice(known), rng.randrange(len(LADDER)))] if known else [])
        grants.append(batch)
        rungs.append(rng.randrange(len(LADDER)) if rng.random() < 0.2 else (rungs or [0])[-1])
    return Script(grants, cancelled, lowered, rungs)


def endings_of_engine(
    variants: dict[str, Variant], rules: ExitRules, script: Script
) -> dict[str, Ending]:
    engine = StepEngine(variants, LADDER, PLACES, rules)
    found: dict[str, Ending] = {}
    boundary = 0
    while boundary < BOUNDARIES or engine.has_work():
        if boundary < BOUNDARIES:
            engine.announce(script.rungs[boundary])
            for job, service in script.grants[boundary]:
                request = PictureRequest(
                    job_id=job.job_id,
                    prompt="a red circle",
                    service=service,
                    seed=1,
                    width=16,
                    height=16,
                    floor=job.floor,
                    fixed=job.fixed,
                    pinned=job.variant is not None,
                )
                engine.submit(request)
            for job_id in script.cancelled[boundary]:
                engine.cancel(job_id)
            for job_id, rung in script.lowered[boundary]:
                engine.lower(job_id, rung)
        for event in engine.step():
            if isinstance(event, PictureDone):
                facts = event.facts
                guided = facts.guidance_scale > 1
                cut = facts.steps_run - facts.guided_steps if guided else 0
                found[event.job_id] = (
                    boundary,
                    facts.variant,
                    facts.steps_run,
                    cut,
                    facts.early_exit,
                    facts.rung_delivered,
                )
        boundary += 1
    return found


def endings_of_model(rules: ExitRules, script: Script) -> dict[str, Ending]:
    model = EngineModel(LADDER, Fixed(), PLACES, rules, every_boundary=True)
    found: dict[str, Ending] = {}
    boundary, now_s = 0, 0.0
    while True:
        if boundary < BOUNDARIES:
            model.announced = script.rungs[boundary]
            for job, service in script.grants[boundary]:
                model.submit(Grant(job, service, encodes=True))
            for job_id in script.cancelled[boundary]:
                model.cancel(job_id)
            for job_id, rung in script.lowered[boundary]:
                model.lower(job_id, rung)
        end_s = model.begin(now_s)
        if end_s is None:
            if boundary >= BOUNDARIES:
                return found
            boundary += 1
            continue
        now_s = end_s
        for run in model.end(now_s):
            found[run.job.job_id] = (
                boundary,
                run.service.variant,
                run.done,
                run.cut_steps,
                run.early_exit,
                run.service.rung,
            )
        boundary += 1


@pytest.fixture(scope="module")
def variants(tiny_config: Path) -> dict[str, Variant]:
    torch.set_num_threads(1)
    folders = {"full": "full", "small": "full", "turbo": "turbo"}
    return {name: load_variant(name, tiny_config.with_name(f)) for name, f in folders.items()}


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("at_start", "none"),
        ("in_flight", "replan"),
        ("finish_now", "finish"),
        ("hand_over", "hand_over"),
    ],
)
def test_jobs_end_alike(variants: dict[str, Variant], way: str, kind: str) -> None:
    rules = ExitRules.applied(way, 0.5, LADDER)
    kinds: set[str] = set()
    for script in map(random_script, SEEDS):
        real = endings_of_engine(variants, rules, script)
        assert endings_of_model(rules, script) == real
        granted = sum(map(len, script.grants))
        assert granted - sum(map(len, script.cancelled)) <= len(real) < granted
        kinds |= {ending[4] for ending in real.values()}
    assert kind in kinds
