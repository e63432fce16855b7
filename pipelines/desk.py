"""Where the engine's callers and its threads leave things for each other.

Everything is guarded by one lock and nothing here computes. A job's way: the inbox, then in
preparation (its text is encoded), ready, in the batch, due (to be decoded), gone. It holds one of
the `places` from preparation until it leaves the batch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from pipelines.encoding import Embedding
from pipelines.jobs import PictureRequest
from pipelines.running import RunningJob

Part = Literal["all", "denoise", "beside"]
"""Whose work: of a single thread, of the one that denoises, of the one that works beside it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A job whose text is encoded; `negative` is None without guidance."""

    request: PictureRequest
    prompt: Embedding
    negative: Embedding | None
    started_s: float


@dataclass(frozen=True, slots=True)
class Due:
    """Latents (1, C, h, w) to decode: a finished picture's, or an intermediate's of that number."""

    job: RunningJob
    latents: torch.Tensor
    partial: int | None
    stamp: torch.cuda.Event | None


@dataclass(frozen=True, slots=True)
class Notes:
    """What the batch has to know at a boundary. `lowered` are rungs announced for one job alone."""

    cancelled: frozenset[str]
    ready: tuple[Ready, ...]
    announced: int
    lowered: Mapping[str, int]
    finish_now: frozenset[str]


class Desk:
    """The queues between callers, preparation, batch and decoding."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._changed = threading.Condition()
        self._known: set[str] = set()
        self._inbox: deque[PictureRequest] = deque()
        self._placed: set[str] = set()
        self._ready: deque[Ready] = deque()
        self._running: set[str] = set()
        self._due: deque[Due] = deque()
        self._decoding = 0
        self._cancelled: set[str] = set()
        self._finish_now: set[str] = set()
        self._announced = 0
        self._lowered: dict[str, int] = {}
        self._woken: set[Part] = set()

    # -- callers --------------------------------------------------------------------------------

    def submit(self, request: PictureRequest) -> None:
        """ValueError if there already is a job of that id."""
        with self._changed:
            if request.job_id in self._known:
                raise ValueError(f"Job {request.job_id!r} is already in this engine.")
            self._known.add(request.job_id)
            self._inbox.append(request)
            self._changed.notify_all()

    def cancel(self, job_id: str) -> None:
        """Forget a job that is not yet in the batch; have the others dropped where they are."""
        with self._changed:
            if job_id not in self._known:
                return
            waiting = len(self._inbox) + len(self._ready)
            self._inbox = deque(r for r in self._inbox if r.job_id != job_id)
            self._ready = deque(r for r in self._ready if r.request.job_id != job_id)
            self._placed.discard(job_id)
            if len(self._inbox) + len(self._ready) < waiting:
                self._known.discard(job_id)
            else:
                self._cancelled.add(job_id)
            self._changed.notify_all()

    def announce(self, rung: int) -> None:
        with self._changed:
            self._announced = rung

    def lower(self, job_id: str, rung: int) -> None:
        with self._changed:
            if job_id in self._known:
                self._lowered[job_id] = max(rung, self._lowered.get(job_id, 0))

    def finish_now(self, job_id: str) -> None:
        with self._changed:
            if job_id in self._known:
                self._finish_now.add(job_id)

    def job_ids(self) -> tuple[str, ...]:
        with self._changed:
            return tuple(self._known - self._cancelled)

    # -- waiting --------------------------------------------------------------------------------

    def has_work(self, part: Part) -> bool:
        with self._changed:
            return self._has_work(part)

    def wait_for_work(self, part: Part, timeout_s: float | None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._has_work(part) or part in self._woken, timeout_s)
            self._woken.discard(part)
            return self._has_work(part)

    def wake(self) -> None:
        with self._changed:
            self._woken = {"all", "denoise", "beside"}
            self._changed.notify_all()

    def _has_work(self, part: Part) -> bool:
        if part == "all":
            return bool(self._known)
        if part == "denoise":
            return bool(self._running) or (bool(self._ready) and self._may_join())
        return bool(self._due) or (bool(self._inbox) and len(self._placed) < self._places)

    def _may_join(self) -> bool:
        """Pictures that wait to be decoded are bounded: new jobs stand back until there are few."""
        return len(self._due) + self._decoding <= self._places

    # -- preparation ----------------------------------------------------------------------------

    def take_newcomers(self) -> list[PictureRequest]:
        """As many requests as there are free places, oldest first."""
        with self._changed:
            free = max(0, self._places - len(self._placed))
            taken = [self._inbox.popleft() for _ in range(min(free, len(self._inbox)))]
            self._placed.update(request.job_id for request in taken)
            return taken

    def put_ready(self, ready: Sequence[Ready]) -> None:
        with self._changed:
            for one in ready:
                if one.request.job_id in self._cancelled:
                    self._forget((one.request.job_id,))
                else:
                    self._ready.append(one)
            self._changed.notify_all()

    # -- the batch ------------------------------------------------------------------------------

    def take_notes(self) -> Notes:
        """Everything that is new since the last boundary; the ready jobs count as running now."""
        with self._changed:
            dropped = self._cancelled & self._running
            self._due = deque(d for d in self._due if d.job.request.job_id not in dropped)
            self._running -= dropped
            self._forget(dropped)
            ready = tuple(self._ready) if self._may_join() else ()
            if ready:
                self._ready.clear()
            self._running.update(one.request.job_id for one in ready)
            # What is lowered before it runs is lowered at its first boundary in the batch.
            here = [job_id for job_id in self._lowered if job_id in self._running]
            lowered = {job_id: self._lowered.pop(job_id) for job_id in here}
            finish_now = frozenset(self._finish_now)
            return Notes(frozenset(dropped), ready, self._announced, lowered, finish_now)

    def put_due(self, due: Sequence[Due], left: Iterable[str]) -> None:
        """Hand over latents to decode; the jobs of `left` have given up their places."""
        gone = set(left)
        with self._changed:
            self._due.extend(due)
            self._running -= gone
            self._placed -= gone
            self._changed.notify_all()

    # -- decoding -------------------------------------------------------------------------------

    def take_due(self) -> list[Due]:
        with self._changed:
            mine = [d for d in self._due if d.job.request.job_id not in self._cancelled]
            unwanted = {d.job.request.job_id for d in self._due} & self._cancelled - self._running
            self._forget(unwanted)
            self._due.clear()
            self._decoding = len(mine)
            return mine

    def decoded(self) -> None:
        """What was taken to be decoded has been."""
        with self._changed:
            self._decoding = 0
            self._changed.notify_all()

    def forget(self, job_ids: Iterable[str]) -> None:
        """These jobs are over. One that still runs, for an intermediate picture of it failed, is
        dropped at the next boundary."""
        gone = set(job_ids)
        with self._changed:
            self._due = deque(d for d in self._due if d.job.request.job_id not in gone)
            self._cancelled |= gone & self._running
            self._forget(gone - self._running)
            self._changed.notify_all()

    def _forget(self, job_ids: Iterable[str]) -> None:
        gone = set(job_ids)
        self._known -= gone
        self._placed -= gone
        self._running -= gone
        self._cancelled -= gone
        self._finish_now -= gone
        for job_id in gone & self._lowered.keys():
            del self._lowered[job_id]
