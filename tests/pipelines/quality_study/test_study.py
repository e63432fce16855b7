"""The study on the committed weights, with few prompts and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.loading import load_variant
from pipelines.quality_study import study as module
from pipelines.quality_study.results import BOTH, CATEGORIES, Study
from pipelines.quality_study.settings import Hosted, Setting
from pipelines.quality_study.study import Scope, row_gflops, run_study

WEIGHTS = Path(module.__file__).parents[1] / "embedded" / "weights"
FOLDERS = tuple(WEIGHTS / name for name in ("full", "small", "turbo"))


def few_settings(hosted: Sequence[Hosted]) -> tuple[Setting, ...]:
    assert [one.fixed_schedule for one in hosted] == [False, False, True]
    return (
        Setting("steps", "full", 25),
        Setting("steps", "turbo", 1),
        Setting("finish", "full", 25, exit_after=8),
        Setting("converge", "full", 25, loss_budget=0.1),
    )


def measured(cores: int) -> tuple[Study, list[str]]:
    scope = Scope(FOLDERS, prompts=12, cores=cores, warm_up_prompts=15)
    said: list[str] = []
    study = run_study(scope, "a command", lambda what, done, total: said.append(what), few_settings)
    return study, said


@pytest.fixture(scope="module")
def one_core() -> tuple[Study, list[str]]:
    return measured(1)


@pytest.mark.slow
def test_the_reference_loses_nothing_against_itself(one_core: tuple[Study, list[str]]) -> None:
    reference = one_core[0].reference
    assert reference.ssim.low == pytest.approx(1.0, abs=1e-9)
    assert reference.feature_distance.value == 0
    assert all(reference.lost[name].value == 0 for name in (*CATEGORIES, BOTH))
    assert (reference.steps_run, reference.rows) == (25.0, 50.0)


@pytest.mark.slow
def test_every_figure_is_of_what_was_run(one_core: tuple[Study, list[str]]) -> None:
    study, said = one_core
    reference, turbo, finished, converged = study.points
    assert (turbo.steps_run, turbo.guided_steps, turbo.rows) == (1.0, 0.0, 1.0)
    assert finished.steps_run == 8.0
    # A third of the way nothing is clear yet.
    assert finished.mean_accuracy < reference.mean_accuracy
    assert finished.ssim.high < 0.95
    assert finished.lost[BOTH].value == pytest.approx(
        reference.mean_accuracy - finished.mean_accuracy
    )
    assert converged.converged is not None
    assert converged.converged.loss is not None
    assert 0 < converged.converged.loss.value < 0.15
    assert converged.steps_run < 25
    assert said[-1] == converged.setting.name
    assert study.meta["command"] == "a command"
    assert [one.step for one in study.curve] == list(range(1, 26))
    assert study.curve[0].change is None
    assert study.curve[-1].loss == 0
    assert study.curve[4].loss > study.curve[20].loss > 0
    for point in study.points:
        for category in CATEGORIES:
            assert len(point.right[category]) == 12
            assert point.right[category].count("1") / 12 == point.accuracy[category].value


@pytest.mark.full
def test_the_figures_do_not_depend_on_the_number_of_cores(
    one_core: tuple[Study, list[str]],
) -> None:
    assert measured(2)[0].points == one_core[0].points


def test_a_networks_operations_are_counted() -> None:
    full, small = (row_gflops(load_variant(name, WEIGHTS / name)) for name in ("full", "small"))
    assert 0.05 < small < full < 1.0
