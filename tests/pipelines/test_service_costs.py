"""The sums that an engine keeps of what its work takes in service."""

from __future__ import annotations

import json
import math

import pytest

from pipelines.service_costs import CostSums, ServiceCosts, Sums

SIZE = (64, 64)


class Clock:
    """Tells the time that the test gives it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Worker:
    """An engine's thread: works for given seconds and tells the recorder."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.costs = ServiceCosts(self.clock)

    def passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def encodes(self, jobs: int, seconds: float) -> None:
        began_s = self.clock()
        self.passes(seconds)
        self.costs.encoded("full", jobs, began_s)

    def steps(self, jobs: int, seconds: float, guided: int | None = None) -> None:
        began_s = self.clock()
        self.passes(seconds)
        self.costs.stepped("full", SIZE, jobs, jobs if guided is None else guided, began_s)

    def decodes(self, pictures: int, seconds: float) -> None:
        began_s = self.clock()
        self.passes(seconds)
        self.costs.decoded("full", SIZE, pictures, began_s)


def test_sums_are_kept_by_what_was_done() -> None:
    worker = Worker()
    worker.encodes(2, 0.25)
    worker.steps(3, 0.5, guided=1)
    worker.steps(3, 1.5, guided=1)
    worker.decodes(1, 0.125)
    found = worker.costs.snapshot()
    assert found.encode == {("full", 2): (1, 0.25, 0.0625)}
    assert found.step == {("full", 64, 64, 3, 1): (2, 2.0, 2.5)}
    assert found.decode == {("full", 64, 64, 1): (1, 0.125, 0.015625)}
    assert found.rest == {}


def test_a_boundary_and_the_way_to_the_next_are_accounted_for_to_the_last_second() -> None:
    worker = Worker()
    worker.costs.begin()
    worker.passes(0.5)
    worker.encodes(2, 1.0)
    worker.steps(2, 2.0)
    worker.decodes(1, 4.0)
    worker.costs.end(goes_on=True)
    worker.passes(0.25)
    worker.costs.begin()
    worker.steps(1, 2.0)
    worker.passes(0.125)
    worker.costs.end(goes_on=False)
    found = worker.costs.snapshot()
    assert found.rest == {(1, 2, 1): (1, 0.75, 0.5625), (1, 0, 0): (1, 0.125, 0.015625)}
    assert found.total_s == worker.clock() - 100.0


@pytest.mark.parametrize("way", ["end", "idle"])
def test_idle_time_counts_for_nothing(way: str) -> None:
    worker = Worker()
    worker.costs.begin()
    worker.steps(1, 2.0)
    if way == "idle":
        worker.costs.end(goes_on=True)
        worker.costs.idle()
    else:
        worker.costs.end(goes_on=False)
    worker.passes(50.0)
    worker.costs.idle()
    worker.costs.begin()
    worker.steps(1, 2.0)
    worker.costs.end(goes_on=False)
    assert worker.costs.snapshot().total_s == 4.0


def test_two_threads_have_no_rest() -> None:
    worker = Worker()
    worker.encodes(1, 1.0)
    worker.passes(5.0)
    worker.steps(1, 1.0)
    assert worker.costs.snapshot().rest == {}


def test_two_snapshots_give_the_window_between_them() -> None:
    worker = Worker()
    worker.steps(1, 2.0)
    worker.steps(2, 3.0)
    before = worker.costs.snapshot()
    worker.steps(1, 4.0)
    worker.decodes(1, 1.0)
    window = worker.costs.snapshot().since(before)
    assert window.step == {("full", 64, 64, 1, 1): (1, 4.0, 16.0)}
    assert window.decode == {("full", 64, 64, 1): (1, 1.0, 1.0)}


def test_a_window_over_a_new_start_is_refused() -> None:
    worker = Worker()
    worker.steps(1, 2.0)
    with pytest.raises(ValueError, match="started anew"):
        ServiceCosts().snapshot().since(worker.costs.snapshot())


def test_windows_add_up() -> None:
    one, other = Worker(), Worker()
    one.steps(1, 2.0)
    other.steps(1, 4.0)
    other.steps(2, 1.0)
    both = one.costs.snapshot().plus(other.costs.snapshot())
    assert both.step == {
        ("full", 64, 64, 1, 1): (2, 6.0, 20.0),
        ("full", 64, 64, 2, 2): (1, 1.0, 1.0),
    }


def test_sums_survive_json() -> None:
    worker = Worker()
    worker.costs.begin()
    worker.encodes(2, 0.25)
    worker.steps(3, 0.5)
    worker.decodes(1, 0.125)
    worker.costs.end(goes_on=False)
    found = worker.costs.snapshot()
    assert CostSums.from_plain(json.loads(json.dumps(found.to_plain()))) == found


@pytest.mark.parametrize("content", [{}, {"encode": 3}, {"encode": [["full", "many"]]}])
def test_what_holds_no_sums_is_refused(content: dict[str, object]) -> None:
    empty = {"step": [], "decode": [], "rest": []}
    with pytest.raises(ValueError, match="no sums of costs"):
        CostSums.from_plain({**empty, **content} if content else {})  # type: ignore[dict-item]


def test_a_measurement_holds_the_mean_and_a_spread_about_it() -> None:
    times_s = [1.0, 2.0, 3.0, 6.0]
    sums = Sums(len(times_s), sum(times_s), sum(time_s**2 for time_s in times_s))
    found = sums.measurement()
    assert found.median_s == 3.0
    assert found.p90_s == pytest.approx(3.0 + 1.2816 * math.sqrt(3.5))
    assert found.p10_s == pytest.approx(3.0 - 1.2816 * math.sqrt(3.5))
    assert found.repetitions == 4


def test_a_snapshot_is_not_touched_by_what_comes_later() -> None:
    worker = Worker()
    worker.steps(1, 2.0)
    before = worker.costs.snapshot()
    worker.steps(1, 2.0)
    assert before.step[("full", 64, 64, 1, 1)].calls == 1
