"""The engines of a simulation: what reaches them and when, their reports, their failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from analysis.engine_model import EngineModel, Grant, Run
from analysis.ledger import Ledger
from analysis.simulation_inputs import EngineSpec, Failure, Server
from analysis.virtual_time import Agenda
from policies.commands import AnnounceRung, LowerJob, StartJob
from policies.events import EngineDown, EngineProgressed, EngineUp, Event, JobArrived

Word = AnnounceRung | LowerJob


class Hears(Protocol):
    """The dispatcher's side, as the engines and their gateways see it."""

    def tell(self, now_s: float, event: Event) -> None:
        """Hand over an event."""

    def finished(self, now_s: float, spec: EngineSpec, run: Run) -> None:
        """A run has ended."""

    @property
    def rung(self) -> int:
        """The controller's rung, for an engine that comes up."""


class _Engine:
    """One engine. `span` numbers its plans, so that the end of an old one is recognised.

    `busy` from the first delivery until it finds nothing to do.
    """

    __slots__ = ("busy", "busy_before_s", "model", "span", "spec", "up")

    def __init__(self, spec: EngineSpec, model: EngineModel) -> None:
        self.spec = spec
        self.model = model
        self.span = 0
        self.busy = False
        self.up = True
        self.busy_before_s = 0.0  # in former lives


