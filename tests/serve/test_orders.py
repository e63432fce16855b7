from __future__ import annotations

from typing import Any

import pytest

from serve.config import CONFIGS, DEFAULT_CONFIG, Config, load_config
from serve.errors import ApiError
from serve.orders import Commission, commissions, draw_seed
from serve.schemas import MAX_SEED, GenerationRequest
from serve.sections import ConvergenceSection, EarlyExitSection

CONFIG = load_config(DEFAULT_CONFIG, environment={})
LADDER = CONFIG.build_ladder()


DEADLINE_CONFIG = load_config(CONFIGS / "deadline.yaml", environment={})
"""With cost tables and tiers, without prices."""


def made(config: Config = CONFIG, **body: Any) -> list[Commission]:
    request = GenerationRequest.model_validate({"prompt": "a red circle"} | body)
    return commissions(request, config, LADDER, 100.0, new_seed=lambda: 7)


def refusal(config: Config = CONFIG, **body: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        made(config, **body)
    return caught.value


def test_a_plain_request_becomes_one_job_that_takes_any_rung() -> None:
    (one,) = made()
    assert one.job.arrival_s == 100.0
    assert one.job.floor == LADDER.last
    assert one.job.variant is None
    assert one.job.deadline_s is None
    assert (one.order.width, one.order.height, one.order.seed) == (64, 64, 7)
    assert one.order.job_id == one.job.job_id


def test_each_of_n_pictures_has_its_own_job_and_seed() -> None:
    several = made(n=3, seed=MAX_SEED)
    assert [one.order.seed for one in several] == [MAX_SEED, 0, 1]
    assert len({one.job.job_id for one in several}) == 3


def test_quality_sets_the_floor_of_job_and_order() -> None:
    (one,) = made(quality="high")
    assert one.job.floor == one.order.floor == LADDER.floor_for("high")


def test_the_deadline_counts_from_arrival() -> None:
    assert made(deadline_s=2.5)[0].job.deadline_s == 102.5


def test_steps_are_fixed_unless_a_quality_lets_the_server_go_lower() -> None:
    assert made(steps=50)[0].job.fixed
    assert made(steps=50)[0].order.fixed
    assert not made(steps=50, quality="low")[0].job.fixed


def test_guidance_rescale_and_convergence_reach_the_engine() -> None:
    plain = made()[0].order
    assert (plain.guidance_rescale, plain.converge) == (0.0, False)
    section = EarlyExitSection(convergence=ConvergenceSection(loss_budget=0.05))
    config = CONFIG.model_copy(update={"early_exit": section})
    request = GenerationRequest(prompt="a red circle", guidance_rescale=0.7, converge=True)
    (one,) = commissions(request, config, LADDER, 100.0)
    assert (one.order.guidance_rescale, one.order.converge) == (0.7, True)


def test_a_convergence_exit_that_the_server_does_not_have_is_refused() -> None:
    error = refusal(converge=True)
    assert (error.status, error.param) == (400, "converge")


def test_user_tier_and_objective_reach_the_policies() -> None:
    (plain,) = made()
    assert (plain.job.tenant, plain.job.tier, plain.job.objective) == ("", "default", None)
    (one,) = made(DEADLINE_CONFIG, user="ada", service_tier="flex", objective="quality")
    assert (one.job.tenant, one.job.tier, one.job.objective) == ("ada", "flex", "quality")


@pytest.mark.parametrize("tier", ["auto", "default"])
def test_the_default_tier_may_be_named_everywhere(tier: str) -> None:
    assert made(service_tier=tier)[0].job.tier == "default"


@pytest.mark.parametrize("tier", ["flex", "priority"])
def test_a_tier_is_refused_where_the_order_knows_none(tier: str) -> None:
    error = refusal(service_tier=tier)
    assert (error.status, error.param) == (400, "service_tier")
    assert "no service tiers" in error.message


@pytest.mark.parametrize("objective", ["latency", "cost", "quality"])
def test_an_objective_is_refused_where_no_times_can_be_predicted(objective: str) -> None:
    error = refusal(objective=objective)
    assert (error.status, error.param) == (400, "objective")
    assert "lacks engines.0.costs" in error.message


def test_the_lowest_cost_can_be_asked_for_where_prices_are_known() -> None:
    assert "lacks engines.0.price_per_hour" in refusal(DEADLINE_CONFIG, objective="cost").message
    pool = DEADLINE_CONFIG.engines[0].model_copy(update={"price_per_hour": 1.0})
    priced = DEADLINE_CONFIG.model_copy(update={"engines": (pool,)})
    assert made(priced, objective="cost")[0].job.objective == "cost"


def test_a_variant_id_pins_the_variant() -> None:
    (pinned,), (free,) = made(model="sluice-shapes/small"), made(model="sluice-shapes")
    assert (pinned.job.variant, pinned.order.pinned) == ("small", True)
    assert (free.job.variant, free.order.pinned) == (None, False)


@pytest.mark.parametrize("size", [None, "auto", "64x64"])
def test_the_default_size_has_three_names(size: str | None) -> None:
    assert made(size=size)[0].order.width == 64


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "dall-e-3"}, "model"),
        ({"size": "512x512"}, "size"),
        ({"size": "64"}, "size"),
        ({"prompt": "a" * 401}, "prompt"),
        ({"negative_prompt": "a" * 401}, "negative_prompt"),
        ({"steps": 101}, "steps"),
        ({"steps": 5, "model": "sluice-shapes/turbo"}, "steps"),
        ({"quality": "max"}, "quality"),
        ({"quality": "high", "model": "sluice-shapes/turbo"}, "quality"),
    ],
)
def test_what_the_configuration_does_not_allow_is_refused(body: dict[str, Any], param: str) -> None:
    error = refusal(**body)
    assert (error.status, error.param) == (400, param)
    assert error.message.endswith(".")


def test_drawn_seeds_are_short_and_differ() -> None:
    seeds = {draw_seed() for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**32 for seed in seeds)
