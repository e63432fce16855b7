"""The line keeps its order, lanes or not, and knows who must leave it next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import EarliestDeadline, FairShare, Fifo, Job, Order, ShortestWork, Tiers
from policies.fair_share import FairShares
from policies.groups import Group, GroupKey
from policies.line import SPARE_ENTRIES, Lane, Place, Reach, WaitingLine

STEPS = 25


def line_of(*jobs: Job, order: Order | None = None) -> WaitingLine:
    line = WaitingLine(order or Fifo())
    for seq, job in enumerate(jobs):
        line.add(job, seq, STEPS)
    return line


def drained(line: WaitingLine) -> list[str]:
    """The jobs as they would start, one by one, each charged with its steps."""
    names = []
    while (job := line.first(line.bundles)) is not None:
        line.serve(job, job.steps or STEPS)
        names.append(job.job_id)
    return names


def test_a_job_taken_up_again_stands_where_its_arrival_puts_it() -> None:
    line = WaitingLine(Fifo())
    line.add(Job("late", 5.0, 0), 1, STEPS)
    line.add(Job("early", 2.0, 0), 9, STEPS)
    assert [job.job_id for job in line] == ["early", "late"]


def test_equal_arrivals_keep_the_order_of_admission() -> None:
    assert drained(line_of(Job("z", 1.0, 0), Job("a", 1.0, 0))) == ["z", "a"]


def test_one_job_cannot_stand_in_the_line_twice() -> None:
    line = line_of(Job("a", 1.0, 0))
    with pytest.raises(ValueError, match="already"):
        line.add(Job("a", 1.0, 0), 1, STEPS)


def test_jobs_that_can_only_get_the_same_share_a_lane() -> None:
    line = line_of(Job("a", 1.0, 0), Job("b", 2.0, 0), Job("c", 3.0, 2), Job("d", 4.0, 0, "full"))
    assert sorted(len(lane) for _, lane in line.lanes) == [1, 1, 2]
    line.remove("c")
    assert sorted(len(lane) for _, lane in line.lanes) == [1, 2]


def groups(*pools: str) -> Reach:
    keys = (GroupKey(pool, frozenset({"full"}), 1, 0.0) for pool in pools)
    return tuple(Group(key, number) for number, key in enumerate(keys))


def test_only_the_bundles_that_can_move_are_looked_at() -> None:
    line = line_of(Job("a", 1.0, 0), Job("b", 2.0, 2), Job("c", 3.0, 1))
    here, there = groups("here"), groups("there")
    line.bundle(lambda key, job: here if key.floor == 0 else there)
    assert {bundle.reach: bundle.jobs for bundle in line.bundles} == {here: 1, there: 2}
    first = line.first(bundle for bundle in line.bundles if bundle.reach == there)
    assert first is not None
    assert first.job_id == "b"
    assert line.first(()) is None


def test_lanes_to_come_are_bundled_like_those_that_are_there() -> None:
    line = line_of(Job("a", 1.0, 0))
    here = groups("here")
    line.bundle(lambda key, job: here)
    line.add(Job("b", 0.5, 2), 1, STEPS)
    assert [(bundle.reach, bundle.jobs) for bundle in line.bundles] == [(here, 2)]
    assert drained(line) == ["b", "a"]
    assert not list(line.bundles)


def test_one_job_in_two_lanes_after_one_another_is_found_in_the_second() -> None:
    line = WaitingLine(Fifo())
    line.add(Job("a", 1.0, 0), 0, STEPS)
    line.remove("a")
    line.add(Job("b", 1.0, 2), 1, STEPS)
    line.add(Job("a", 1.0, 0), 0, STEPS, start_rung=0)
    assert drained(line) == ["a", "b"]


def test_jobs_that_come_and_go_leave_nothing_behind() -> None:
    line = WaitingLine(FairShare())
    line.add(Job("stays", 0.0, 0, tenant="x"), 0, STEPS, drop_s=1.0)
    for number in range(1, 1000):
        name = f"job{number}"
        line.add(Job(name, -float(number), 0, tenant="x"), number, STEPS, drop_s=2.0 + number)
        line.refund("x", 1)
        line.remove(name)
    (lane,) = (lane for _, lane in line.lanes)
    (bundle,) = line.bundles
    spare = 2 + SPARE_ENTRIES
    assert len(line._drops) <= spare
    assert len(lane._turns) <= spare
    assert len(bundle._heads) <= spare
    assert drained(line) == ["stays"]


def test_the_times_to_leave_can_be_set_anew() -> None:
    line = WaitingLine(Fifo())
    line.add(Job("a", 1.0, 0, deadline_s=9.0), 0, STEPS, drop_s=3.0, drop_reason="hopeless")
    line.add(Job("b", 1.0, 0, deadline_s=8.0), 1, STEPS, drop_s=4.0, drop_reason="hopeless")
    line.date_drops(lambda key, job: (job.deadline_s, "expired"))
    assert line.take_due(7.0) == []
    assert [(w.job.job_id, w.drop_reason) for w in line.take_due(8.5)] == [("b", "expired")]
    assert line.next_drop_s() == 9.0


def test_a_place_knows_how_many_stand_before_it() -> None:
    line = line_of(Job("a", 1.0, 0), Job("b", 2.0, 2), Job("c", 5.0, 0))
    place = line.place_of(Job("new", 3.0, 0), 9, STEPS)
    assert line.before(place) == 2


def test_who_left_is_forgotten_by_the_clock_too() -> None:
    line = WaitingLine(Fifo())
    line.add(Job("a", 1.0, 0), 0, STEPS, drop_s=3.0)
    line.add(Job("b", 1.0, 0), 1, STEPS, drop_s=4.0, drop_reason="hopeless")
    line.remove("a")
    assert line.next_drop_s() == 4.0
    assert [(w.job.job_id, w.drop_reason) for w in line.take_due(4.0)] == [("b", "hopeless")]
    assert line.next_drop_s() is None


def test_a_job_that_comes_back_leaves_at_its_new_time() -> None:
    line = WaitingLine(Fifo())
    line.add(Job("a", 1.0, 0), 0, STEPS, drop_s=3.0)
    line.remove("a")
    line.add(Job("a", 1.0, 0), 0, STEPS, drop_s=9.0)
    assert line.next_drop_s() == 9.0
    assert line.take_due(5.0) == []


def test_tenants_take_turns_by_the_steps_that_they_were_given() -> None:
    many = [Job(f"many{i}", float(i), 0, tenant="many") for i in range(4)]
    few = [Job(f"few{i}", 3.5 + i, 0, tenant="few") for i in range(2)]
    names = drained(line_of(*many, *few, order=FairShare()))
    assert names == ["many0", "few0", "many1", "few1", "many2", "many3"]


def test_a_counter_that_fell_meanwhile_is_put_right_at_the_head_of_a_lane() -> None:
    shares = FairShares()
    lane = Lane(Job("a0", 0.0, 0), shares)
    for tenant, steps in (("a", 25), ("b", 10)):
        shares.joins(tenant)
        shares.served(tenant, steps)
        lane.add(Place(0.0, 0.0, 0, f"{tenant}0"), tenant)
    shares.refund("b", 5)
    assert lane.head() == (5, Place(0.0, 0.0, 0, "b0"))


def test_refunds_in_several_lanes_leave_the_turns_in_order() -> None:
    line = WaitingLine(FairShare())
    for seq in range(60):
        line.add(Job(f"j{seq}", seq / 10, floor=seq % 3, tenant="abcd"[seq % 4]), seq, STEPS)
    for step in range(40):
        job = line.first(line.bundles)
        assert job is not None
        line.serve(job, STEPS)
        line.refund("abcd"[step % 4], step % 7)
    assert len(drained(line)) == 20


def test_a_tenant_with_short_runs_has_more_of_them() -> None:
    long = [Job(f"long{i}", 0.0, 0, steps=20, tenant="long") for i in range(2)]
    short = [Job(f"short{i}", 0.0, 0, steps=5, tenant="short") for i in range(8)]
    names = drained(line_of(*long, *short, order=FairShare()))
    second = names.index("long1")
    assert sum(name.startswith("short") for name in names[:second]) == 4


ORDERS: tuple[Order, ...] = (
    Fifo(),
    EarliestDeadline(),
    ShortestWork(),
    Tiers({"priority": 0.0, "default": 2.0}),
)
jobs = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.none() | st.integers(0, 9),
        st.integers(0, 2),
        st.sampled_from(["priority", "default"]),
        st.integers(1, 30),
    ),
    max_size=20,
)


@given(jobs, st.sampled_from(ORDERS))
def test_the_line_agrees_with_plain_sorting(
    facts: list[tuple[int, int | None, int, str, int]], order: Order
) -> None:
    line = WaitingLine(order)
    ranked = []
    for seq, (arrival_s, deadline_s, floor, tier, steps) in enumerate(facts):
        due_s = None if deadline_s is None else float(deadline_s)
        job = Job(str(seq), float(arrival_s), floor, deadline_s=due_s, tier=tier)
        line.add(job, seq, steps, drop_s=due_s)
        if due_s is None or due_s > 2:
            ranked.append((order.rank(job, steps), job.arrival_s, seq))
    dropped = {waiting.job.job_id for waiting in line.take_due(2.0)}
    assert dropped == {str(i) for i, (_, d, *_) in enumerate(facts) if d is not None and d <= 2}
    names = [str(seq) for _, _, seq in sorted(ranked)]
    assert [job.job_id for job in line] == names
    assert drained(line) == names
    assert len(line) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.booleans()), max_size=40))
def test_no_backlogged_tenant_falls_behind_by_more_than_one_run(
    script: list[tuple[str, int, bool]],
) -> None:
    """The bound of Sheng et al. (2024, theorem 4.4): two tenants that both have jobs waiting all the
    while are given work that differs by no more than the longest runs."""
    line = WaitingLine(FairShare())
    for seq in range(60):
        for tenant in "xy":
            name = f"{tenant}{seq}"
            line.add(Job(name, float(seq), 0, steps=1 + (seq * 7) % 30, tenant=tenant), seq, STEPS)
    given_steps = {"x": 0, "y": 0}
    for number, (tenant, steps, leaves) in enumerate(script):
        line.add(Job(f"{tenant}-{number}", 0.0, 0, steps=steps, tenant=tenant), 100 + number, STEPS)
        if leaves:
            line.remove(f"{tenant}-{number}")
        job = line.first(line.bundles)
        assert job is not None
        line.serve(job, job.steps or STEPS)
        if job.tenant in given_steps:
            given_steps[job.tenant] += job.steps or STEPS
        assert abs(given_steps["x"] - given_steps["y"]) <= 2 * 30
