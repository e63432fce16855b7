"""Who has a free place, and when runs will end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Service, completion_rate_per_s
from policies.fleet import Fleet
from policies.groups import GroupKey
from tests.policies.fleets import BOTH, COSTS, FULL, HALF, LADDER, TURBO, fleet_of, put, running


def test_an_engine_takes_as_many_jobs_as_it_has_places() -> None:
    fleet = fleet_of("slow1")
    engine = put(fleet, "slow1", running("a"))
    assert engine.open
    put(fleet, "slow1", running("b"))
    assert not engine.open
    assert not fleet.has_free_place
    assert fleet.take_out("a").job_id == "a"
    assert fleet.has_free_place
    assert fleet.engine_of == {"b": engine}


def test_unlike_engines_form_groups_of_their_own() -> None:
    fleet = fleet_of("slow1", "fast1", "slow2")
    assert [len(group.engines) for group in fleet.hosting("turbo")] == [2, 1]
    assert fleet.hosting("unheard of") == ()


def test_the_capacity_adds_up_full_batches_of_all_engines() -> None:
    fleet = fleet_of("slow1", "slow2", "fast1")
    slow = completion_rate_per_s(COSTS["slow"], LADDER[0], 2)
    assert fleet.capacity_per_s[0] == pytest.approx(4 * slow)  # the fast one counts for two
    fleet.down(fleet.engines["fast1"])
    assert fleet.capacity_per_s[0] == pytest.approx(2 * slow)


def test_a_rung_that_nobody_hosts_has_no_capacity() -> None:
    fleet = Fleet(LADDER, COSTS)
    fleet.up("e", GroupKey("slow", frozenset({"turbo"}), 2, 0.0))
    assert fleet.capacity_per_s[:2] == (0.0, 0.0)
    assert fleet.capacity_per_s[2] > 0


def test_an_engine_of_a_pool_without_costs_is_refused() -> None:
    with pytest.raises(ValueError, match="no cost table"):
        Fleet(LADDER, COSTS).up("e", GroupKey("unheard of", BOTH, 2, 0.0))


def test_a_start_in_an_empty_engine_ends_after_its_own_work() -> None:
    fleet = fleet_of("slow1")
    # Encoding 1 s, 20 steps of 2 s alone, decoding 2 s.
    assert fleet.start_ends_s(fleet.engines["slow1"], FULL, 100.0) == pytest.approx(143.0)


def test_a_start_beside_another_follows_that_one_to_its_end() -> None:
    fleet = fleet_of("slow1")
    engine = put(fleet, "slow1", running("a", HALF))
    # Encoding 1; 10 steps of 3 s together; decoding a, 2; 10 steps of 2 s alone; decoding 2.
    assert fleet.start_ends_s(engine, FULL, 0.0) == pytest.approx(1 + 30 + 2 + 20 + 2)


def test_variants_take_their_steps_one_after_the_other() -> None:
    fleet = fleet_of("slow1")
    engine = put(fleet, "slow1", running("a", TURBO))
    # Encoding 1; 4 boundaries of 2 s and 0.2 s; decoding 2; 16 steps of 2 s; decoding 2.
    assert fleet.start_ends_s(engine, FULL, 0.0) == pytest.approx(1 + 4 * 2.2 + 2 + 32 + 2)


def test_steps_without_guidance_cost_less() -> None:
    fleet = fleet_of("slow1")
    cut = Service("full", 20, 0, guidance_share=0.5)
    # 10 steps of 2 s with guidance and 10 of 1.5 s without.
    assert fleet.start_ends_s(fleet.engines["slow1"], cut, 0.0) == pytest.approx(1 + 35 + 2)


def test_progress_is_carried_on_at_the_present_pace() -> None:
    fleet = fleet_of("slow1")
    entry = running("a", done=5, told_s=10.0)
    engine = put(fleet, "slow1", entry)
    assert fleet.done(engine, entry, 10.0) == 5
    assert fleet.done(engine, entry, 14.5) == 7  # steps of 2 s
    assert fleet.done(engine, entry, 1000.0) == 20


def test_the_ends_of_all_runs_come_in_the_order_of_what_is_left() -> None:
    fleet = fleet_of("slow1", places=4)
    engine = put(fleet, "slow1", running("a"), running("b", HALF), running("c", done=18))
    ends_s = fleet.runs_end_s(engine, 0.0)
    assert list(ends_s) == ["c", "b", "a"]
    # 2 steps of 4 s, decode; 8 of 3 s, decode; 10 of 2 s, decode.
    assert list(ends_s.values()) == pytest.approx([10.0, 36.0, 58.0])


def test_a_shorter_plan_ends_earlier() -> None:
    fleet = fleet_of("slow1")
    engine = put(fleet, "slow1", running("a"))
    assert fleet.changed_ends_s(engine, "a", HALF, 10, 0.0) == pytest.approx(22.0)
    assert fleet.runs_end_s(engine, 0.0)["a"] == pytest.approx(42.0)


def test_the_price_of_a_picture_is_its_share_of_a_full_batch() -> None:
    fleet = fleet_of("slow1", "fast1", price_per_s=3.0)
    slow, fast = fleet.hosting("full")
    rate_per_s = completion_rate_per_s(COSTS["slow"], FULL, 2)
    assert fleet.price(slow, FULL) == pytest.approx(3.0 / rate_per_s)
    assert fleet.price(fast, FULL) == pytest.approx(fleet.price(slow, FULL))  # twice, half as long
    assert fleet.price(slow, TURBO) < fleet.price(slow, HALF) < fleet.price(slow, FULL)


@given(st.lists(st.integers(1, 20), max_size=3), st.integers(1, 3))
def test_nobody_ends_earlier_beside_more_others(left: list[int], extra: int) -> None:
    ends_s = []
    for others in (left, [*left, extra]):
        fleet = fleet_of("slow1", places=5)
        entries = [running(f"j{i}", done=20 - n) for i, n in enumerate(others)]
        ends_s.append(fleet.start_ends_s(put(fleet, "slow1", *entries), FULL, 0.0))
    assert all(earlier <= later for earlier, later in pairwise(ends_s))