class SimulatedEngines:
    """All engines of one simulation, with the way from the dispatcher to them."""

    def __init__(self, server: Server, agenda: Agenda, ledger: Ledger, dispatcher: Hears) -> None:
        self._server = server
        self._ladder = server.policy.ladder
        self._grant_s = server.overheads.grant_s
        self._announce_s = server.overheads.announce_s
        self._agenda = agenda
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._engines = {s.engine_id: _Engine(s, self._model(s)) for s in server.engines}

    def start(self) -> None:
        """All come up, and failures are put on the agenda."""
        for engine in self._engines.values():
            self._come_up(0.0, engine)
        for failure in self._server.failures:
            self._agenda.at(failure.at_s, self._break_down, failure)

    def busy_s(self) -> dict[str, float]:
        """Seconds that each engine spent in boundaries."""
        return {
            name: engine.busy_before_s + engine.model.busy_s
            for name, engine in self._engines.items()
        }

    # -- from the dispatcher --------------------------------------------------------------------

    def grant(self, now_s: float, grants: Sequence[StartJob]) -> None:
        """Send jobs to the engines that they are granted."""
        self._agenda.after(now_s, self._grant_s, self._take_grants, grants)

    def inform(self, now_s: float, words: Sequence[Word]) -> None:
        """Send rungs, for all running jobs or for one."""
        self._agenda.after(now_s, self._announce_s, self._take_words, words)

    def cancel(self, now_s: float, grant: StartJob) -> None:
        """Nobody waits for this job any more."""
        self._agenda.after(now_s, self._grant_s, self._take_cancel, grant)

    def _take_grants(self, now_s: float, grants: Sequence[StartJob]) -> None:
        for grant in grants:
            live = self._ledger.live.get(grant.job_id)
            if live is None or live.grant is not grant:
                continue  # its client hung up while the grant was sent, or the engine was lost
            engine = self._engines[grant.engine_id]
            engine.model.submit(Grant(live.job, grant.service, live.arrival.template.encodes))
            if engine.busy:
                self._disturb(now_s, engine)
            else:
                # Whatever else is granted at this very moment shall join the same boundary.
                engine.busy = True
                engine.span += 1
                self._agenda.at(now_s, self._begin, (engine, engine.span))

    def _take_words(self, now_s: float, words: Sequence[Word]) -> None:
        for word in words:
            if isinstance(word, AnnounceRung):
                for engine in self._engines.values():
                    self._announce(now_s, engine, word.rung)
            else:
                self._lower(now_s, word)

    def _lower(self, now_s: float, word: LowerJob) -> None:
        live = self._ledger.live.get(word.job_id)
        if live is None or live.grant is None or live.grant.engine_id != word.engine_id:
            return  # it has ended meanwhile, or runs elsewhere
        engine = self._engines[word.engine_id]
        engine.model.lower(word.job_id, word.rung)
        self._disturb(now_s, engine)

    def _take_rung(self, now_s: float, what: tuple[_Engine, int]) -> None:
        self._announce(now_s, *what)

    def _announce(self, now_s: float, engine: _Engine, rung: int) -> None:
        if engine.up and engine.model.announced != rung:
            engine.model.announced = rung
            self._disturb(now_s, engine)

    def _take_cancel(self, now_s: float, grant: StartJob) -> None:
        engine = self._engines[grant.engine_id]
        engine.model.cancel(grant.job_id)
        self._disturb(now_s, engine)

    # -- at work --------------------------------------------------------------------------------

    def _disturb(self, now_s: float, engine: _Engine) -> None:
        """Something has reached a busy engine: it takes it in at its next boundary."""
        end_s = engine.model.interrupt(now_s)
        if end_s is not None:
            engine.span += 1
            self._agenda.at(end_s, self._end, (engine, engine.span))

    def _begin(self, now_s: float, what: tuple[_Engine, int]) -> None:
        engine, span = what
        if span != engine.span:
            return
        end_s = engine.model.begin(now_s)
        if end_s is None:
            engine.busy = False
            return
        engine.span += 1
        self._agenda.at(end_s, self._end, (engine, engine.span))

    def _end(self, now_s: float, what: tuple[_Engine, int]) -> None:
        engine, span = what
        if span != engine.span:
            return
        ended = engine.model.end(now_s)
        if ended:
            # Whoever is granted a place at this very moment joins the boundary that begins now.
            progress = engine.model.progress()
            event = EngineProgressed(now_s, engine.spec.engine_id, progress)
            self._dispatcher.tell(now_s, event)
            for run in ended:
                self._dispatcher.finished(now_s, engine.spec, run)
        self._begin(now_s, what)

    def _model(self, spec: EngineSpec) -> EngineModel:
        server = self._server
        return EngineModel(
            self._ladder,
            server.costs[spec.pool],
            spec.max_batch,
            server.policy.exits.within(spec.hosted(self._ladder)),
            every_boundary=server.costs_vary,
        )

    # -- up and down ----------------------------------------------------------------------------

    def _come_up(self, now_s: float, engine: _Engine) -> None:
        spec = engine.spec
        engine.up = True
        event = EngineUp(
            now_s,
            spec.engine_id,
            spec.max_batch,
            spec.hosted(self._ladder),
            pool=spec.pool,
            price_per_s=spec.price_per_s,
        )
        self._dispatcher.tell(now_s, event)
        rung = self._dispatcher.rung
        if rung > 0:
            self._agenda.after(now_s, self._announce_s, self._take_rung, (engine, rung))

    def _break_down(self, now_s: float, failure: Failure) -> None:
        """As in the live driver: the engine's closing message has all its jobs wait again, and the
        gateways of those that do not start at once ask again."""
        engine = self._engines[failure.engine_id]
        engine.model.break_down(now_s)
        engine.busy_before_s += engine.model.busy_s
        engine.model = self._model(engine.spec)
        engine.span += 1
        engine.busy = engine.up = False
        if failure.back_s < math.inf:
            self._agenda.at(failure.back_s, self._come_up, engine)
        lost = self._ledger.granted_on(failure.engine_id)
        for live in lost:
            live.lost += 1
            self._ledger.place_left(live)
        self._dispatcher.tell(now_s, EngineDown(now_s, failure.engine_id))
        for live in lost:
            if live.grant is None and live.job.job_id in self._ledger.live:
                self._dispatcher.tell(now_s, JobArrived(now_s, live.job, again=True))
