"""The front: nothing on it is beaten, everything off it is; and what the figures recommend."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipelines.quality_study.intervals import Estimate
from pipelines.quality_study.pareto import efficient, pareto
from pipelines.quality_study.results import Converged, MeanSteps, Point, price
from pipelines.quality_study.settings import Setting
from tests.pipelines.quality_study.synthetic import point, study


def converging(budget: float, *, lost: float) -> Point:
    kept = Converged(budget, 0.01, 0.05, 0.9, Estimate(budget, 0, 1), Estimate(budget, 0, 1))
    setting = Setting("converge", "full", 25, loss_budget=budget)
    return point(setting, lost=lost, steps={"full": MeanSteps(20.0, 0.0)}, converged=kept)


def handing_over(after: int, *, lost: float) -> Point:
    setting = Setting("hand_over", "full", 25, exit_after=after, to_variant="small", to_steps=25)
    return point(setting, lost=lost, steps={"full": MeanSteps(float(after), 0.0)})


numbers = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=20
)


@given(numbers)
def test_the_front_is_what_nothing_beats(some: list[tuple[int, int, int]]) -> None:
    costs = [float(cost) for cost, *_ in some]
    qualities = [(float(first), float(second)) for _, first, second in some]
    front = efficient(costs, qualities)
    assert any(front)
    for on, cost, (first, second) in zip(front, costs, qualities, strict=True):
        beaten = any(
            c <= cost and f >= first and s >= second and (c < cost or f > first or s > second)
            for c, (f, s) in zip(costs, qualities, strict=True)
        )
        assert on != beaten


def test_the_file_holds_the_front_and_all_rungs_with_their_efficiency() -> None:
    measured = study()
    document = pareto(measured, price(measured))
    efficient_rungs = [one["name"] for one in document["rungs"] if one["efficient"]]
    # full@25 is as accurate as full@15 and dearer: only its likeness to itself keeps it.
    assert efficient_rungs == ["full@15", "full@10", "full@6", "full@6 guided 50%", "turbo@2"]
    with_ssim = [one["name"] for one in document["rungs"] if one["efficient_with_ssim"]]
    assert with_ssim == ["full@25", *efficient_rungs]
    assert document["reference"] == "full@25"
    assert {one["name"] for one in document["front"]} >= {"full@25", "turbo@2"}
    turbo = next(one for one in document["rungs"] if one["name"] == "turbo@2")
    assert turbo["rung"] == {
        "variant": "turbo",
        "steps": 2,
        "guidance_share": 1.0,
        "replannable": False,
    }


def test_an_early_exit_does_not_push_a_rung_off_the_front_of_rungs() -> None:
    cheap = replace(handing_over(1, lost=0.0), ssim=Estimate(1.0, 1.0, 1.0))
    measured = study(cheap)
    document = pareto(measured, price(measured))
    assert [one["name"] for one in document["front"] if one["efficient"]] == [cheap.setting.name]
    assert sum(one["efficient"] for one in document["rungs"]) == 5


def test_finishing_at_once_is_allowed_from_where_it_is_no_worse_than_the_rung() -> None:
    measured = study()
    advice = pareto(measured, price(measured))["recommendations"]["finish_from"]
    shares = {one["rung"]: (one["finish_from"], one["finish_from_with_ssim"]) for one in advice}
    # After 20 of 25 steps 0.3 points are lost, after 15 three points, after 10 thirty.
    assert shares == {
        "full@15": (0.8, None),
        "full@10": (0.8, None),
        "full@6": (0.8, 0.8),
        "full@6 guided 50%": (0.6, 0.8),
    }


def test_the_largest_budget_that_surely_costs_little_is_recommended() -> None:
    tried = [converging(0.03, lost=0.0), converging(0.05, lost=0.004), converging(0.1, lost=0.009)]
    measured = study(*tried)
    advice = pareto(measured, price(measured))["recommendations"]["loss_budget"]
    assert advice["recommended"] == 0.05
    assert [one["loss_budget"] for one in advice["tried"]] == [0.03, 0.05, 0.1]
    assert advice["tried"][0]["cheaper_rung"] == "full@15"


def test_no_budget_is_recommended_if_all_cost_too_much() -> None:
    measured = study(converging(0.1, lost=0.05))
    advice = pareto(measured, price(measured))["recommendations"]["loss_budget"]
    assert advice["recommended"] is None


def test_a_hand_over_is_recommended_only_if_no_rung_does_as_well_for_less() -> None:
    measured = study(handing_over(20, lost=0.01), handing_over(5, lost=0.001))
    advice = pareto(measured, price(measured))["recommendations"]["hand_over"]
    assert advice["recommended"] == ["full@25, after 5 small@25"]
    assert advice["tried"][0]["cheaper_rung"] == "full@10"
