"""Locust's side: one user per load process replays the schedule, a shape ends the run.

Locust's own pacing makes closed loops (a user waits for its answer before it waits for its next
turn). Here Locust gives what it is good at (processes, web page, statistics, command line), and the
user is only the place where a Player runs. The number of users is not a setting: the shape asks for
one per load process.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import gevent  # type: ignore[import-untyped]
import numpy as np
from gevent.lock import BoundedSemaphore  # type: ignore[import-untyped]
from locust import LoadTestShape, User, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import EventHook, Events
from locust.exception import StopUser
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.arrivals import thin
from loadgen.collector import Collector, origin
from loadgen.config import (
    ConfigError,
    RunConfig,
    add_options,
    check_out,
    config_from_options,
)
from loadgen.exchange import IMAGES_PATH, resolve, server_problem
from loadgen.plan import make_plan
from loadgen.player import Player
from loadgen.records import Answer, RequestRecord

logger = logging.getLogger(__name__)

BEGIN, STOP, RECORDS, DONE = "sluice_begin", "sluice_stop", "sluice_records", "sluice_done"
PROGRESS = "sluice-progress"
# Time for worker processes to make their plan and spawn their user before the first instant.
LEAD_S = 1.0
# After the last possible timeout, how long to wait for a worker's report before giving it up.
REPORT_GRACE_S = 60.0
# Records are sent in parts: well below what one message may hold, large enough to be few.
PART_BYTES = 4_000_000


class AnswerError(Exception):
    """A request that got no picture; its text is the line in Locust's list of failures."""


class Session:
    """One Locust process's share of the runs: on the master it collects, on a worker it plays."""

    def __init__(self, environment: Environment, runner: Runner) -> None:
        self.environment = environment
        self.runner = runner
        self.collector: Collector | None = None
        self.problem: str | None = None
        self._client_ids: list[str] = []
        self._player: Player | None = None
        self._position = 0
        self._reporting: Any = None
        # Locust may stop a run from two places at once; the folder is written once.
        self._finishing = BoundedSemaphore(1)
        if isinstance(runner, WorkerRunner):
            runner.register_message(BEGIN, self.on_begin)
            runner.register_message(STOP, self.on_stop)
        else:
            runner.register_message(RECORDS, self.on_records)
            runner.register_message(DONE, self.on_done)

    # -- on the process that collects

    def config(self) -> RunConfig:
        """The options as they stand now (the web page may have changed them)."""
        options = self.environment.parsed_options
        assert options is not None  # Locust's command line always parses options
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return config_from_options(options, self.environment.host, f"runs/{stamp}")

    def begin(self) -> None:
        """Makes the plan and hands every load process its part. Raises ConfigError."""
        config = self.config()
        plan = make_plan(config)
        problem = server_problem(config.url)
        if problem is not None:
            raise ConfigError(problem)
        folder = check_out(config.out)
        clients = self._client_ids = self._clients()
        made_with = origin(Path(config.prompts))
        start_unix = time.time() + LEAD_S
        self.collector = Collector(folder, plan, start_unix, max(1, len(clients)), made_with)
        for position, client_id in enumerate(clients or [None]):
            part = {
                "config": config.as_dict(),
                "start_unix": start_unix,
                "position": position,
                "workers": self.collector.workers,
            }
            if client_id is None:
                self.prepare(part)
            else:
                self.runner.send_message(BEGIN, part, client_id=client_id)

    def _clients(self) -> list[str]:
        if not isinstance(self.runner, MasterRunner):
            return []
        clients = self.runner.clients
        return [c.id for c in clients.ready + clients.spawning + clients.running]

    def on_test_start(self, **_: Any) -> None:
        """Starts a run; a mistake in the options ends it at the next tick, told in the log."""
        if isinstance(self.runner, WorkerRunner):
            return
        try:
            self.begin()
        except ConfigError as error:
            self.problem = str(error)
            self.environment.process_exit_code = 2
            logger.error("%s", error)

    def on_records(self, environment: Environment, msg: Any) -> None:
        """Takes a part of a load process's records."""
        if self.collector is not None:
            self.collector.add(
                (RequestRecord(**entry["record"]), entry["picture"]) for entry in msg.data
            )

    def on_done(self, environment: Environment, msg: Any) -> None:
        """Notes that a load process has reported everything."""
        if self.collector is not None:
            self.collector.done(msg.data["position"], msg.data["problem"])

    def on_test_stopping(self, **_: Any) -> None:
        """Before a distributed run is cut short: asks the workers for what they have."""
        collector = self.collector
        if not isinstance(self.runner, MasterRunner) or collector is None:
            return
        if self._awaited(collector):
            self.runner.send_message(STOP)
            with gevent.Timeout(REPORT_GRACE_S, False):
                while self._awaited(collector):
                    gevent.sleep(0.05)

    def on_test_stop(self, **_: Any) -> None:
        """Writes the run's folder, whether it came to its end or was cut short."""
        if self._reporting is not None:
            self._reporting.join()
        with self._finishing:
            collector, self.collector, self.problem = self.collector, None, None
            if collector is None:
                return
            verdict = collector.finish()
            self.environment.process_exit_code = 0 if verdict.valid else 1
        for reason in verdict.reasons:
            logger.error("run invalid: %s", reason)

    def _awaited(self, collector: Collector) -> list[int]:
        """The load processes that have not reported yet and still can."""
        if not isinstance(self.runner, MasterRunner):
            return collector.pending
        alive = set(self._clients())
        return [position for position in collector.pending if self._client_ids[position] in alive]

    def over(self) -> bool:
        """True when nothing more is to come of this run."""
        if self.problem is not None:
            return True
        if self.collector is None:
            return False
        plan = self.collector.plan
        last_s = float(plan.schedule.times_s[-1]) + plan.config.timeout_s + REPORT_GRACE_S
        late = time.time() > self.collector.start_unix + last_s
        return late or not self._awaited(self.collector)

    def users(self) -> int:
        """One user per load process; fixed once a run has begun."""
        if self.collector is not None:
            return self.collector.workers
        count = getattr(self.runner, "worker_count", 1)
        return max(1, int(count))

    # -- on a process that plays

    def on_begin(self, environment: Environment, msg: Any) -> None:
        """A worker's part of a run, from the master."""
        try:
            self.prepare(msg.data)
        except (ConfigError, OSError) as error:
            self._report_done(msg.data["position"], f"a load process could not start: {error}")

    def on_stop(self, environment: Environment, msg: Any) -> None:
        """The run is cut short: the user's end reports what there is."""
        gevent.spawn(self.runner.user_greenlets.kill)

    def prepare(self, part: dict[str, Any]) -> None:
        """Makes the plan again from its seed and takes this process's share of it."""
        config = RunConfig(**part["config"])
        plan = make_plan(config)
        owners = thin(len(plan), part["workers"], config.seed)
        mine = np.flatnonzero(owners == part["position"]).tolist()
        try:
            target = resolve(config.url)
        except OSError as error:
            raise ConfigError(f"no server answers at {config.url} ({error}).") from error
        self._position = part["position"]
        self._player = Player(plan, mine, part["start_unix"], target, self._count)

    def _count(self, answer: Answer, elapsed_s: float, body_bytes: int) -> None:
        """Feeds Locust's statistics; its response time is the latency from scheduled."""
        error: AnswerError | None = None
        if answer.error is not None:
            error = AnswerError(answer.error)
        elif answer.status != 200:
            error = AnswerError(f"HTTP {answer.status}")
        self.environment.events.request.fire(
            request_type="POST",
            name=IMAGES_PATH,
            response_time=elapsed_s * 1000.0,
            response_length=body_bytes,
            exception=error,
            context={},
        )

    def play(self) -> None:
        """Plays this process's part and reports it, also when it is killed half-way.

        A second user in the same process finds the part taken and does nothing.
        """
        player, self._player = self._player, None
        if player is None:
            return
        try:
            player.play()
        finally:
            # A greenlet of its own, so that a second kill of this one cannot cut the report short.
            self._reporting = gevent.spawn(self._report, player)

    def _report(self, player: Player) -> None:
        for entries in _parts(player.results()):
            self.runner.send_message(RECORDS, entries)
        player.close()
        self._report_done(self._position, None)

    def _report_done(self, position: int, problem: str | None) -> None:
        self.runner.send_message(DONE, {"position": position, "problem": problem})


