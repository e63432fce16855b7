"""The service in virtual time: the live policies, and engines that follow a table of costs.

`policies.Dispatcher` is driven by events in virtual time, exactly as the live driver does by the
wall clock. An engine does at each step boundary what the live one does: take in what was granted
(encode), drop what was cancelled, apply the announced rung to what runs (re-plan, finish now, hand
over), run one batched step per variant with running jobs, decode what is due, report. Boundaries in
which nothing changes are calculated together (`analysis.engine_model`). Nothing here is random but
what the policy draws: arrivals are data, and a cost table that draws its costs is the caller's.

All times are seconds of virtual time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from analysis.engine_model import Run
from analysis.ledger import Ledger
from analysis.records import Result, TimePoint
from analysis.simulated_engines import SimulatedEngines, Word
from analysis.simulation_inputs import (
    Arrival,
    EngineSpec,
    Failure,
    Overheads,
    Server,
    Template,
)
from analysis.virtual_time import Agenda, Alarm
from policies.commands import (
    AdmitJob,
    AnnounceRung,
    Command,
    DropJob,
    LowerJob,
    RedoJob,
    RejectJob,
    StartJob,
)
from policies.dispatcher import Dispatcher
from policies.events import Event, JobArrived, JobCancelled, JobFinished, Ticked

__all__ = [
    "Arrival",
    "EngineSpec",
    "Failure",
    "Overheads",
    "Server",
    "Template",
    "simulate",
]

TICK_MIN_S = 0.1
"""The live driver asks the controller again after its hold, or after this if that is longer."""

TICK_MARGIN_S = 0.001
"""And so much later, lest a rounding of the clock make it too early."""


def simulate(
    arrivals: Sequence[Arrival],
    server: Server,
    on_answered: Callable[[int], None] = lambda answered: None,
) -> Result:
    """Serve these arrivals (in order of time) until every one is answered.

    `on_answered` is told now and then how many are. ValueError if their times fall, or if jobs stay
    in line for a variant that no engine hosts.
    """
    return _Simulation(arrivals, server, on_answered).run()


class _Simulation:
    """One run: the driver of the dispatcher, as `serve.driver` is the live one."""

    def __init__(
        self, arrivals: Sequence[Arrival], server: Server, on_answered: Callable[[int], None]
    ) -> None:
        self._arrivals = arrivals
        self._network_s = server.overheads.network_s
        self._dispatcher = Dispatcher(
            server.policy,
            costs=server.costs,
            draws=Random(server.seed),
            rate_window_s=server.rate_window_s,
        )
        self._agenda = Agenda()
        self._ledger = Ledger(arrivals, server.policy.ladder, server.overheads, on_answered)
        self._engines = SimulatedEngines(server, self._agenda, self._ledger, self)
        self._due = 0  # arrivals that have been put on the agenda
        self._timeline: list[TimePoint] = []
        self._last_point = (-1, -1, -1)
        self._hold_s = max(server.hold_s, TICK_MIN_S) + TICK_MARGIN_S
        self._deadline = Alarm(self._agenda, self._deadline_tick)
        self._hold = Alarm(self._agenda, self._hold_tick)

    def run(self) -> Result:
        self._engines.start()
        self._await_next_arrival()
        self._agenda.run(self._goes_on)
        counts, busy_s = self._dispatcher.counts(), self._engines.busy_s()
        return Result(self._ledger.records(), tuple(self._timeline), counts, busy_s)

    def _goes_on(self) -> bool:
        return bool(self._ledger.live) or self._awaits_arrival

    # -- requests -------------------------------------------------------------------------------

    def _await_next_arrival(self) -> None:
        index = self._due
        self._awaits_arrival = index < len(self._arrivals)
        if not self._awaits_arrival:
            return
        self._due += 1
        scheduled_s = self._arrivals[index].scheduled_s
        if index > 0 and scheduled_s < self._arrivals[index - 1].scheduled_s:
            raise ValueError(f"arrival {index} comes before arrival {index - 1}; sort them by time")
        self._agenda.at(scheduled_s + self._network_s, self._arrives, index)

    def _arrives(self, now_s: float, index: int) -> None:
        live = self._ledger.take_in(index, now_s)
        after_s = live.arrival.template.hang_up_after_s
        if after_s is not None:
            leaves_s = live.arrival.scheduled_s + after_s
            self._agenda.at(max(now_s, leaves_s), self._hangs_up, live.job.job_id)
        self._await_next_arrival()
        self.tell(now_s, JobArrived(now_s, live.job))

    def _hangs_up(self, now_s: float, job_id: str) -> None:
        live = self._ledger.live.get(job_id)
        if live is None:
            return
        if live.grant is not None:
            # Sent first: the place is given away at once, and the newcomer must find it free.
            self._engines.cancel(now_s, live.grant)
            self._ledger.place_left(live)
        self._ledger.refuse(now_s, job_id, "cancelled")
        self.tell(now_s, JobCancelled(now_s, job_id))

    # -- the dispatcher -------------------------------------------------------------------------

    @property
    def rung(self) -> int:
        """The controller's rung."""
        return self._dispatcher.rung

    def tell(self, now_s: float, event: Event) -> None:
        """Hand an event to the dispatcher and do what it says."""
        commands = self._dispatcher.handle(event)
        if commands:
            self._carry_out(now_s, commands)
        self._note(now_s)
        self._arm_alarms(now_s)

    def _carry_out(self, now_s: float, commands: Sequence[Command]) -> None:
        grants: list[StartJob] = []
        words: list[Word] = []
        for command in commands:
            if isinstance(command, StartJob):
                self._ledger.granted(command)
                grants.append(command)
            elif isinstance(command, AdmitJob):
                pass  # it waits for its grant
            elif isinstance(command, (AnnounceRung, LowerJob)):
                words.append(command)
            elif isinstance(command, RejectJob):
                self._ledger.refuse(now_s, command.job_id, "rejected", command.reason)
            elif isinstance(command, DropJob):
                self._ledger.refuse(now_s, command.job_id, "expired", command.reason)
            elif isinstance(command, RedoJob):
                self._ledger.live[command.job_id].redone += 1
        if grants:
            self._engines.grant(now_s, grants)
        if words:
            self._engines.inform(now_s, words)

    def finished(self, now_s: float, spec: EngineSpec, run: Run) -> None:
        """A run has ended; unless a cascade wants it done again, its picture is sent."""
        job_id, done, rung = run.job.job_id, run.done, run.service.rung
        live = self._ledger.live.get(job_id)
        if live is None:
            return  # its client hung up during the last step, and the dispatcher knows
        self._ledger.ran(live, spec, run)
        redone = live.redone
        self.tell(now_s, JobFinished(now_s, job_id, rung, done, live.arrival.confidence))
        if live.redone == redone:
            self._ledger.serve(live, spec, run)

    def _note(self, now_s: float) -> None:
        dispatcher = self._dispatcher
        point = (dispatcher.waiting, self._ledger.running, dispatcher.rung)
        if point != self._last_point:
            self._last_point = point
            self._timeline.append(TimePoint(now_s, *point))

    # -- timers, as the live driver keeps them --------------------------------------------------

    def _arm_alarms(self, now_s: float) -> None:
        dispatcher = self._dispatcher
        deadline_s = dispatcher.next_deadline_s()
        if deadline_s is not None:
            self._deadline.set(max(now_s, deadline_s))
        elif self._deadline.is_set:
            self._deadline.set(math.inf)
        if dispatcher.rung > 0:
            self._hold.set(now_s + self._hold_s)
        elif self._hold.is_set:
            self._hold.set(math.inf)

    def _deadline_tick(self, now_s: float) -> None:
        self.tell(now_s, Ticked(now_s))

    def _hold_tick(self, now_s: float) -> None:
        """Ask whether quality may rise; if not, only another event can change that."""
        before = self._dispatcher.rung
        self.tell(now_s, Ticked(now_s))
        if self._dispatcher.rung == before:
            self._hold.set(math.inf)
