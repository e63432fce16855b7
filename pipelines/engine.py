"""The step loop of one accelerator: encode, step, decode, with jobs joining and leaving any step.

The engine has no thread of its own. `step` is a whole boundary: `prepare` (encode the newcomers'
texts), `denoise` (one step of everything that runs), `finish` (decode what is due). With two
threads one calls `denoise` and the other `prepare` and `finish`, so that texts and pictures do not
hold up the batch. `submit`, `cancel`, `announce`, `lower` and `finish_now` may be called from any
thread. What fails is its own job's `PictureFailed`; `pipelines.faults.EngineBroken` comes out of the
work if the engine can compute no more, and any other exception there is a mistake in the engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from pipelines.batches import Batches
from pipelines.calls import Call, Calls, Key
from pipelines.convergence import ConvergenceSettings, ThresholdTuner
from pipelines.desk import Desk, Due, Part
from pipelines.faults import is_out_of_memory
from pipelines.finishing import decode_due, rehearse_decoding
from pipelines.jobs import (
    PARTIALS_MAX,
    BatchLimit,
    EngineEvent,
    InvalidRequest,
    PictureDone,
    PictureFailed,
    PictureRequest,
)
from pipelines.loading import Variant, variants_share_latents
from pipelines.preparing import prepare_jobs
from pipelines.service_costs import ServiceCosts
from pipelines.streams import SideStream
from policies.exits import ExitRules
from policies.nouns import Ladder

REPLAN = ExitRules()
"""The default: an announced lower rung re-plans what runs."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class StepEngine:
    """Runs up to `max_batch` jobs together, one denoising step of all of them at a time.

    `costs` are the sums of what its work takes.
    """

    def __init__(
        self,
        variants: Mapping[str, Variant],
        ladder: Ladder,
        max_batch: int,
        rules: ExitRules = REPLAN,
        *,
        convergence: ConvergenceSettings | None = None,
        max_pixels: int = 1024 * 1024,
        threads: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over loaded variants.

        `rules` say what an announced rung does to running jobs. Without `convergence` no request
        may ask for a convergence exit. `max_pixels` bounds width times height. `threads` sets
        torch's own in every thread that works here (None leaves them). `clock` gives the seconds of
        the facts. ValueError for an empty engine, a ladder that would re-plan a variant with a
        fixed schedule, a batch that a variant's row buckets do not hold, or a hand-over between
        variants that do not share latents.
        """
        if not variants or max_batch < 1:
            raise ValueError("An engine needs at least one variant and a batch of at least 1.")
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}.")
        _check_ladder(variants, ladder)
        rules = rules.within(frozenset(variants))
        _check_hand_overs(variants, rules)
        for variant in variants.values():
            variant.rows_for(2 * max_batch if variant.guided else max_batch)
        self.variants = dict(variants)
        self.ladder = ladder
        self.max_batch = max_batch
        self.tuner = None if convergence is None else ThresholdTuner(convergence)
        self._max_pixels = max_pixels
        self._threads = threads
        self._clock = clock
        self._desk = Desk(max_batch)
        self.costs = ServiceCosts()
        device = next(iter(self.variants.values())).device
        self._calls = Calls(max_batch, device, self._desk.job_ids)
        self._batches = Batches(
            self.variants, ladder, max_batch, rules, self.tuner, self.costs, self._calls
        )
        self._side = SideStream(device)

    # -- from any thread ------------------------------------------------------------------------

    def submit(self, request: PictureRequest) -> None:
        """Ask for a picture; it joins the batch at the first boundary with a free place.

        InvalidRequest if the engine could never make it, ValueError if it has a job of that id.
        """
        self._check(request)
        self._desk.submit(request)

    def cancel(self, job_id: str) -> None:
        """Drop a job at the next boundary, without an event; unknown ids are ignored."""
        self._desk.cancel(job_id)

    def announce(self, rung: int) -> None:
        """Make `rung` the current one; from the next boundary on the rules say what that does.

        ValueError if the ladder has no such rung.
        """
        self._check_rung(rung)
        self._desk.announce(rung)

    def lower(self, job_id: str, rung: int) -> None:
        """Announce `rung` for one job alone: at the next boundary the rules say what the lower one of
        this and the current rung does to it. Unknown ids are ignored.

        ValueError if the ladder has no such rung.
        """
        self._check_rung(rung)
        self._desk.lower(job_id, rung)

    def finish_now(self, job_id: str) -> None:
        """Decode a job's clean estimate at the next boundary after its first step; unknown ids are
        ignored."""
        self._desk.finish_now(job_id)

    def job_ids(self) -> tuple[str, ...]:
        """The jobs in the engine that are not cancelled, in no order."""
        return self._desk.job_ids()

    @property
    def call(self) -> Call | None:
        """What the engine is doing; None between calls."""
        return self._calls.call

    def batch_limits(self) -> tuple[BatchLimit, ...]:
        """Where memory does not hold as many jobs in a call as the batch has places."""
        return self._calls.limits()

    # -- waiting --------------------------------------------------------------------------------

    def has_work(self, part: Part = "all") -> bool:
        """Whether `step` ("all"), `denoise`, or `prepare` and `finish` ("beside") would do anything."""
        return self._desk.has_work(part)

    def wait_for_work(self, timeout_s: float | None = None, part: Part = "all") -> bool:
        """Block until there is work, `wake` is called or the time is up; returns `has_work`."""
        if part == "all" and not self._desk.has_work(part):
            self.costs.idle()
        return self._desk.wait_for_work(part, timeout_s)

    def wake(self) -> None:
        """Let the present or next `wait_for_work` of every part return at once."""
        self._desk.wake()

    # -- the work -------------------------------------------------------------------------------

    def step(self) -> list[EngineEvent]:
        """A whole boundary in one thread."""
        self.costs.begin()
        events = [*self.prepare(), *self.denoise(), *self.finish()]
        self.costs.end(goes_on=self._desk.has_work("all"))
        return events

    @torch.inference_mode()
    def prepare(self) -> list[EngineEvent]:
        """Encode the texts of as many newcomers as there are places for."""
        self._settle_threads()
        events: list[EngineEvent] = []
        newcomers = self._desk.take_newcomers()
        for name, requests in _grouped(newcomers, lambda request: request.service.variant):
            variant = self.variants[name]
            with self._side.used():
                ready, failed = prepare_jobs(
                    variant, requests, self._clock, self._calls, self.costs
                )
            self._desk.put_ready(ready)
            events += failed
        self._forget_ended(events)
        return events

    @torch.inference_mode()
    def denoise(self) -> list[EngineEvent]:
        """Drop the cancelled, take in the ready, exit early where it is due, and run one step."""
        self._settle_threads()
        events = self._batches.begin(self._desk.take_notes())
        events += self._batches.step()
        self._desk.put_due(*self._batches.hand_out())
        self._forget_ended(events)
        return events

    @torch.inference_mode()
    def finish(self) -> list[EngineEvent]:
        """Decode the pictures that are due, all of one variant and size in one call."""
        self._settle_threads()
        events: list[EngineEvent] = []
        for (name, _, _), due in _grouped(self._desk.take_due(), _decoding_key):
            with self._side.used():
                events += decode_due(self.variants[name], due, self._clock, self._calls, self.costs)
        self._desk.decoded()
        failed = {event.job_id: event for event in events if isinstance(event, PictureFailed)}
        events = [event for event in events if event.job_id not in failed] + [*failed.values()]
        self._forget_ended(events)
        return events

    @torch.inference_mode()
    def warm_up(self, width: int, height: int) -> None:
        """Call every variant's model once with every number of rows that it will be called with.

        Compiled models are compiled here and not on the first clients' time, and while cuDNN tries
        its kernels (on a card, with a compiled model) encoders and decoders are called as well.
        What does not fit into memory becomes a limit; RuntimeError if that is one job alone.
        """
        self._settle_threads()  # a compiled graph holds for one number of threads
        try:
            for variant in self.variants.values():
                self._batches.warm_up(variant, width, height)
                if torch.backends.cudnn.benchmark:
                    self._warm_up_beside(variant, width, height)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise RuntimeError(
                f"Memory does not hold one picture of {width}x{height} with variant "
                f"{variant.name!r}; serve a smaller size, set offload, or use a smaller dtype."
            ) from error

    def _warm_up_beside(self, variant: Variant, width: int, height: int) -> None:
        name = variant.name
        decode = partial(rehearse_decoding, variant, width, height)
        with self._side.used():
            texts = 2 if variant.guided else 1
            self._calls.warm_up(Key(name, 0, 0, "encode"), texts, variant.encoder.rehearse)
            self._calls.warm_up(Key(name, width, height, "decode"), 1, decode)

    def _check(self, request: PictureRequest) -> None:
        """InvalidRequest names the parameter for which the engine could never make the picture."""
        name = request.service.variant
        with _blaming("model"):
            if name not in self.variants:
                raise ValueError(
                    f"Variant {name!r} is not in this engine; it has {', '.join(self.variants)}."
                )
        variant = self.variants[name]
        with _blaming("size"):
            variant.check_size(request.width, request.height)
            if request.width * request.height > self._max_pixels:
                raise ValueError(
                    f"A picture may have {self._max_pixels} pixels, "
                    f"{request.width}x{request.height} has more."
                )
        with _blaming("partials"):
            if not 0 <= request.partials <= PARTIALS_MAX:
                raise ValueError(f"partials must be 0 to {PARTIALS_MAX}, got {request.partials}.")
        with _blaming("guidance_rescale"):
            if not 0 <= request.guidance_rescale <= 1:
                raise ValueError(
                    f"guidance_rescale must be between 0 and 1, got {request.guidance_rescale}."
                )
        with _blaming("converge"):
            if request.converge and self.tuner is None:
                raise ValueError("This engine has no convergence exit; ask without converge.")
        with _blaming("sampler"):
            sampler = variant.sampler_for(request.sampler)
        with _blaming("steps"):
            sampler.plan(request.service.steps)

    def _check_rung(self, rung: int) -> None:
        if not 0 <= rung < len(self.ladder):
            raise ValueError(f"The ladder has rungs 0 to {self.ladder.last}, not {rung}.")

    def _settle_threads(self) -> None:
        """The one place that sets torch's threads: they belong to the thread that works."""
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)

    def _forget_ended(self, events: Iterable[EngineEvent]) -> None:
        ended = [event.job_id for event in events if isinstance(event, PictureDone | PictureFailed)]
        if ended:
            self._desk.forget(ended)


@contextmanager
def _blaming(param: str) -> Iterator[None]:
    """Say which parameter of a request a complaint is about."""
    try:
        yield
    except ValueError as error:
        raise InvalidRequest(str(error), param) from error


def _check_ladder(variants: Mapping[str, Variant], ladder: Ladder) -> None:
    for rung in ladder.rungs:
        hosted = variants.get(rung.variant)
        if hosted is not None and hosted.fixed_schedule and rung.replannable:
            raise ValueError(f"Rung {rung} has a fixed schedule; set its replannable to false.")


def _check_hand_overs(variants: Mapping[str, Variant], rules: ExitRules) -> None:
    if rules.on_lower != "hand_over":
        return
    for name, targets in rules.hands_over.items():
        for target in sorted(targets):
            if not variants_share_latents(variants[name], variants[target]):
                raise ValueError(
                    f"Variant {target!r} cannot take over what {name!r} began: they differ in "
                    "autoencoder or noise levels, or one has a fixed schedule."
                )


def _decoding_key(due: Due) -> tuple[str, int, int]:
    request = due.job.request
    return due.job.variant.name, request.width, request.height


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> list[tuple[K, list[T]]]:
    """Items by key, keys in order of first appearance."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())