def _parts(
    results: Iterator[tuple[RequestRecord, bytes | None]],
) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for record, picture in results:
        part.append({"record": record.as_dict(), "picture": picture})
        size += 1000 + len(picture or b"")
        if size > PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


class OpenLoopUser(User):
    """The one user of a load process: plays its part of the schedule, then ends."""

    session: ClassVar[Session | None] = None

    @task
    def play(self) -> None:
        """Runs the whole schedule as one task."""
        if self.session is not None:
            self.session.play()
        raise StopUser


class UntilAnswered(LoadTestShape):
    """One user per load process, until every request is answered or given up."""

    session: ClassVar[Session | None] = None

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust about once a second."""
        session = self.session
        if session is None:
            return 1, 1.0
        options = session.environment.parsed_options
        if session.collector is not None and getattr(options, "progress_lines", False):
            now_s = time.time() - session.collector.start_unix
            answered = session.runner.stats.total.num_requests
            print(f"{PROGRESS} {now_s:.1f} {answered} {len(session.collector.plan)}", flush=True)
        return None if session.over() else (session.users(), 100.0)


def _listen(hook: EventHook, listener: Callable[..., None]) -> None:
    hook.add_listener(listener)


def _add_options(parser: LocustArgumentParser) -> None:
    add_options(parser)
    parser.add_argument(
        "--progress-lines",
        action="store_true",
        default=False,
        include_in_web_ui=False,
        help="print one line a second for a program that watches this one",
    )


def _start_session(environment: Environment, runner: Runner, **_: Any) -> None:
    session = Session(environment, runner)
    OpenLoopUser.session = UntilAnswered.session = session
    options = environment.parsed_options
    if options is not None and options.headless and not isinstance(runner, WorkerRunner):
        _refuse_bad_options(session)
        # Locust listens to SIGTERM only when a shape has ended: until then it would lose the run.
        gevent.signal_handler(signal.SIGTERM, _end_shape, runner)
    _listen(environment.events.test_start, session.on_test_start)
    _listen(environment.events.test_stopping, session.on_test_stopping)
    _listen(environment.events.test_stop, session.on_test_stop)


def _end_shape(runner: Runner) -> None:
    """Locust's main loop waits for the shape and then stops the run in its usual way."""
    if runner.shape_greenlet is not None:
        runner.shape_greenlet.kill(block=False)


def _refuse_bad_options(session: Session) -> None:
    """Without a web page nobody can correct the options: one sentence and exit status 2."""
    try:
        config = session.config()
        make_plan(config)
        problem = server_problem(config.url)
        if problem is not None:
            raise ConfigError(problem)
        check_out(config.out)
    except ConfigError as error:
        print(error, file=sys.stderr)
        session.runner.quit()
        sys.exit(2)


def install(events: Events) -> None:
    """Hooks the load generator into Locust's events; the locustfile calls this once."""
    _listen(events.init_command_line_parser, _add_options)
    _listen(events.init, _start_session)
