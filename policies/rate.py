"""Recent rates, measured over a sliding window of the driver's time."""

from __future__ import annotations

from collections import deque

YOUNG_SHARE = 0.1
"""The share of its window that a meter reckons with at least: two events in a row are no rate."""


class RateMeter:
    """Events per second over the last `window_s`, or since the first event if that is less."""

    def __init__(self, window_s: float) -> None:
        if window_s <= 0:
            raise ValueError(f"window_s {window_s} must be above 0")
        self._window_s = window_s
        self._times_s: deque[float] = deque()
        self._first_s: float | None = None

    def note(self, now_s: float) -> None:
        """Count one event at `now_s`; times must not fall."""
        if self._first_s is None:
            self._first_s = now_s
        self._times_s.append(now_s)
        self._drop_old(now_s)

    def per_second(self, now_s: float) -> float:
        """The rate at `now_s`; 0 before the first event."""
        self._drop_old(now_s)
        if self._first_s is None:
            return 0.0
        age_s = max(now_s - self._first_s, YOUNG_SHARE * self._window_s)
        return len(self._times_s) / min(self._window_s, age_s)

    def _drop_old(self, now_s: float) -> None:
        while self._times_s and self._times_s[0] < now_s - self._window_s:
            self._times_s.popleft()
