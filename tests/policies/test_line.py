"""The line keeps the order of arrival and knows the earliest deadline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Job
from policies.line import WaitingLine


def test_a_job_taken_up_again_stands_where_its_arrival_puts_it() -> None:
    line = WaitingLine()
    line.add(Job("late", 5.0, 0), 1)
    line.add(Job("early", 2.0, 0), 9)
    assert [job.job_id for job, _ in line] == ["early", "late"]


def test_equal_arrivals_keep_the_order_of_admission() -> None:
    line = WaitingLine()
    line.add(Job("z", 1.0, 0), 0)
    line.add(Job("a", 1.0, 0), 1)
    assert [job.job_id for job, _ in line] == ["z", "a"]


def test_one_job_cannot_stand_in_the_line_twice() -> None:
    line = WaitingLine()
    line.add(Job("a", 1.0, 0), 0)
    with pytest.raises(ValueError, match="already"):
        line.add(Job("a", 1.0, 0), 1)


def test_deadlines_of_jobs_that_left_are_forgotten() -> None:
    line = WaitingLine()
    line.add(Job("a", 1.0, 0, deadline_s=3.0), 0)
    line.add(Job("b", 1.0, 0, deadline_s=4.0), 1)
    line.remove("a")
    assert line.next_deadline_s() == 4.0
    assert [job.job_id for job in line.take_expired(4.0)] == ["b"]
    assert line.next_deadline_s() is None


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(0, 5)), max_size=20))
def test_the_line_agrees_with_plain_sorting(jobs: list[tuple[int, int | None]]) -> None:
    line = WaitingLine()
    for seq, (arrival_s, deadline_s) in enumerate(jobs):
        due_s = None if deadline_s is None else float(deadline_s)
        line.add(Job(str(seq), float(arrival_s), 0, deadline_s=due_s), seq)
    expired = {job.job_id for job in line.take_expired(2.0)}
    assert expired == {str(i) for i, (_, d) in enumerate(jobs) if d is not None and d <= 2}
    order = sorted((a, i) for i, (a, _) in enumerate(jobs) if str(i) not in expired)
    assert [seq for _, seq in line] == [i for _, i in order]
    assert len(line) == len(order)
