"""The settings of the study: all strategies, the reference first, nothing twice."""

from __future__ import annotations

import pytest

from pipelines.quality_study.settings import STRATEGIES, Hosted, all_settings

FULL, SMALL = Hosted("full", 1000, False), Hosted("small", 1000, False)
TURBO = Hosted("turbo", 3, True)


def test_every_strategy_is_there_and_the_reference_comes_first() -> None:
    settings = all_settings([FULL, SMALL, TURBO])
    assert {setting.strategy for setting in settings} == set(STRATEGIES)
    assert settings[0].name == "full@25"


def test_names_are_unique() -> None:
    names = [setting.name for setting in all_settings([FULL, SMALL, TURBO])]
    assert len(set(names)) == len(names)


def test_a_distilled_variant_is_run_at_the_steps_that_it_has() -> None:
    steps = [s.steps for s in all_settings([FULL, TURBO]) if s.variant == "turbo"]
    assert steps == [3, 2, 1]


def test_early_exits_come_within_the_run_and_never_of_a_fixed_schedule() -> None:
    for setting in all_settings([FULL, SMALL, TURBO]):
        if setting.exit_after is not None:
            assert 0 < setting.exit_after < setting.steps
            assert setting.variant == "full"
            assert setting.to_variant != "turbo"


def test_without_a_second_variant_nothing_is_handed_over() -> None:
    assert not [s for s in all_settings([FULL, TURBO]) if s.strategy == "hand_over"]


def test_a_study_needs_a_variant_that_can_be_replanned() -> None:
    with pytest.raises(ValueError, match="name the full one too"):
        all_settings([TURBO])
