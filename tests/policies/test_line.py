"""The line keeps its order, lanes or not, and knows who must leave it next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import EarliestDeadline, FairShare, Fifo, Job, Order, ShortestWork, Tiers
from policies.line import LaneKey, WaitingLine

STEPS = 25


def line_of(*jobs: Job, order: Order | None = None) -> WaitingLine:
    line = WaitingLine(order or Fifo())
    for seq, job in enumerate(jobs):
        line.add(job, seq, STEPS)
    return line


def every_lane(line: WaitingLine) -> set[LaneKey]:
    return {key for key, _ in line.lanes}


def drained(line: WaitingLine) -> list[str]:
    """The jobs as they would start, one by one, each charged with its steps."""
    names = []
    while (job := line.first(every_lane(line))) is not None:
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


def test_only_the_lanes_that_can_move_are_looked_at() -> None:
    line = line_of(Job("a", 1.0, 0), Job("b", 2.0, 2))
    movable = {line.lane_of("b")}
    first = line.first(movable)
    assert first is not None
    assert first.job_id == "b"
    assert line.first(set()) is None


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
        job = line.first(every_lane(line))
        assert job is not None
        line.serve(job, job.steps or STEPS)
        if job.tenant in given_steps:
            given_steps[job.tenant] += job.steps or STEPS
        assert abs(given_steps["x"] - given_steps["y"]) <= 2 * 30
