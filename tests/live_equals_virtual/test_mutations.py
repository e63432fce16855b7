"""Each of these small mistakes in either half makes the comparison fail.

A comparison that no mistake can fail would show nothing. The mistakes are of the kind that are easily
made: something forgotten, told in another order, or a little late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

import analysis.simulator
import serve.driver
from analysis.engine_model import EngineModel
from analysis.simulated_engines import SimulatedEngines
from pipelines.desk import Desk, Notes
from pipelines.running import RunningJob
from policies.exits import changed
from serve.driver import QueueDriver
from serve.host import EngineHost
from serve.messages import Acknowledged, Control, Heartbeat
from tests.live_equals_virtual.comparison import differences
from tests.live_equals_virtual.test_policies import Plan

pytestmark = pytest.mark.slow

Mistake = Callable[[pytest.MonkeyPatch], None]

PLAIN = Plan("hysteresis", "replan", "fifo", "shortest_queue", "bursts", 1)
IN_FLIGHT = Plan("hysteresis", "replan", "fifo", "shortest_queue", "poisson", 1)
TWO = Plan("hysteresis", "replan", "fifo", "least_completion", "poisson", 2)
DEADLINES = Plan("deadline_aware", "replan", "deadline", "least_completion", "poisson", 2)
OVERTAKEN = Plan("deadline_aware", "hand_over", "fair", "best_quality", "bursts", 1, True)
BUDGET = Plan("quality_budget", "finish", "fair", "shortest_queue", "bursts", 1)
HANDS_OVER = Plan("hysteresis", "hand_over", "fifo", "shortest_queue", "bursts", 1)
DRAWN = Plan("split", "keep", "fifo", "two_choices", "poisson", 2)


# -- in the live half ---------------------------------------------------------------------------


def never_ticks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueueDriver, "_hold_tick", lambda self: None)


def ticks_a_hold_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(serve.driver, "HOLD_MARGIN_S", 0.4)


def lets_deadlines_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueueDriver, "_deadline_tick", lambda self: None)


def keeps_the_tick_after_an_event(patch: pytest.MonkeyPatch) -> None:
    arm = QueueDriver._arm_timers

    def arm_without_hold(self: QueueDriver) -> None:
        kept, self._hold_timer = self._hold_timer, None
        arm(self)
        if kept is not None and not kept.cancelled() and self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = kept

    patch.setattr(QueueDriver, "_arm_timers", arm_without_hold)


def hears_rungs_a_boundary_late(patch: pytest.MonkeyPatch) -> None:
    take = Desk.take_notes

    def take_late(self: Desk) -> Notes:
        notes = take(self)
        before = self.__dict__.get("announced_before", 0)
        self.__dict__["announced_before"] = notes.announced
        return replace(notes, announced=before)

    patch.setattr(Desk, "take_notes", take_late)


def tells_progress_after_the_endings(patch: pytest.MonkeyPatch) -> None:
    heartbeat = QueueDriver.heartbeat

    def endings_first(self: QueueDriver, beat: Heartbeat) -> Acknowledged:
        heartbeat(self, replace(beat, progress=None))
        return heartbeat(self, replace(beat, ended=()))

    patch.setattr(QueueDriver, "heartbeat", endings_first)


def tells_no_progress(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineHost, "take_progress", lambda self: None)


def tells_endings_in_reverse(patch: pytest.MonkeyPatch) -> None:
    heartbeat = QueueDriver.heartbeat
    patch.setattr(
        QueueDriver,
        "heartbeat",
        lambda self, beat: heartbeat(self, replace(beat, ended=beat.ended[::-1])),
    )


def tells_endings_by_row(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("pipelines.batches._by_age", lambda bank: list(bank.jobs))


def tells_the_first_rung_as_delivered(patch: pytest.MonkeyPatch) -> None:
    facts = EngineHost._facts

    def as_granted(self: EngineHost, hosted: Any, made: Any) -> Any:
        return facts(self, hosted, replace(made, rung_delivered=made.rung_admitted))

    patch.setattr(EngineHost, "_facts", as_granted)


def loses_lowerings(patch: pytest.MonkeyPatch) -> None:
    follow = EngineHost.follow
    patch.setattr(
        EngineHost, "follow", lambda self, control: follow(self, replace(control, lowered={}))
    )


def loses_lowerings_that_come_first(patch: pytest.MonkeyPatch) -> None:
    follow = EngineHost.follow

    def follow_for_who_is_here(self: EngineHost, control: Control) -> None:
        here = {grant: rung for grant, rung in control.lowered.items() if grant in self._jobs}
        follow(self, replace(control, lowered=here))

    patch.setattr(EngineHost, "follow", follow_for_who_is_here)


def hears_rungs_late(patch: pytest.MonkeyPatch) -> None:
    controls = QueueDriver.controls

    async def controls_later(self: QueueDriver, engine_id: str) -> AsyncGenerator[Control]:
        async for control in controls(self, engine_id):
            await asyncio.sleep(2.0)
            yield control

    patch.setattr(QueueDriver, "controls", controls_later)


def cancelled_jobs_keep_their_slots(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueueDriver, "_abandon", lambda self, lease: None)


def cancelled_jobs_keep_their_rows(patch: pytest.MonkeyPatch) -> None:
    cancel = Desk.cancel

    def cancel_and_hold(self: Desk, job_id: str) -> None:
        held = job_id in self._placed and job_id in self._running
        cancel(self, job_id)
        if held:
            self._placed.add(job_id)

    patch.setattr(Desk, "cancel", cancel_and_hold)


def newcomers_come_in_reverse(patch: pytest.MonkeyPatch) -> None:
    take = Desk.take_newcomers
    patch.setattr(Desk, "take_newcomers", lambda self: take(self)[::-1])


def never_drops_guidance(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunningJob, "guidance_due", property(lambda self: self.guidance_scale > 1))


# -- in the simulator ---------------------------------------------------------------------------


def virtual_ends_in_reverse(patch: pytest.MonkeyPatch) -> None:
    end = EngineModel.end
    patch.setattr(EngineModel, "end", lambda self, now_s: end(self, now_s)[::-1])


def virtual_progress_is_not_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineModel, "progress", lambda self: ())


def virtual_ticks_a_hold_late(patch: pytest.MonkeyPatch) -> None:
    init = analysis.simulator._Simulation.__init__

    def later(self: Any, arrivals: Any, server: Any, on_answered: Any) -> None:
        init(self, arrivals, replace(server, hold_s=2 * server.hold_s), on_answered)

    patch.setattr(analysis.simulator._Simulation, "__init__", later)


def virtual_deadlines_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(analysis.simulator._Simulation, "_deadline_tick", lambda self, now_s: None)


def virtual_rungs_come_late(patch: pytest.MonkeyPatch) -> None:
    lag = property(lambda self: 0.05)
    patch.setattr(analysis.simulator.Overheads, "announce_s", lag)


def virtual_lowerings_are_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EngineModel, "lower", lambda self, job_id, rung: None)


def virtual_exits_ignore_the_floor(patch: pytest.MonkeyPatch) -> None:
    def anywhere(*args: Any, floor: int, **options: Any) -> Any:
        return changed(*args, floor=4, **options)

    patch.setattr("analysis.engine_model.changed", anywhere)


def virtual_hand_overs_read_no_text(patch: pytest.MonkeyPatch) -> None:
    changes = EngineModel._changes

    def unread(self: EngineModel, run: Any) -> bool:
        happened = changes(self, run)
        if happened and run.early_exit == "hand_over":
            run.encodes = False
        return happened

    patch.setattr(EngineModel, "_changes", unread)


def virtual_hang_ups_keep_the_engine_busy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedEngines, "cancel", lambda self, now_s, grant: None)


def virtual_draws_are_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(analysis.simulator, "Random", lambda seed: Random(seed + 1))


LIVE: list[tuple[Mistake, Plan]] = [
    (never_ticks, PLAIN),
    (ticks_a_hold_late, PLAIN),
    (keeps_the_tick_after_an_event, PLAIN),
    (lets_deadlines_pass, PLAIN),
    (hears_rungs_a_boundary_late, IN_FLIGHT),
    (hears_rungs_late, PLAIN),
    (tells_progress_after_the_endings, TWO),
    (tells_no_progress, TWO),
    (tells_endings_in_reverse, BUDGET),
    (tells_endings_by_row, BUDGET),
    (tells_the_first_rung_as_delivered, BUDGET),
    (loses_lowerings, DEADLINES),
    (loses_lowerings_that_come_first, OVERTAKEN),
    (cancelled_jobs_keep_their_slots, PLAIN),
    (cancelled_jobs_keep_their_rows, PLAIN),
    (newcomers_come_in_reverse, PLAIN),
    (never_drops_guidance, PLAIN),
]
VIRTUAL: list[tuple[Mistake, Plan]] = [
    (virtual_ends_in_reverse, BUDGET),
    (virtual_progress_is_not_told, TWO),
    (virtual_ticks_a_hold_late, PLAIN),
    (virtual_deadlines_pass, PLAIN),
    (virtual_rungs_come_late, IN_FLIGHT),
    (virtual_lowerings_are_lost, DEADLINES),
    (virtual_exits_ignore_the_floor, PLAIN),
    (virtual_hand_overs_read_no_text, HANDS_OVER),
    (virtual_hang_ups_keep_the_engine_busy, PLAIN),
    (virtual_draws_are_others, DRAWN),
]


@pytest.mark.parametrize(
    ("mistake", "plan"), LIVE + VIRTUAL, ids=[mistake.__name__ for mistake, _ in LIVE + VIRTUAL]
)
def test_a_mistake_in_either_half_is_found(
    mistake: Mistake, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert list(differences(plan.run())) != []


@pytest.mark.parametrize("plan", dict.fromkeys(plan for _, plan in LIVE + VIRTUAL), ids=str)
def test_without_a_mistake_there_is_nothing_to_find(plan: Plan) -> None:
    assert list(differences(plan.run())) == []
