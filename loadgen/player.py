"""Plays a schedule open-loop: sleeps to each absolute instant and spawns one greenlet per request.

Nothing that the server does changes when the next request goes out. A late request is sent at once
and its lag recorded; none is dropped and none is moved. Answers' bodies go to a spool file from a
thread and are read only when the last request has been sent and answered, so that parsing and
writing pictures never delay sending.
"""

from __future__ import annotations

import gc
import http.client
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import IO

import gevent  # type: ignore[import-untyped]
from gevent.pool import Group  # type: ignore[import-untyped]
from gevent.threadpool import ThreadPool  # type: ignore[import-untyped]

from loadgen.exchange import Target, post
from loadgen.plan import Plan
from loadgen.records import (
    CONNECTION,
    INTERRUPTED,
    TIMEOUT,
    Answer,
    RequestRecord,
    read_answer,
)

# The event loop's timers are good to about a millisecond: the last bit is spent yielding instead.
SPIN_S = 0.0015

Spot = tuple[int, int]
OnAnswer = Callable[[Answer, float, int], None]


class Spool:
    """A temporary file of answer bodies: appended during the run, read after it."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._end = 0

    def append(self, body: bytes) -> Spot:
        """Appends and returns where: (offset, length). One caller at a time."""
        spot = (self._end, len(body))
        self._file.write(body)
        self._end += len(body)
        return spot

    def read(self, spot: Spot) -> bytes:
        """The body at ``spot``."""
        self._file.seek(spot[0])
        return self._file.read(spot[1])

    def close(self) -> None:
        """Deletes the file."""
        self._file.close()


class Player:
    """Sends the requests ``mine`` of a plan, each at its instant after ``start_unix``.

    ``on_answer(answer, elapsed_s, body_bytes)`` is called for every request as it ends, with the
    time since its scheduled instant. One use only.
    """

    def __init__(
        self,
        plan: Plan,
        mine: Sequence[int],
        start_unix: float,
        target: Target,
        on_answer: OnAnswer,
    ) -> None:
        self._plan = plan
        self._mine = mine
        self._start_unix = start_unix
        # The wall clock is read once: a step of it in mid-run must not move an instant.
        self._start_monotonic = time.monotonic() + (start_unix - time.time())
        self._target = target
        self._on_answer = on_answer
        self._timeout_s = plan.config.timeout_s
        self._out = Group()
        self._answers: dict[int, Answer] = {}
        self._spots: dict[int, Spot] = {}
        self._spool = Spool()
        # One thread: appends stay in order and never run in parallel.
        self._writer = ThreadPool(1)

    def now_s(self) -> float:
        """Seconds after the run's start (negative before it)."""
        return time.monotonic() - self._start_monotonic

    def play(self) -> None:
        """Sends everything and waits for every answer, at most until the last timeout.

        Killed from outside (a stopped run), it gives up what is out and records it as interrupted.
        """
        times_s = self._plan.schedule.times_s
        # Startup's objects leave the collector: a full collection over them takes tens of ms.
        gc.collect()
        gc.freeze()
        try:
            for index in self._mine:
                scheduled_s = float(times_s[index])
                request = self._target.request_bytes(self._plan.body(index))
                self._sleep_until(scheduled_s)
                self._out.spawn(self._exchange, index, scheduled_s, request)
            self._out.join()
            # Reading bodies is heavy: not while another process may still be sending.
            self._sleep_until(float(times_s[-1]))
        finally:
            self._out.kill()
            gc.unfreeze()

    def _sleep_until(self, instant_s: float) -> None:
        # A loop, because gevent's timers count from a cached time and may fire early.
        while (wait_s := instant_s - self.now_s()) > 0.0:
            gevent.sleep(max(0.0, wait_s - SPIN_S))

    def _exchange(self, index: int, scheduled_s: float, request: bytes) -> None:
        answer = Answer(index, scheduled_s)
        # Kept from the start, so that a request cut short at any point is still recorded.
        self._answers[index] = replace(answer, error=INTERRUPTED)
        body: bytes | None = None

        def stamp_sent() -> None:
            nonlocal answer
            answer = replace(answer, sent_s=self.now_s())
            self._answers[index] = replace(answer, error=INTERRUPTED)

        patience = gevent.Timeout(max(0.001, scheduled_s + self._timeout_s - self.now_s()))
        patience.start()
        try:
            reply = post(self._target, request, stamp_sent)
            received = reply.received_unix
            answer = replace(
                answer,
                answered_s=self.now_s(),
                received_s=None if received is None else received - self._start_unix,
                status=reply.status,
            )
            body = reply.body
        except gevent.Timeout as timeout:
            if timeout is not patience:
                raise
            answer = replace(answer, error=TIMEOUT)
        except (OSError, http.client.HTTPException):
            answer = replace(answer, error=CONNECTION)
        finally:
            patience.close()
        self._on_answer(answer, self.now_s() - scheduled_s, len(body or b""))
        if body is not None:
            self._spots[index] = self._writer.apply(self._spool.append, (body,))
        self._answers[index] = answer

    def results(self) -> Iterator[tuple[RequestRecord, bytes | None]]:
        """Record and picture of each request that was started, in order; call after ``play``."""
        self._writer.join()
        for index in sorted(self._answers):
            spot = self._spots.get(index)
            yield read_answer(
                self._answers[index],
                None if spot is None else self._spool.read(spot),
                prompt=self._plan.prompt(index),
                seed=self._plan.picture_seed(index),
                want_picture=self._plan.config.save_pictures,
            )
            gevent.sleep(0)  # heartbeats and the web page go on meanwhile

    def close(self) -> None:
        """Frees the spool and its thread."""
        self._writer.kill()
        self._spool.close()
