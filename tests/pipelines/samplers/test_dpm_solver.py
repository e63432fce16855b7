"""DPM-Solver++: orders over a run, and the algorithms it is not."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.samplers import make_sampler
from tests.pipelines.samplers.runs import TOLERANCE, run_library, run_plan, worst_error
from tests.pipelines.tiny_pipelines import noise_settings


def second_order(steps: int, **extra: Any) -> list[bool]:
    plan = make_sampler("dpmpp_2m", noise_settings("epsilon") | extra).plan(steps)
    return [stage.next_before != 0 for stage in plan.stages]


def test_the_first_and_the_last_step_are_of_first_order() -> None:
    assert second_order(5) == [False, True, True, True, False]
    assert second_order(20) == [False, *[True] * 18, False]
    assert second_order(5, solver_order=1) == [False] * 5


def test_a_last_step_that_stops_short_of_zero_is_of_second_order_in_long_runs() -> None:
    short = {"final_sigmas_type": "sigma_min"}
    assert second_order(20, **short)[-1]
    assert not second_order(14, **short)[-1]
    assert second_order(14, lower_order_final=False, **short)[-1]
    assert not second_order(20, euler_at_final=True, **short)[-1]


def test_a_replanned_solver_starts_again_at_first_order() -> None:
    sampler = make_sampler("dpmpp_2m", noise_settings("epsilon"))
    rest = sampler.replan(sampler.plan(20), 10, 5)
    assert [stage.next_before != 0 for stage in rest.stages] == [False, True, True, True, False]


@pytest.mark.parametrize("algorithm", ["dpmsolver", "sde-dpmsolver", "sde-dpmsolver++"])
def test_other_algorithms_are_refused_before_the_library_warns_of_them(algorithm: str) -> None:
    with pytest.raises(ValueError, match=r'set algorithm_type to "dpmsolver\+\+" in'):
        make_sampler("dpmpp_2m", noise_settings("epsilon") | {"algorithm_type": algorithm})


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"solver_order": 3}, "solver_order 3; set solver_order to 1 or 2"),
        ({"use_flow_sigmas": True}, "flow sigmas; set use_flow_sigmas to false"),
        ({"variance_type": "learned_range"}, "variance_type 'learned_range'"),
        ({"use_lu_lambdas": True, "use_karras_sigmas": True}, "use_lu_lambdas excludes"),
        ({"thresholding": True}, "dynamic thresholding"),
        ({"use_dynamic_shifting": True}, "use_dynamic_shifting True"),
    ],
)
def test_settings_it_does_not_follow_are_refused(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_sampler("dpmpp_2m", noise_settings("epsilon") | extra)


def test_settings_of_its_relatives_are_read_as_the_library_reads_them() -> None:
    """DEIS and UniPC configs name solvers that the class takes for its own defaults."""
    deis = {"algorithm_type": "deis", "solver_type": "logrho", "final_sigmas_type": "sigma_min"}
    for extra in (deis, {"solver_type": "bh2"}):
        config = noise_settings("epsilon") | extra
        ours = run_plan(make_sampler("dpmpp_2m", config).plan(6), 3)
        assert worst_error(ours, run_library("dpmpp_2m", config, 6, 3)) <= TOLERANCE


def test_a_variance_that_is_not_learned_changes_nothing() -> None:
    plain = make_sampler("dpmpp_2m", noise_settings("epsilon")).plan(6)
    config = noise_settings("epsilon") | {"variance_type": "fixed_small"}
    assert make_sampler("dpmpp_2m", config).plan(6) == plain
