"""What steps, encodings and decodings cost an engine while it serves: running sums, without torch.

A profile is taken apart from the traffic. In service an engine shares its cores with everything
that brings requests in and pictures out, and is slower for it. The engine therefore keeps sums of
what it did and how long that took, in constant memory and a few microseconds a boundary. Two
snapshots of the sums give the window between them, of which `pipelines.service_table` makes a cost
table.

A boundary that one thread runs is closed: its encodings, steps and decodings, and the rest
(bookkeeping, and the way to the next boundary while there is work), are the whole time between
two beginnings. With two threads there is no rest, for nobody waits for both. On an accelerator
calls return before their work is done: only whole boundaries are right there.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from pipelines.costs import Measurement

K = TypeVar("K", bound=Hashable)

P90_SIGMAS = 1.2816


class Sums(NamedTuple):
    """How often something was timed, the sum of its seconds, and of their squares."""

    calls: int
    seconds: float
    squares: float

    @property
    def mean_s(self) -> float:
        """Mean seconds of a call."""
        return self.seconds / self.calls

    def measurement(self) -> Measurement:
        """The mean where a profile has the median, with percentiles as if the times were normal."""
        variance = max(0.0, self.squares / self.calls - self.mean_s**2)
        spread_s = P90_SIGMAS * math.sqrt(variance)
        low_s = max(0.0, self.mean_s - spread_s)
        return Measurement(self.mean_s, low_s, self.mean_s + spread_s, self.calls)


EncodeKey = tuple[str, int]
"""Variant, jobs whose texts were encoded in one call (from the cache or not)."""

StepKey = tuple[str, int, int, int, int]
"""Variant, width, height, jobs in the call, how many of them with guidance."""

DecodeKey = tuple[str, int, int, int]
"""Variant, width, height, pictures in the call."""

RestKey = tuple[int, int, int]
"""Of one boundary: its step calls, the jobs that it took in, the pictures that it decoded."""


@dataclass(frozen=True, slots=True)
class CostSums:
    """What was timed, by what was done."""

    encode: Mapping[EncodeKey, Sums] = field(default_factory=dict)
    step: Mapping[StepKey, Sums] = field(default_factory=dict)
    decode: Mapping[DecodeKey, Sums] = field(default_factory=dict)
    rest: Mapping[RestKey, Sums] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """All seconds together."""
        parts = (self.encode, self.step, self.decode, self.rest)
        return sum(one.seconds for part in parts for one in part.values())

    def since(self, earlier: CostSums) -> CostSums:
        """The window between two snapshots of one engine; ValueError if it started anew since."""
        return CostSums(
            _minus(self.encode, earlier.encode),
            _minus(self.step, earlier.step),
            _minus(self.decode, earlier.decode),
            _minus(self.rest, earlier.rest),
        )

    def plus(self, other: CostSums) -> CostSums:
        """Two windows, or two like engines, together."""
        return CostSums(
            _plus(self.encode, other.encode),
            _plus(self.step, other.step),
            _plus(self.decode, other.decode),
            _plus(self.rest, other.rest),
        )

    def to_plain(self) -> dict[str, list[list[Any]]]:
        """As JSON values: by part, rows of the key's fields, calls, seconds and squares."""
        return {
            "encode": _rows(self.encode),
            "step": _rows(self.step),
            "decode": _rows(self.decode),
            "rest": _rows(self.rest),
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Sequence[Sequence[Any]]]) -> CostSums:
        """Undo `to_plain`; ValueError if it is something else."""
        try:
            return cls(*(_cells(content[part]) for part in ("encode", "step", "decode", "rest")))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"These are no sums of costs ({error!r}).") from error


