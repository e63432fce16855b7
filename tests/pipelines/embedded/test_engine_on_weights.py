"""The engine on the committed weights: the library's pictures, alone and in a mixed batch, and a sensible early exit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.embedded.judge import WEIGHTS, load_judge
from pipelines.engine import StepEngine
from pipelines.jobs import Picture, PictureDone, PictureRequest
from pipelines.loading import Variant, load_variant
from pipelines.quality import accuracy, judged, load_plain, unseen_prompts
from policies.nouns import Ladder, Rung, Service
from tests.pipelines.engine_runs import library_picture, with_sampler

pytestmark = pytest.mark.slow


FOLDER = WEIGHTS.parent.parent
LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 10, "medium"),
        Rung("small", 10, "medium"),
        Rung("turbo", 4, "low", replannable=False),
    )
)


@pytest.fixture(scope="module")
def variants() -> dict[str, Variant]:
    return {name: load_variant(name, FOLDER / name) for name in ("full", "small", "turbo")}


def ask(
    job_id: str, prompt: str, variant: str, steps: int, sampler: str | None, **changes: Any
) -> PictureRequest:
    rung = next(index for index, rung in enumerate(LADDER.rungs) if rung.variant == variant)
    return PictureRequest(
        job_id=job_id,
        prompt=prompt,
        seed=sum(job_id.encode()),
        width=64,
        height=64,
        guidance_scale=1.0 if variant == "turbo" else 2.5,
        service=Service(variant, steps, rung),
        floor=LADDER.last,
        sampler=sampler,
        **changes,
    )


def plain_picture(asked: PictureRequest, sampler: str) -> Picture:
    """What the library's own pipeline makes of the request."""
    return library_picture(with_sampler(load_plain(FOLDER / asked.service.variant), sampler), asked)


def test_a_mixed_batch_of_all_variants_and_samplers_gives_the_library_s_pictures(
    variants: dict[str, Variant],
) -> None:
    wanted: list[tuple[str, int, str, dict[str, Any]]] = [
        ("full", 25, "dpmpp_2m", {}),
        ("full", 12, "euler", {"negative_prompt": "a blue square"}),
        ("full", 9, "ddim", {"guidance_rescale": 0.7}),
        ("full", 10, "unipc", {}),
        ("full", 8, "euler_ancestral", {}),
        ("small", 10, "dpmpp_2m", {"guidance_rescale": 0.5}),
        ("small", 6, "unipc", {"negative_prompt": "a star"}),
        ("turbo", 4, "lcm", {}),
    ]
    prompts = unseen_prompts(len(wanted), 5, items=1)
    engine = StepEngine(variants, LADDER, max_batch=8)
    pictures: dict[str, Picture] = {}
    asked = {}
    for index, (variant, steps, sampler, changes) in enumerate(wanted):
        request = ask(f"job {index}", prompts[index], variant, steps, sampler, **changes)
        asked[request.job_id] = request, sampler
        engine.submit(request)
        for _ in range(2):  # so that they meet at different steps
            pictures |= {e.job_id: e.image for e in engine.step() if isinstance(e, PictureDone)}
    while engine.has_work():
        pictures |= {e.job_id: e.image for e in engine.step() if isinstance(e, PictureDone)}
    for job_id, (request, sampler) in asked.items():
        expected = plain_picture(request, sampler).astype(int)
        assert np.abs(pictures[job_id].astype(int) - expected).max() <= 2, request


def test_pictures_re_planned_half_way_still_show_what_was_asked_for(
    variants: dict[str, Variant],
) -> None:
    prompts = unseen_prompts(16, 6, items=1)
    engine = StepEngine(variants, LADDER, max_batch=16)
    for index, prompt in enumerate(prompts):
        engine.submit(ask(str(index), prompt, "full", 25, None))
    for _ in range(5):
        engine.step()
    engine.announce(1)
    done: dict[str, PictureDone] = {}
    while engine.has_work():
        done |= {event.job_id: event for event in engine.step() if isinstance(event, PictureDone)}
    assert {
        (e.facts.steps_planned, e.facts.steps_run, e.facts.early_exit) for e in done.values()
    } == {(25, 13, "replan")}
    pictures = np.stack([done[str(index)].image for index in range(len(prompts))])
    assert accuracy(prompts, judged(load_judge(), pictures)).all_right >= 0.7
