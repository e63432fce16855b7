"""From a checked HTTP body to jobs and orders; every limit that the configuration sets is here."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from policies.building import weighs_prices
from policies.nouns import Job, Ladder
from policies.orders import DEFAULT_TIER
from policies.routing import OBJECTIVES
from serve.config import Config
from serve.errors import ApiError, bad_request, model_not_found
from serve.messages import Order
from serve.schemas import MAX_SEED, GenerationRequest

_system_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Commission:
    """One picture to make: what the policies know of it, and what the engine must know."""

    job: Job
    order: Order


def draw_seed() -> int:
    """A seed for a request that named none: 32 bits, short enough to be typed again."""
    return _system_random.randrange(2**32)


def commissions(
    request: GenerationRequest,
    config: Config,
    ladder: Ladder,
    received_s: float,
    *,
    new_seed: Callable[[], int] = draw_seed,
) -> list[Commission]:
    """The `n` pictures of a request; the i-th takes seed + i, so that each can be had again.

    `received_s` is when it came, by the clock that the jobs' times are to be on.
    ApiError (400) for whatever the configuration does not allow.
    """
    variant = _pinned_variant(request, config)
    width, height = _size(request, config)
    _check_prompts(request, config)
    floor = _floor(request, ladder, variant)
    _check_steps(request, config, variant or ladder.best.variant)
    _check_converge(request, config)
    _check_objective(request, config)
    _check_tier(request, config)
    seed = new_seed() if request.seed is None else request.seed
    deadline_s = None if request.deadline_s is None else received_s + request.deadline_s
    made = []
    for index in range(request.n):
        job = Job(
            job_id=uuid.uuid4().hex,
            arrival_s=received_s,
            floor=floor,
            variant=variant,
            steps=request.steps,
            fixed=request.steps_are_fixed,
            deadline_s=deadline_s,
            tenant=request.user or "",
            tier=request.tier,
            objective=request.objective,
        )
        order = Order(
            job_id=job.job_id,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or "",
            seed=(seed + index) % (MAX_SEED + 1),
            width=width,
            height=height,
            guidance_scale=request.guidance_scale,
            guidance_rescale=request.guidance_rescale,
            floor=floor,
            fixed=job.fixed,
            pinned=variant is not None,
            converge=request.converge,
            partials=request.partial_images,
            output_format=request.output_format,
            output_compression=request.output_compression,
        )
        made.append(Commission(job, order))
    return made


def _pinned_variant(request: GenerationRequest, config: Config) -> str | None:
    known = config.model_ids()
    if request.model is None:
        return None
    if request.model not in known:
        raise model_not_found(request.model, list(known), status=400)
    return known[request.model]


def _size(request: GenerationRequest, config: Config) -> tuple[int, int]:
    sizes = config.model.sizes
    asked = sizes[0] if request.size in (None, "auto") else request.size
    if asked not in sizes:
        message = f"The size {asked!r} is not offered; use one of: {', '.join(sizes)}, auto."
        raise bad_request(message, param="size", code="invalid_size")
    width, height = asked.split("x")
    return int(width), int(height)


def _check_prompts(request: GenerationRequest, config: Config) -> None:
    limit = config.model.prompt_chars_max
    prompts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt or ""}
    for param, text in prompts.items():
        if len(text) > limit:
            message = f"The {param} has {len(text)} characters; shorten it to at most {limit}."
            raise bad_request(message, param=param, code="string_above_max_length")


def _floor(request: GenerationRequest, ladder: Ladder, variant: str | None) -> int:
    """The ladder index of the lowest rung that the request accepts."""
    try:
        floor = ladder.floor_for(request.quality_floor)
        if request.quality is not None:
            ladder.rung_for(ladder.last, floor, variant)  # the pinned variant must reach it
    except ValueError as error:
        message = f"The quality {request.quality!r} cannot be had: {error}."
        raise _invalid(message, "quality") from None
    return floor


def _check_steps(request: GenerationRequest, config: Config, variant: str) -> None:
    most = config.steps_max(variant)
    if request.steps is not None and request.steps > most:
        message = f"Invalid value for 'steps': variant {variant!r} takes at most {most}."
        raise _invalid(message, "steps")


def _check_converge(request: GenerationRequest, config: Config) -> None:
    if request.converge and config.early_exit.convergence is None:
        message = "This server has no convergence exit; ask without 'converge'."
        raise _invalid(message, "converge")


def _check_objective(request: GenerationRequest, config: Config) -> None:
    if request.objective is None:
        return
    lacking = config.lacks(prices=weighs_prices(OBJECTIVES[request.objective]))
    if lacking is not None:
        message = (
            f"The objective {request.objective!r} cannot be had: this server's configuration lacks"
            f" {lacking}; ask without 'objective'."
        )
        raise _invalid(message, "objective")


def _check_tier(request: GenerationRequest, config: Config) -> None:
    if request.tier != DEFAULT_TIER and config.dispatcher.order != "tiers":
        message = "This server has no service tiers; ask without 'service_tier'."
        raise _invalid(message, "service_tier")


def _invalid(message: str, param: str) -> ApiError:
    return bad_request(message, param=param, code="invalid_value")