class ServiceCosts:
    """Takes the sums. `begin`, `end` and `idle` belong to the thread that runs whole boundaries.

    The seconds of a part are counted from `began_s`, which the caller read from `clock`.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._encode: dict[EncodeKey, Sums] = {}
        self._step: dict[StepKey, Sums] = {}
        self._decode: dict[DecodeKey, Sums] = {}
        self._rest: dict[RestKey, Sums] = {}
        self._began_s: float | None = None
        self._inside_s = 0.0
        self._did = [0, 0, 0]

    def encoded(self, variant: str, jobs: int, began_s: float) -> None:
        """The texts of `jobs` newcomers are ready."""
        self._add(self._encode, (variant, jobs), began_s, 1, jobs)

    def stepped(
        self, variant: str, size: tuple[int, int], jobs: int, guided: int, began_s: float
    ) -> None:
        """One step of `jobs` jobs, `guided` of them with guidance, is done."""
        self._add(self._step, (variant, *size, jobs, guided), began_s, 0, 1)

    def decoded(self, variant: str, size: tuple[int, int], pictures: int, began_s: float) -> None:
        """`pictures` pictures of one call are decoded."""
        self._add(self._decode, (variant, *size, pictures), began_s, 2, pictures)

    def begin(self) -> None:
        """A boundary begins; one that still stands open ends with it."""
        with self._lock:
            now_s = self.clock()
            self._close(now_s)
            self._began_s = now_s

    def end(self, *, goes_on: bool) -> None:
        """A boundary is over; if it `goes_on`, the way to the next one still counts as its own."""
        if not goes_on:
            self.idle()

    def idle(self) -> None:
        """There is nothing to do from now on."""
        with self._lock:
            self._close(self.clock())

    def snapshot(self) -> CostSums:
        """The sums so far, from any thread."""
        with self._lock:
            return CostSums(
                dict(self._encode), dict(self._step), dict(self._decode), dict(self._rest)
            )

    def _add(self, sums: dict[K, Sums], key: K, began_s: float, part: int, count: int) -> None:
        taken_s = self.clock() - began_s
        with self._lock:
            _count(sums, key, taken_s)
            if self._began_s is not None:
                self._inside_s += taken_s
                self._did[part] += count

    def _close(self, now_s: float) -> None:
        if self._began_s is None:
            return
        calls, newcomers, pictures = self._did
        _count(self._rest, (calls, newcomers, pictures), now_s - self._began_s - self._inside_s)
        self._began_s, self._inside_s, self._did = None, 0.0, [0, 0, 0]


def _count(sums: dict[K, Sums], key: K, seconds: float) -> None:
    calls, total_s, squares = sums.get(key, _NOTHING)
    sums[key] = Sums(calls + 1, total_s + seconds, squares + seconds * seconds)


_NOTHING = Sums(0, 0.0, 0.0)


def _minus(later: Mapping[K, Sums], earlier: Mapping[K, Sums]) -> dict[K, Sums]:
    found = {}
    for key, one in later.items():
        before = earlier.get(key, _NOTHING)
        if one.calls > before.calls:
            spent_s, squares = one.seconds - before.seconds, one.squares - before.squares
            found[key] = Sums(one.calls - before.calls, spent_s, squares)
    if any(later.get(key, _NOTHING).calls < one.calls for key, one in earlier.items()):
        raise ValueError("The engine has been started anew between the two snapshots.")
    return found


def _plus(one: Mapping[K, Sums], other: Mapping[K, Sums]) -> dict[K, Sums]:
    found = dict(one)
    for key, more in other.items():
        there = found.get(key, _NOTHING)
        calls, seconds = there.calls + more.calls, there.seconds + more.seconds
        found[key] = Sums(calls, seconds, there.squares + more.squares)
    return found


def _rows(sums: Mapping[Any, Sums]) -> list[list[Any]]:
    return [[*key, *one] for key, one in sums.items()]


def _cells(rows: Sequence[Sequence[Any]]) -> dict[Any, Sums]:
    return {tuple(row[:-3]): Sums(int(row[-3]), float(row[-2]), float(row[-1])) for row in rows}
