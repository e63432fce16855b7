"""Virtual time: what is to happen next, and alarms that can be put off."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

Happens = Callable[[float, Any], None]


class Agenda:
    """What is to happen, by time and, at one time, in order of entry."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Happens, Any]] = []
        self._order = count()

    def at(self, at_s: float, happens: Happens, what: Any) -> None:
        """Call `happens(at_s, what)` when it is time."""
        heappush(self._entries, (at_s, next(self._order), happens, what))

    def after(self, now_s: float, delay_s: float, happens: Happens, what: Any) -> None:
        """The same after a delay; at once if there is none."""
        if delay_s == 0.0:
            happens(now_s, what)
        else:
            heappush(self._entries, (now_s + delay_s, next(self._order), happens, what))

    def run(self, goes_on: Callable[[], bool]) -> None:
        """Let everything happen while there is something and `goes_on`."""
        entries = self._entries
        while entries and goes_on():
            now_s, _, happens, what = heappop(entries)
            happens(now_s, what)


class Alarm:
    """Rings once at a time that may be set anew before; it keeps one entry in the agenda.

    Setting it later, the usual case, costs nothing: the entry looks again when its time has come.
    """

    def __init__(self, agenda: Agenda, rings: Callable[[float], None]) -> None:
        self._agenda = agenda
        self._rings = rings
        self._due_s = self._entry_s = math.inf

    @property
    def is_set(self) -> bool:
        """Whether it will ring."""
        return self._due_s < math.inf

    def set(self, due_s: float) -> None:
        """Ring at due_s and no more at the time set before; infinite: not at all."""
        self._due_s = due_s
        if due_s < self._entry_s:
            self._entry_s = due_s
            self._agenda.at(due_s, self._look, None)

    def _look(self, now_s: float, _: None) -> None:
        if now_s != self._entry_s:
            return  # an earlier entry has taken this one's place
        self._entry_s = math.inf
        if self._due_s > now_s:
            self.set(self._due_s)
            return
        self._due_s = math.inf
        self._rings(now_s)
