"""Calls that jobs share: in parts that fit into memory, and cleared of whoever makes them fail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from pipelines.faults import (
    EngineBroken,
    Failure,
    failure_of,
    free_cached_memory,
    is_out_of_memory,
    told,
)
from pipelines.jobs import BatchLimit, PictureFailed, PictureRequest
from pipelines.streams import synchronise

logger = logging.getLogger(__name__)

CLEAN_CALLS = 256
"""So many calls at a limit succeed before twice as many jobs are tried again."""

T = TypeVar("T")


class Key(NamedTuple):
    """What is called. `stage` is "encode" (of no size: 0 x 0), "step", "decode", or one of a job's
    own: "join", "exit", "guidance", "after"."""

    variant: str
    width: int
    height: int
    stage: str


@dataclass(frozen=True, slots=True)
class Call:
    """What the engine is doing, since `began_s` on time.monotonic.

    `first`: with so many rows for the first time, so that it may compile or choose kernels.
    """

    job_ids: tuple[str, ...]
    stage: str
    began_s: float
    first: bool
    alone: bool


@dataclass(slots=True)
class _Limit:
    jobs: int
    clean: int = 0


class Calls:
    """Makes the calls of one engine. Several threads may, each for other jobs or stages."""

    def __init__(
        self, capacity: int, device: torch.device, everyone: Callable[[], Iterable[str]]
    ) -> None:
        """At most `capacity` jobs share a call on `device`; `everyone` gives the engine's job ids."""
        self._capacity = capacity
        self._device = device
        self._everyone = everyone
        self._limits: dict[Key, _Limit] = {}
        self._known: set[tuple[Key, int]] = set()
        self._under_way: dict[int, Call] = {}  # by thread

    @property
    def call(self) -> Call | None:
        """The call that has been under way for longest, from any thread."""
        return min(tuple(self._under_way.values()), key=lambda call: call.began_s, default=None)

    def limits(self) -> tuple[BatchLimit, ...]:
        """What is limited now, from any thread."""
        return tuple(BatchLimit(*key, one.jobs) for key, one in sorted(self._limits.copy().items()))

    def run(
        self,
        key: Key,
        requests: Sequence[PictureRequest],
        call: Callable[[int, int], object],
        prove: Callable[[], object] | None = None,
        rows: Callable[[int, int], int] = lambda first, last: last - first,
    ) -> list[PictureFailed]:
        """Have `call(first, last)` do requests[first:last], part by part; returns who cannot be done.

        A call that raises must have done nothing. Without memory it is tried again in halves, and
        else job by job. A job that fails alone is at fault if `prove` passes then, which does the
        same on data known to be good; if not, EngineBroken. `rows` says how many rows a call has.
        """
        failed: list[PictureFailed] = []
        logged: set[str] = set()
        doubtful: frozenset[str] = frozenset()  # the shared call that failed, until one succeeds
        first = singly_to = 0
        while first < len(requests):
            last = first + 1 if first < singly_to else self._end(key, requests, first)
            part, kind = requests[first:last], (key, rows(first, last))
            doubtful |= {request.job_id for request in part}
            with self._recorded(key.stage, part, kind not in self._known):
                if part[0].alone:  # what others have left undone is not this job's fault
                    self._certainly(partial(synchronise, self._device))
                failure = self._attempt(key, part, partial(call, first, last), logged)
                if failure is not None and failure.kind == "error" and len(part) == 1:
                    exact = part[0].alone or self._device.type != "cuda"
                    self._certainly(partial(self._prove, prove), doubtful if exact else None)
            if failure is not None and len(part) > 1:
                if failure.kind == "out_of_memory":
                    self._limit(key, len(part) // 2)
                    doubtful = frozenset()
                else:
                    singly_to = last
                continue
            if failure is None:
                self._known.add(kind)
                self._clean(key, len(part))
            else:
                failed.append(PictureFailed(part[0].job_id, *failure))
            first, doubtful = last, frozenset()
        return failed

    def waited(self, stage: str, requests: Sequence[PictureRequest], wait: Callable[[], T]) -> T:
        """The result of waiting for what calls of these jobs began; EngineBroken if it fails."""
        with self._recorded(stage, requests, first=False):
            return self._certainly(wait)

    def _certainly(self, work: Callable[[], T], suspects: frozenset[str] | None = None) -> T:
        """The result of what can fail only if the engine is broken. None suspects everybody."""
        try:
            return work()
        except Exception as error:
            cause = f"The engine can compute no more ({told(error)})."
            if suspects is None:
                suspects = frozenset(self._everyone())
            raise EngineBroken(cause, suspects) from error

    def warm_up(
        self,
        key: Key,
        rows_a_job: int,
        call: Callable[[int], object],
        bucket: Callable[[int], int] = lambda rows: rows,
    ) -> None:
        """Have `call(rows)` do every number of rows that there can be, fewest first.

        A job takes up to `rows_a_job`. The first number that memory does not hold limits the jobs;
        its error is raised if that is a job alone.
        """
        for jobs in range(1, self._capacity + 1):
            wanted = {bucket(count) for count in range(1, rows_a_job * jobs + 1)}
            for rows in sorted(rows for rows in wanted if (key, rows) not in self._known):
                try:
                    call(rows)
                except Exception as error:
                    if jobs == 1 or not is_out_of_memory(error):
                        raise
                else:
                    self._known.add((key, rows))
                    continue
                free_cached_memory()
                self._limit(key, jobs - 1)
                return

    # -- parts ----------------------------------------------------------------------------------

    def _end(self, key: Key, requests: Sequence[PictureRequest], first: int) -> int:
        """Where the part that begins at `first` ends."""
        limit = self._limits.get(key)
        last = first + 1
        end = min(len(requests), first + (self._capacity if limit is None else limit.jobs))
        while last < end and not (requests[first].alone or requests[last].alone):
            last += 1
        return last

    def _limit(self, key: Key, jobs: int) -> None:
        self._limits[key] = _Limit(jobs)
        said = "%s at %dx%d has no memory for more than %d jobs in a call of %s"
        logger.warning(said, *key[:3], jobs, key.stage)

    def _clean(self, key: Key, jobs: int) -> None:
        limit = self._limits.get(key)
        if limit is None or jobs < limit.jobs:
            return
        limit.clean += 1
        if limit.clean == CLEAN_CALLS:
            self._limits[key] = _Limit(2 * limit.jobs)
            if 2 * limit.jobs >= self._capacity:
                del self._limits[key]

    # -- attempts -------------------------------------------------------------------------------

    def _attempt(
        self,
        key: Key,
        part: Sequence[PictureRequest],
        call: Callable[[], object],
        logged: set[str],
    ) -> Failure | None:
        try:
            call()
            if part[0].alone:
                synchronise(self._device)
            return None
        except Exception as error:
            failure = failure_of(error)
            if failure.kind == "error" and failure.message not in logged:
                logged.add(failure.message)
                jobs = ", ".join(map(_settings, part))
                logger.exception("%s of %s failed for %s", key.stage, key.variant, jobs)
        if failure.kind == "out_of_memory":
            free_cached_memory()  # the exception is gone, and with it what its frames held
        return failure

    def _prove(self, prove: Callable[[], object] | None) -> None:
        """Nothing if the engine can compute, even if it has no memory now; else any exception."""
        try:
            if prove is not None:
                prove()
            synchronise(self._device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    @contextmanager
    def _recorded(
        self, stage: str, requests: Sequence[PictureRequest], first: bool
    ) -> Iterator[None]:
        thread = threading.get_ident()
        ids = tuple(request.job_id for request in requests)
        alone = len(ids) == 1 and requests[0].alone
        self._under_way[thread] = Call(ids, stage, time.monotonic(), first, alone)
        try:
            yield
        finally:
            del self._under_way[thread]


def _settings(request: PictureRequest) -> str:
    service = request.service
    size = f"{request.width}x{request.height}"
    return f"{request.job_id} ({size}, {service.steps} steps, guidance {request.guidance_scale})"
