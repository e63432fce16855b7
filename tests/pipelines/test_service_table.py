"""Cost tables of what was seen in service."""

from __future__ import annotations

import pytest

from pipelines.costs import CostTable
from pipelines.service_costs import CostSums, Sums
from pipelines.service_table import CALLS_MIN, to_cost_table

SIZE = (64, 64)
OFTEN = 2 * CALLS_MIN


def exactly(seconds: float, calls: int = OFTEN) -> Sums:
    return Sums(calls, calls * seconds, calls * seconds**2)


def step_s(rows: int) -> float:
    return 0.004 + 0.003 * rows


def window(batches: tuple[int, ...] = (1, 2, 4), guided: bool = True) -> CostSums:
    rows = 2 if guided else 1
    return CostSums(
        encode={("full", 1): exactly(0.002), ("full", 2): exactly(0.003)},
        step={("full", *SIZE, b, b if guided else 0): exactly(step_s(rows * b)) for b in batches},
        decode={("full", *SIZE, n): exactly(0.001 + 0.002 * n) for n in (1, 3)},
    )


def table(sums: CostSums, max_batch: int = 4) -> CostTable:
    return to_cost_table(
        sums, size=SIZE, max_batch=max_batch, machine="a machine", commit="abc1234"
    )


def test_what_was_seen_is_in_the_table_as_its_mean() -> None:
    sums = window()
    uneven = {**sums.step, ("full", *SIZE, 2, 2): Sums(OFTEN, OFTEN * 0.05, OFTEN * 0.01)}
    found = table(CostSums(sums.encode, uneven, sums.decode))
    assert found.step_s("full", 2) == pytest.approx(0.05)
    assert found.step_s("full", 4) == pytest.approx(step_s(8))
    assert found.decode_s("full", 3) == pytest.approx(0.007)


def test_a_newcomer_costs_its_share_of_the_calls_of_all() -> None:
    shared = (OFTEN * 0.002 + OFTEN * 0.003) / (OFTEN + 2 * OFTEN)
    assert table(window()).encode_s("full") == pytest.approx(shared)


def test_batches_that_were_not_seen_follow_those_that_were() -> None:
    found = table(window(batches=(1, 2, 4)), max_batch=6)
    assert found.step_s("full", 3) == pytest.approx(step_s(6))
    assert found.step_s("full", 6) == pytest.approx(step_s(12))
    assert found.decode_s("full", 2) == pytest.approx(0.005)
    assert found.decode_s("full", 6) == pytest.approx(0.013)


def test_a_batch_that_was_seen_too_seldom_follows_the_others() -> None:
    sums = window()
    hiccup = {**sums.step, ("full", *SIZE, 3, 3): exactly(1.0, calls=2)}
    found = table(CostSums(sums.encode, hiccup, sums.decode))
    assert found.step_s("full", 3) == pytest.approx(step_s(6))


def test_two_batch_sizes_give_a_line() -> None:
    assert table(window(batches=(2, 4))).step_s("full", 1) == pytest.approx(step_s(2))


def test_one_batch_size_says_nothing_of_others() -> None:
    with pytest.raises(ValueError, match="'full' ran in one batch size only"):
        table(window(batches=(3,)))


def test_pictures_of_one_number_only_are_taken_in_proportion() -> None:
    sums = window()
    alone = {("full", *SIZE, 2): exactly(0.006)}
    assert table(CostSums(sums.encode, sums.step, alone)).decode_s("full", 3) == pytest.approx(
        0.009
    )


def test_a_variant_without_guidance_has_one_row_a_job() -> None:
    found = table(window(guided=False))
    assert found.variants["full"].rows_per_job == 1
    assert found.step_s("full", 3) == pytest.approx(step_s(3))
    assert found.step_s("full", 3, 0) == found.step_s("full", 3)


def test_steps_with_guidance_for_some_teach_those_with_it_for_none() -> None:
    sums = window()
    mixed = {**sums.step, ("full", *SIZE, 4, 1): exactly(step_s(5))}
    found = table(CostSums(sums.encode, mixed, sums.decode))
    assert found.step_s("full", 4, 0) == pytest.approx(step_s(4))
    assert found.step_s("full", 4, 2) == pytest.approx(step_s(6))


def test_the_costs_of_all_that_was_done_add_up_to_its_time() -> None:
    sums = window()
    rest = {
        (1, 0, 0): exactly(0.0010, 110),
        (1, 1, 0): exactly(0.0021, OFTEN),
        (1, 2, 1): exactly(0.0043, OFTEN),
        (1, 0, 3): exactly(0.0029, OFTEN),
    }
    calls = sum(one.calls for one in rest.values())
    steps = {
        ("full", *SIZE, 2, 2): exactly(0.02, calls - OFTEN),
        ("full", *SIZE, 4, 4): exactly(0.03),
    }
    decodings = {("full", *SIZE, 1): exactly(0.003), ("full", *SIZE, 3): exactly(0.007)}
    seen = CostSums(sums.encode, steps, decodings, rest)
    found = table(seen)
    told_s = 3 * OFTEN * found.encode_s("full")
    told_s += (calls - OFTEN) * found.step_s("full", 2) + OFTEN * found.step_s("full", 4)
    told_s += OFTEN * (found.decode_s("full", 1) + found.decode_s("full", 3))
    assert told_s == pytest.approx(seen.total_s)
    assert found.step_s("full", 2) > 0.0205


def test_what_comes_with_newcomers_and_pictures_is_charged_to_them() -> None:
    sums = window()
    rest = {
        (1, n, p): exactly(0.001 + 0.002 * n + 0.0005 * p) for n in (0, 1, 2) for p in (0, 1, 3)
    }
    found = table(CostSums(sums.encode, sums.step, sums.decode, rest))
    bare = table(sums)
    assert found.step_s("full", 4) - bare.step_s("full", 4) == pytest.approx(0.001)
    assert found.encode_s("full") - bare.encode_s("full") == pytest.approx(0.002)
    assert found.decode_s("full", 2) - bare.decode_s("full", 2) == pytest.approx(0.001)


def test_no_part_of_the_rest_is_negative() -> None:
    sums = window()
    rest = {(1, 0, 0): exactly(0.003), (1, 2, 0): exactly(0.001), (1, 0, 2): exactly(0.004)}
    found, bare = table(CostSums(sums.encode, sums.step, sums.decode, rest)), table(sums)
    assert found.encode_s("full") == bare.encode_s("full")
    assert found.step_s("full", 1) > bare.step_s("full", 1)


def test_a_variant_that_was_only_handed_jobs_encodes_like_the_others() -> None:
    sums = window()
    steps = {**sums.step, **{("small", *SIZE, b, b): exactly(0.01) for b in (1, 2)}}
    decodings = {**sums.decode, ("small", *SIZE, 1): exactly(0.002)}
    found = table(CostSums(sums.encode, steps, decodings))
    assert found.encode_s("small") == found.encode_s("full")


def test_other_sizes_are_left_out_and_none_is_told() -> None:
    sums = window()
    other = {("full", 128, 128, 4, 4): exactly(9.0)}
    found = table(CostSums(sums.encode, {**sums.step, **other}, sums.decode))
    assert found.step_s("full", 4) == pytest.approx(step_s(8))
    with pytest.raises(ValueError, match="No picture of this size"):
        table(CostSums(sums.encode, other, sums.decode))


def test_the_form_of_the_fit_is_kept_for_what_lies_beyond() -> None:
    fit = table(window()).variants["full"].step_fit
    assert fit is not None
    assert fit.seconds(10) == pytest.approx(step_s(10))
