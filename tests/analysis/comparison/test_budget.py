"""Differences shared out to swaps, on worlds whose effects are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.comparison.budget import Entry, Swaps, share_out
from analysis.comparison.ensembles import BUDGETED, Ensemble, values_of
from analysis.prediction import Figures

NAMES = ("one", "two", "three")


def figures(value: float) -> Figures:
    return Figures(1.0, *([value] * 6), 0.0, value)


def known(swaps: Swaps) -> float:
    """One adds 1, two doubles, three adds nothing."""
    value = 3.0 + (1.0 if "one" in swaps else 0.0)
    return 2 * value if "two" in swaps else value


def world(swaps: Swaps) -> Ensemble:
    return Ensemble((figures(known(swaps)), figures(known(swaps))))


def effects(entries: list[Entry]) -> dict[str, float]:
    return {entry.name: entry.effects["mean_s"] for entry in entries}


def test_what_works_together_is_shared_equally() -> None:
    # Forth: 3, 4, 8, 8; back: 3, 3, 6, 8.
    assert effects(share_out("", NAMES, world)) == pytest.approx(
        {"one": 1.5, "two": 3.5, "three": 0.0}
    )


def test_order_dependence_is_the_given_order_less_the_reverse() -> None:
    entries = share_out("", NAMES, world)
    order = {entry.name: entry.order_dependence["p95_s"] for entry in entries}
    assert order == pytest.approx({"one": -1.0, "two": 1.0, "three": 0.0})


def test_entries_add_up_to_the_difference_for_every_figure() -> None:
    entries = share_out("", NAMES, world)
    for name in BUDGETED:
        whole = known(frozenset(NAMES)) - known(frozenset())
        assert sum(entry.effects[name] for entry in entries) == pytest.approx(whole)


def test_a_start_known_better_counts_to_the_last_swap() -> None:
    entries = share_out("", NAMES, world, values_of(figures(2.5)))
    assert effects(entries) == pytest.approx({"one": 1.5, "two": 3.5, "three": 0.5})


def test_common_random_numbers_leave_no_error_of_a_shift() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=50)

    def noisy(swaps: Swaps) -> Ensemble:
        return Ensemble(tuple(figures(float(one) + known(swaps)) for one in noise))

    (entry,) = share_out("", ("one",), noisy)
    assert entry.standard_errors["mean_s"] == pytest.approx(0.0, abs=1e-7)


def test_independent_noise_has_the_standard_error_of_a_difference_of_means() -> None:
    rng = np.random.default_rng(1)
    draws = {bool: rng.normal(size=4000) for bool in (False, True)}

    def noisy(swaps: Swaps) -> Ensemble:
        return Ensemble(tuple(figures(float(one)) for one in draws[bool(swaps)]))

    (entry,) = share_out("", ("one",), noisy)
    assert entry.standard_errors["mean_s"] == pytest.approx(math.sqrt(2 / 4000), rel=0.05)


def test_worlds_with_fewer_draws_can_be_compared_with_others() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=400)

    def uneven(swaps: Swaps) -> Ensemble:
        count = 100 if swaps else 400
        return Ensemble(tuple(figures(float(one)) for one in noise[:count]))

    (entry,) = share_out("", ("one",), uneven)
    # Means over 100 and over 400 with these 100 among them: 1/100 + 1/400 - 2/400.
    assert entry.standard_errors["mean_s"] == pytest.approx(math.sqrt(0.0075), rel=0.15)
