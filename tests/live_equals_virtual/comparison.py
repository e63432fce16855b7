"""One trace through both halves, and every difference between what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

import analysis.simulator
from analysis.records import Record
from analysis.simulator import Arrival, Server, simulate
from policies.commands import AdmitJob, Command, DropJob, RejectJob, StartJob
from policies.dispatcher import Dispatcher
from policies.events import EngineSuspected, Event, JobArrived
from tests.live_equals_virtual import live_half
from tests.live_equals_virtual.live_half import Outcome, serve_live

CLOSE_S = 1e-6
CODES = {"expired": "deadline_exceeded", "hopeless": "deadline_hopeless"}
"""What the service calls the simulator's reasons, where the names differ."""


Log = list[tuple[float, Event, tuple[Command, ...]]]
"""What a dispatcher was told, when, and what it said."""


@dataclass(frozen=True)
class Trial:
    """One trace as served by both: what became of each request, and what was decided."""

    live: list[Outcome]
    virtual: list[Outcome]
    live_log: Log
    virtual_log: Log

    def decided_live(self) -> list[Command]:
        """All admissions, starts and drops of the live dispatcher, in their order."""
        return _decided(self.live_log)


def trial(arrivals: Sequence[Arrival], server: Server) -> Trial:
    """Serve the trace twice."""
    with _logged(live_half) as live_log:
        live = serve_live(arrivals, server)
    with _logged(analysis.simulator) as virtual_log:
        virtual = [_outcome(record) for record in simulate(arrivals, server).records]
    return Trial(live, virtual, live_log, virtual_log)


def differences(found: Trial) -> Iterator[str]:
    """Every request whose outcome differs, and where the two dispatchers' lives part."""
    for index, (live, virtual) in enumerate(zip(found.live, found.virtual, strict=True)):
        unlike = [
            f"{field.name} {getattr(live, field.name)} / {getattr(virtual, field.name)}"
            for field in fields(Outcome)
            if not _alike(getattr(live, field.name), getattr(virtual, field.name))
        ]
        if unlike:
            yield f"job {index}, live / virtual: {', '.join(unlike)}"
    ours, theirs = _decided(found.live_log), _decided(found.virtual_log)
    if len(ours) != len(theirs):
        yield f"{len(ours)} admissions, starts and drops live, {len(theirs)} virtual"
    yield from _first_unlike(found.live_log, found.virtual_log)


def _first_unlike(live_log: Log, virtual_log: Log) -> Iterator[str]:
    """The first event or answer that differs. Events after the last request's end do not count."""
    for number, (live, virtual) in enumerate(zip(live_log, virtual_log, strict=False)):
        same_event = _alike(live[0], virtual[0]) and _untimed(live[1]) == _untimed(virtual[1])
        if not same_event or live[2] != virtual[2]:
            yield f"event {number} and what was said to it: live {live}, virtual {virtual}"
            return


def _untimed(event: Event) -> object:
    """The event without its times, which may differ by roundings."""
    if isinstance(event, JobArrived):
        return type(event), event.job.job_id, event.again
    return replace(event, now_s=0.0)


def _decided(log: Log) -> list[Command]:
    wanted = (AdmitJob, StartJob, RejectJob, DropJob)
    return [c for _, _, commands in log for c in commands if isinstance(c, wanted)]


def _alike(live: Any, virtual: Any) -> bool:
    if isinstance(live, float) and isinstance(virtual, float):
        return abs(live - virtual) <= CLOSE_S
    return bool(live == virtual)


class _logged:
    """Has the dispatchers that a module makes note what they are told and what they say."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._patch = pytest.MonkeyPatch()
        self._log: Log = []

    def __enter__(self) -> Log:
        log, made = self._log, self._module.Dispatcher

        class Logged(made):  # type: ignore[misc, valid-type]
            def handle(self, event: Event) -> tuple[Command, ...]:
                commands: tuple[Command, ...] = super().handle(event)
                # The simulator's engines are down at once; live ones are suspected before.
                if commands or not isinstance(event, EngineSuspected):
                    log.append((event.now_s, event, commands))
                return commands

        assert issubclass(made, Dispatcher)
        self._patch.setattr(self._module, "Dispatcher", Logged)
        return log

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def _outcome(record: Record) -> Outcome:
    if record.status == "cancelled":
        return Outcome("cancelled", record.answered_s)
    if record.status != "ok":
        return Outcome(CODES.get(record.reason, record.reason), record.answered_s)
    return Outcome(
        "ok",
        record.answered_s,
        record.engine_id,
        record.variant,
        record.steps_planned,
        record.rung_admitted,
        record.rung_delivered,
        record.steps_run,
        record.early_exit,
        record.started_s,
        record.finished_s,
    )
