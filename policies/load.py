"""The snapshot of the whole service that a controller sees."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Counts, rates and what has been delivered so far.

    `waiting` counts the jobs that wait once every place that can be granted is: the depth that a
    starting job leaves behind. `places` is the total over all engines that are up.
    `arrival_rate_per_s` is over the dispatcher's rate window, `recent_rate_per_s` over a fifth of
    it, so that their difference shows a trend. `capacity_per_s[r]` is how many jobs a second all
    engines that are up finish with full batches at rung r; it is empty without a cost table.
    `score_sum` adds up the scores (`Rung.score`) of what was delivered, `scored` counts them.
    """

    now_s: float
    waiting: int
    running: int
    engines: int
    places: int
    arrival_rate_per_s: float = 0.0
    recent_rate_per_s: float = 0.0
    capacity_per_s: tuple[float, ...] = ()
    score_sum: float = 0.0
    scored: int = 0
