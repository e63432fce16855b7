"""Like engines together: which is the emptiest, whose turn it is, and how far their jobs are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.groups import CLOSE_LOOK
from tests.policies.fleets import fleet_of, put, running


def test_the_emptiest_engine_is_the_one_with_fewest_jobs() -> None:
    fleet = fleet_of("slow1", "slow2", "slow3")
    put(fleet, "slow1", running("a"))
    put(fleet, "slow2", running("b"))
    (group,) = fleet.open_groups("full")
    assert group.emptiest().engine_id == "slow3"
    put(fleet, "slow3", running("c"), running("d"))
    assert group.emptiest().engine_id == "slow1"


def test_of_equally_full_engines_the_one_that_has_been_so_for_longest_comes_first() -> None:
    fleet = fleet_of("slow1", "slow2", "slow3")
    put(fleet, "slow1", running("a"))
    fleet.take_out("a")
    (group,) = fleet.open_groups("full")
    assert group.emptiest().engine_id == "slow2"
    assert [engine.engine_id for engine in group.candidates()] == ["slow2", "slow3", "slow1"]


def test_of_many_open_engines_the_emptiest_are_looked_at() -> None:
    fleet = fleet_of(*(f"slow{i}" for i in range(2 * CLOSE_LOOK)))
    for i in range(CLOSE_LOOK):
        put(fleet, f"slow{i}", running(f"j{i}"))
    (group,) = fleet.open_groups("full")
    looked_at = [engine.engine_id for engine in group.candidates()]
    assert looked_at == [f"slow{i}" for i in range(CLOSE_LOOK, 2 * CLOSE_LOOK)]


def test_an_engine_that_was_full_takes_its_turn_after_those_that_had_a_place() -> None:
    fleet = fleet_of("slow1", "slow2", "slow3", places=1)
    put(fleet, "slow1", running("a"))
    put(fleet, "slow2", running("b"))
    fleet.take_out("b")
    fleet.take_out("a")
    (group,) = fleet.open_groups("full")
    turns = []
    for number in range(3):
        _, engine = group.next_turn()
        turns.append(engine.engine_id)
        put(fleet, engine.engine_id, running(f"next{number}"))
    assert turns == ["slow3", "slow2", "slow1"]


def test_an_engine_with_more_jobs_than_places_is_not_open_until_enough_are_gone() -> None:
    fleet = fleet_of("slow1", places=1)
    put(fleet, "slow1", running("a"), running("b"))
    assert not fleet.has_free_place
    fleet.take_out("a")
    assert not fleet.has_free_place
    fleet.take_out("b")
    (group,) = fleet.open_groups("full")
    assert group.free_places == 1


def test_steps_go_on_after_what_was_told_up_to_the_end_of_the_plan() -> None:
    job = running("a", done=5, told_s=10.0)
    assert job.done_by(10.0, 2.0) == 5
    assert job.done_by(15.9, 2.0) == 7
    assert job.done_by(1e9, 2.0) == 20
    assert job.done_by(9.0, 2.0) == 5  # told by a clock that was set back since
    assert job.done_by(1e9, 0.0) == 5  # no costs, no pace


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60))
def test_what_is_kept_by_occupancy_agrees_with_counting(script: list[tuple[int, bool]]) -> None:
    names = ["slow1", "slow2", "slow3", "fast1"]
    fleet = fleet_of(*names)
    started = 0
    for pick, starts in script:
        engine = fleet.engines[names[pick]]
        if starts and engine.open:
            put(fleet, names[pick], running(f"j{started}"))
            started += 1
        elif not starts and engine.running:
            fleet.take_out(next(iter(engine.running)))
        for group in fleet.hosting("full"):
            open_ones = [e for e in group.engines.values() if e.open]
            assert sorted(e.engine_id for e in group.open) == sorted(e.engine_id for e in open_ones)
            assert group.free_places == sum(2 - len(e.running) for e in open_ones)
            if open_ones:
                assert len(group.emptiest().running) == min(len(e.running) for e in open_ones)
