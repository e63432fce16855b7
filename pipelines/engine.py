"""The step loop of one accelerator: encode, step, decode, with jobs joining and leaving any step.

`submit`, `cancel` and `announce` may be called from any thread and only leave a note; `step` runs
in one thread and takes the notes up at the next step boundary.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch

from pipelines.denoising import RunningJob, guidance_of, step_batch
from pipelines.encoding import Embedding, PromptTooLongError
from pipelines.jobs import (
    PARTIALS_MAX,
    EngineEvent,
    PartialPicture,
    PictureDone,
    PictureFailed,
    PictureRequest,
    StepDone,
)
from pipelines.loading import Variant
from policies.nouns import Ladder
from policies.replan import replanned

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

NOT_A_NUMBER = (
    "The picture's numbers overflowed and it was given up; try another seed, a lower guidance "
    "scale, or a model in float32 or bfloat16."
)
OUT_OF_MEMORY = (
    "The accelerator ran out of memory; ask for a smaller picture, or serve with a smaller batch."
)


class StepEngine:
    """Runs up to `max_batch` jobs together, one denoising step of all of them at a time."""

    def __init__(
        self,
        variants: Mapping[str, Variant],
        ladder: Ladder,
        max_batch: int,
        in_flight: bool = True,
        *,
        max_pixels: int = 1024 * 1024,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over loaded variants.

        `in_flight` False ignores announced rungs. `max_pixels` bounds width times height. `threads`
        sets torch's own in the stepping thread (None leaves them). `clock` gives the seconds of
        the facts. ValueError for an empty engine, or a ladder that would re-plan a variant with a
        fixed schedule.
        """
        if not variants or max_batch < 1:
            raise ValueError("An engine needs at least one variant and a batch of at least 1.")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}.")
        for rung in ladder.rungs:
            hosted = variants.get(rung.variant)
            if hosted is not None and hosted.fixed_schedule and rung.replannable:
                raise ValueError(f"Rung {rung} has a fixed schedule; set its replannable to false.")
        self.variants = dict(variants)
        self.ladder = ladder
        self.max_batch = max_batch
        self._in_flight = in_flight
        self._max_pixels = max_pixels
        self._threads = threads
        self._clock = clock
        self._running: list[RunningJob] = []  # only the stepping thread changes it
        self._noted = threading.Condition()  # guards the five fields below
        self._inbox: deque[PictureRequest] = deque()
        self._known: set[str] = set()
        self._cancelled: set[str] = set()
        self._announced = 0
        self._woken = False

    def submit(self, request: PictureRequest) -> None:
        """Ask for a picture; it joins the batch at the first boundary with a free place.

        ValueError if the engine could never make it, or already has a job of that id.
        """
        self._check(request)
        with self._noted:
            if request.job_id in self._known:
                raise ValueError(f"Job {request.job_id!r} is already in this engine.")
            self._known.add(request.job_id)
            self._inbox.append(request)
            self._noted.notify_all()

    def cancel(self, job_id: str) -> None:
        """Drop a job at the next boundary, without an event; unknown ids are ignored."""
        with self._noted:
            if job_id in self._known:
                self._cancelled.add(job_id)
                self._noted.notify_all()

    def announce(self, rung: int) -> None:
        """Make `rung` the current one: running jobs above it are re-planned at the next boundary.

        ValueError if the ladder has no such rung.
        """
        if not 0 <= rung < len(self.ladder):
            raise ValueError(f"The ladder has rungs 0 to {self.ladder.last}, not {rung}.")
        with self._noted:
            self._announced = rung

    def has_work(self) -> bool:
        """Whether a call of `step` would do anything."""
        with self._noted:
            return bool(self._known)

    def wait_for_work(self, timeout_s: float | None = None) -> bool:
        """Block until there is work, `wake` is called or the time is up; returns `has_work`."""
        with self._noted:
            self._noted.wait_for(lambda: self._known or self._woken, timeout_s)
            self._woken = False
            return bool(self._known)

    def wake(self) -> None:
        """Let the present or next `wait_for_work` return at once, for a loop that is to end."""
        with self._noted:
            self._woken = True
            self._noted.notify_all()

    def job_ids(self) -> tuple[str, ...]:
        """The jobs in the engine, running or about to, in no order."""
        with self._noted:
            return tuple(self._known)

    @torch.inference_mode()
    def step(self) -> list[EngineEvent]:
        """One boundary: drop the cancelled, take in the new, re-plan, step, decode what is due."""
        self._settle_threads()
        newcomers, announced = self._take_notes()
        events: list[EngineEvent] = []
        for variant_name, requests in _grouped(newcomers, lambda request: request.service.variant):
            events += self._take_in(self.variants[variant_name], requests)
        if self._in_flight:
            for job in self._running:
                self._replan(job, announced)
        for (variant_name, *_), jobs in _grouped(self._running, _batch_key):
            events += self._step_group(self.variants[variant_name], jobs)
        over = [event.job_id for event in events if isinstance(event, PictureDone | PictureFailed)]
        self._forget(over)
        return events

    def _check(self, request: PictureRequest) -> None:
        name = request.service.variant
        if name not in self.variants:
            raise ValueError(
                f"Variant {name!r} is not in this engine; it has {', '.join(self.variants)}."
            )
        variant = self.variants[name]
        variant.check_size(request.width, request.height)
        if request.width * request.height > self._max_pixels:
            raise ValueError(
                f"A picture may have {self._max_pixels} pixels, {request.width}x{request.height} "
                "has more."
            )
        if not 0 <= request.partials <= PARTIALS_MAX:
            raise ValueError(f"partials must be 0 to {PARTIALS_MAX}, got {request.partials}.")
        variant.sampler_for(request.sampler).plan(request.service.steps)

    def _settle_threads(self) -> None:
        """The one place that sets torch's threads: they belong to the thread that steps."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    def _take_notes(self) -> tuple[list[PictureRequest], int]:
        with self._noted:
            dropped, self._cancelled = self._cancelled, set()
            self._running = [j for j in self._running if j.request.job_id not in dropped]
            self._inbox = deque(r for r in self._inbox if r.job_id not in dropped)
            self._known -= dropped
            places = self.max_batch - len(self._running)
            newcomers = [self._inbox.popleft() for _ in range(min(places, len(self._inbox)))]
            return newcomers, self._announced

    def _forget(self, job_ids: Iterable[str]) -> None:
        gone = set(job_ids)
        if not gone:
            return
        self._running = [job for job in self._running if job.request.job_id not in gone]
        with self._noted:
            self._known -= gone
            self._cancelled -= gone

    def _take_in(self, variant: Variant, requests: Sequence[PictureRequest]) -> list[EngineEvent]:
        """Encode the newcomers' texts in one call and give each its noise and its plan."""
        started_s = self._clock()
        events: list[EngineEvent] = []
        fitting: list[PictureRequest] = []
        for request in requests:
            try:
                for text in _texts(request, variant):
                    variant.encoder.check_length(text)
                fitting.append(request)
            except PromptTooLongError as error:
                events.append(PictureFailed(request.job_id, str(error)))
        wanted = [text for request in fitting for text in _texts(request, variant)]
        embeddings = dict(zip(wanted, variant.encoder.encode(wanted), strict=True))
        for request in fitting:
            prompt, *negative = (embeddings[text] for text in _texts(request, variant))
            self._running.append(_start(request, variant, prompt, negative, started_s))
        return events

    def _replan(self, job: RunningJob, announced: int) -> None:
        change = replanned(
            job.service,
            job.steps_planned,
            job.steps_run,
            floor=job.request.floor,
            announced=announced,
            ladder=self.ladder,
            fixed=job.request.fixed,
        )
        if change is not None:
            job.service, planned = change
            job.replan(planned)

    def _step_group(self, variant: Variant, jobs: Sequence[RunningJob]) -> list[EngineEvent]:
        try:
            broken = step_batch(variant, jobs)
            sound = [job for job in jobs if job not in broken]
            events: list[EngineEvent] = []
            events += [PictureFailed(job.request.job_id, NOT_A_NUMBER) for job in broken]
            events += [
                StepDone(job.request.job_id, job.steps_run, job.steps_planned) for job in sound
            ]
            return events + self._decode(variant, sound)
        except torch.OutOfMemoryError:
            return [PictureFailed(job.request.job_id, OUT_OF_MEMORY) for job in jobs]

    def _decode(self, variant: Variant, jobs: Sequence[RunningJob]) -> list[EngineEvent]:
        """Finished and intermediate pictures of one group, in one call of the autoencoder."""
        due = [job for job in jobs if job.remaining == 0 or job.partial_due()]
        if not due:
            return []
        latents = [job.latents if job.remaining == 0 else job.estimate for job in due]
        pictures = variant.decoder.decode(torch.cat(latents))
        ended_s = self._clock()
        events: list[EngineEvent] = []
        for job, picture in zip(due, pictures, strict=True):
            job_id = job.request.job_id
            if picture is None:
                events.append(PictureFailed(job_id, NOT_A_NUMBER))
            elif job.remaining == 0:
                events.append(PictureDone(job_id, picture, job.facts(ended_s)))
            else:
                events.append(PartialPicture(job_id, job.partials_sent, picture))
                job.partials_sent += 1
        return events


def _texts(request: PictureRequest, variant: Variant) -> tuple[str, ...]:
    """What has to be encoded: the prompt, and with guidance also the negative prompt."""
    if guidance_of(request, variant) > 1:
        return request.prompt, request.negative_prompt
    return (request.prompt,)


def _start(
    request: PictureRequest,
    variant: Variant,
    prompt: Embedding,
    negative: Sequence[Embedding],
    started_s: float,
) -> RunningJob:
    return RunningJob(request, variant, prompt, negative[0] if negative else None, started_s)


def _batch_key(job: RunningJob) -> tuple[str, int, int]:
    return job.variant.name, job.request.width, job.request.height


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> list[tuple[K, list[T]]]:
    """Items by key, keys in order of first appearance."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())
