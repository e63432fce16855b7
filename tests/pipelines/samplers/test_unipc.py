"""UniPC: its functions, the order of each step, where it corrects, and what it refuses."""

from __future__ import annotations

from fractions import Fraction
from math import factorial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plans import Plan
from pipelines.samplers import make_sampler
from pipelines.samplers.base import Sampler
from pipelines.samplers.unipc import phi
from tests.pipelines.samplers.runs import TOLERANCE, run_library, run_plan, worst_error
from tests.pipelines.tiny_pipelines import noise_settings


def sampler_of(**extra: Any) -> Sampler:
    return make_sampler("unipc", noise_settings("epsilon") | extra)


def corrector_orders(plan: Plan) -> list[int]:
    return [2 if stage.correct_earlier else 1 if stage.correct_last else 0 for stage in plan.stages]


def predictor_orders(plan: Plan) -> list[int]:
    return [2 if stage.next_before else 1 for stage in plan.stages]


@settings(deadline=None)
@given(order=st.integers(0, 3), thousandths=st.integers(-9000, 2000))
def test_phi_is_the_sum_of_its_series(order: int, thousandths: int) -> None:
    u = Fraction(thousandths, 1000)
    exact = sum(u**j / factorial(j + order) for j in range(70))
    assert phi(order, thousandths / 1000) == pytest.approx(float(exact), rel=1e-13)


def test_orders_rise_to_two_and_end_at_one() -> None:
    plan = sampler_of().plan(5)
    assert predictor_orders(plan) == [1, 2, 2, 2, 1]
    assert corrector_orders(plan) == [0, 1, 2, 2, 2]


def test_without_a_lower_order_at_the_end_the_last_step_is_of_second_order() -> None:
    plan = sampler_of(lower_order_final=False, final_sigmas_type="sigma_min").plan(5)
    assert predictor_orders(plan) == [1, 2, 2, 2, 2]


def test_first_order_predicts_and_corrects_at_first_order() -> None:
    plan = sampler_of(solver_order=1).plan(4)
    assert predictor_orders(plan) == [1, 1, 1, 1]
    assert corrector_orders(plan) == [0, 1, 1, 1]


def test_a_disabled_corrector_leaves_the_latents_as_predicted() -> None:
    plan = sampler_of(disable_corrector=[0, 2]).plan(5)
    assert corrector_orders(plan) == [0, 0, 2, 0, 2]
    for i in (1, 3):
        assert (plan[i].correct_x, plan[i].correct_e, plan[i].correct_before) == (1, 0, 0)
    assert predictor_orders(plan) == predictor_orders(sampler_of().plan(5))


def test_a_plan_without_any_corrector_needs_none_of_its_terms() -> None:
    plan = sampler_of(disable_corrector=list(range(9))).plan(6)
    assert plan.terms == {"next_before"}


def test_a_replanned_solver_starts_again_at_first_order_without_a_corrector() -> None:
    sampler = sampler_of()
    rest = sampler.replan(sampler.plan(20), 10, 5)
    assert predictor_orders(rest) == [1, 2, 2, 2, 1]
    assert corrector_orders(rest) == [0, 1, 2, 2, 2]


def test_a_replan_leaves_the_corrector_out_where_its_plan_did() -> None:
    sampler = sampler_of(disable_corrector=[0, 1, 2, 3])
    plan = sampler.plan(20)
    assert corrector_orders(plan) == [0] * 5 + [2] * 15
    rest = sampler.replan(plan, 1, 10)  # its stages stand at 1, 2.9, 4.8, 6.7 ... of the plan
    assert corrector_orders(rest) == [0, 0, 0, *[2] * 7]
    again = sampler.replan(rest, 2, 4)  # at 2, 4, 6 and 8 of that
    assert corrector_orders(again) == [0, 1, 2, 2]


def test_every_step_and_correction_keeps_the_share_of_clean_latents_it_should() -> None:
    """With estimates that agree, the corrector must give what the predictor gave."""
    plan = sampler_of(final_sigmas_type="sigma_min", solver_type="bh1").plan(9)
    for before, stage in zip(plan.stages, plan.stages[1:], strict=False):
        corrected = stage.correct_e + stage.correct_before + stage.correct_earlier
        assert corrected == pytest.approx(before.next_e + before.next_before, rel=1e-9)
        assert stage.correct_last == pytest.approx(before.next_x, rel=1e-12)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"solver_order": 3}, "solver_order 3; set solver_order to 1 or 2"),
        ({"predict_x0": False}, "predict_x0 False; set predict_x0 to true"),
        ({"solver_p": {"_class_name": "DDIMScheduler"}}, "solver_p"),
        ({"use_flow_sigmas": True}, "flow sigmas; set use_flow_sigmas to false"),
        ({"thresholding": True}, "dynamic thresholding; set thresholding to false"),
        ({"shift_terminal": 0.1}, "shift_terminal"),
        ({"use_dynamic_shifting": True}, "use_dynamic_shifting True"),
        ({"solver_type": "bh1"}, "no finite last step .* set solver_type to 'bh2'"),
        ({"lower_order_final": False}, "no finite last step .* set lower_order_final to true"),
        ({"prediction_type": "flow_prediction"}, "not 'flow_prediction'"),
    ],
)
def test_settings_it_does_not_follow_are_refused(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sampler_of(**extra)


def test_solvers_of_its_relatives_are_read_as_the_library_reads_them() -> None:
    config = noise_settings("v_prediction") | {"solver_type": "midpoint"}
    ours = run_plan(make_sampler("unipc", config).plan(6), 3)
    assert worst_error(ours, run_library("unipc", config, 6, 3)) <= TOLERANCE
