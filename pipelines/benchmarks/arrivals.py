"""Jobs that come at random moments: a stream that keeps all places taken, and a handful within a window."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.benchmarks.contestants import EngineCaller, is_picture
from pipelines.jobs import EngineEvent, StepDone


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What a stream measured in its window.

    `gaps_s` are the times between the ends of successive denoising steps, `metered_s` what the
    caller's meter advanced by.
    """

    pictures: int
    window_s: float
    places_taken: float
    gaps_s: tuple[float, ...]
    metered_s: float

    @property
    def pictures_per_s(self) -> float:
        """Throughput of the window."""
        return self.pictures / self.window_s


class Stream:
    """Keeps every place of an engine taken by jobs that stand at random steps.

    The first job begins alone; each other place is first taken after a random number of its steps.
    From then on as many jobs wait as there are places, so that a freed one is taken at once.

    The window opens when as many pictures are finished as there are places, and closes when
    `cycles` times as many more are. All jobs have the same number of steps, so each place then has
    given exactly `cycles` pictures and run `cycles` whole jobs' worth of steps, wherever in it the
    window began: no picture is counted whose steps were not, nor the other way round.
    """

    def __init__(
        self,
        caller: EngineCaller,
        *,
        steps: int,
        cycles: int,
        rng: random.Random,
        meter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`steps` are those of a job; `meter` is read when the window opens and when it closes."""
        if cycles < 1:
            raise ValueError(f"A stream's window is at least one cycle long, got {cycles}.")
        self._caller, self._meter = caller, meter
        self._places = caller.engine.max_batch
        self._cycles = cycles
        # Drawn beforehand, so that thinking up prompts is nobody's time.
        self._line = deque(caller.ask() for _ in range((cycles + 4) * self._places))
        self._joins = deque(sorted(rng.randrange(steps) for _ in range(self._places - 1)))
        self._leader = ""
        self._lock = threading.Lock()
        self._finished = 0
        self._opened: tuple[float, int, float] | None = None
        self._closed: tuple[float, int, float] | None = None
        self._ends_s: list[float] = []
        self._taken: list[int] = []

    @property
    def is_over(self) -> bool:
        """Whether the window is closed."""
        return self._closed is not None

    def begin(self) -> None:
        """Submit the first job."""
        self._leader = self._line[0].job_id
        self._submit(1)
        self._join(0)

    def take(self, events: Sequence[EngineEvent]) -> None:
        """Hear what a pump of the engine just gave; pumps of several threads may call it."""
        now_s = time.perf_counter()
        with self._lock:
            stepped = [event for event in events if isinstance(event, StepDone)]
            for event in stepped:
                if event.job_id == self._leader:
                    self._join(event.steps_run)
            if stepped and self._opened is not None and self._closed is None:
                self._ends_s.append(now_s)
                self._taken.append(len(stepped))
            pictures = sum(is_picture(event) for event in events)
            self._finished += pictures
            self._submit(pictures)
            self._open_or_close(now_s)

    def figures(self) -> StreamFigures:
        """What the window showed; RuntimeError while it is open."""
        if self._opened is None or self._closed is None:
            raise RuntimeError("The stream's window is not closed yet.")
        (from_s, before, metered), (to_s, after, metered_after) = self._opened, self._closed
        gaps = tuple(b - a for a, b in zip(self._ends_s, self._ends_s[1:], strict=False))
        return StreamFigures(
            after - before,
            to_s - from_s,
            sum(self._taken) / len(self._taken),
            gaps,
            metered_after - metered,
        )

    def _join(self, steps_run: int) -> None:
        """Submit the first jobs that join at this step of the leader; after the last, fill the line."""
        if not self._joins and steps_run:
            return
        while self._joins and self._joins[0] <= steps_run:
            self._joins.popleft()
            self._submit(1)
        if not self._joins:
            self._submit(self._places)

    def _submit(self, count: int) -> None:
        for _ in range(min(count, len(self._line))):
            self._caller.engine.submit(self._line.popleft())

    def _open_or_close(self, now_s: float) -> None:
        mark = now_s, self._finished, self._meter()
        if self._opened is None:
            if self._finished >= self._places:
                self._opened = mark
            return
        full = self._finished - self._opened[1] >= self._places * self._cycles
        if full and self._closed is None:
            self._closed = mark


def pump_in_one_thread(caller: EngineCaller, stream: Stream) -> StreamFigures:
    """Run the stream as `StepEngine.step` does: texts, one step, pictures, in turn."""
    engine = caller.engine
    stream.begin()
    while not stream.is_over:
        stream.take(engine.prepare())
        stream.take(engine.denoise())
        stream.take(engine.finish())
    caller.empty()
    return stream.figures()


def pump_in_two_threads(caller: EngineCaller, stream: Stream) -> StreamFigures:
    """Run the stream with the steps in a thread of their own, texts and pictures in this one."""
    engine = caller.engine
    over = threading.Event()

    def denoise() -> None:
        try:
            while not stream.is_over:
                if engine.wait_for_work(part="denoise"):
                    stream.take(engine.denoise())
        finally:
            over.set()
            engine.wake()

    stream.begin()
    with ThreadPoolExecutor(1, thread_name_prefix="denoise") as executor:
        denoising = executor.submit(denoise)
        try:
            while not (stream.is_over or over.is_set()):
                if engine.wait_for_work(part="beside"):
                    stream.take([*engine.prepare(), *engine.finish()])
        finally:
            engine.wake()
        denoising.result()
    caller.empty()
    return stream.figures()


def serve_arrivals(caller: EngineCaller, at_s: Sequence[float]) -> float:
    """Seconds from the first arrival to the last picture, one job at each of the rising times."""
    engine = caller.engine
    line = deque((moment_s - at_s[0], caller.ask()) for moment_s in at_s)
    pictures, wanted = 0, len(line)
    started_s = ended_s = time.perf_counter()
    while pictures < wanted:
        while line and line[0][0] <= time.perf_counter() - started_s:
            engine.submit(line.popleft()[1])
        if not engine.has_work():
            engine.wait_for_work(max(0.0, line[0][0] - (time.perf_counter() - started_s)))
            continue
        done = sum(is_picture(event) for event in engine.step())
        if done:
            pictures, ended_s = pictures + done, time.perf_counter()
    return ended_s - started_s


def ideal_makespan_s(at_s: Sequence[float], batch_s: Callable[[int], float]) -> float:
    """Seconds from the first arrival to the last picture on an ideal server of the static speed.

    It starts every job the moment it comes, and as long as n jobs are there each of them advances
    at the speed of one static batch of n, which takes `batch_s(n)`: no boundary is waited for and
    nothing is lost by joining or leaving.
    """
    line = deque(moment_s - at_s[0] for moment_s in at_s)
    left: list[float] = []  # shares of a job still to do
    now_s = 0.0
    while line or left:
        if not left:
            now_s = max(now_s, line[0])
        while line and line[0] <= now_s:
            line.popleft()
            left.append(1.0)
        per_job_s = batch_s(len(left))
        spell_s = min(left) * per_job_s
        if line:
            spell_s = min(spell_s, line[0] - now_s)
        now_s += spell_s
        done = spell_s / per_job_s
        left = [share - done for share in left if share - done > 1e-12]
    return now_s


def random_arrivals(count: int, within_s: float, rng: random.Random) -> list[float]:
    """Rising times of `count` arrivals, uniform over a window."""
    return sorted(rng.uniform(0, within_s) for _ in range(count))
