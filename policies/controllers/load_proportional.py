"""As much quality as lets the line drain within a target time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from policies.controllers.base import ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class LoadProportional:
    """The best rung at which the line drains within `target_s`.

    The drain time of a rung is waiting / capacity_per_s[rung]: Little's law for the wait of the
    last job in the line. A rung is of use if it has more capacity than every better one; where no
    engine hosts a rung it has none. If no rung meets the target, the one with the most capacity.
    Down at once; back up one useful rung at a time, after `hold_s` on the present one, which is
    not awaited on a rung that no engine hosts any more. While no engine is up nothing changes.
    ValueError unless target_s > 0, deepest >= 0 and hold_s >= 0.
    """

    target_s: float
    deepest: int
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.target_s > 0:
            raise ValueError(f"target_s {self.target_s} must be above 0")
        if self.deepest < 0:
            raise ValueError(f"deepest rung {self.deepest} must be a ladder index >= 0")
        if not self.hold_s >= 0:
            raise ValueError(f"hold_s {self.hold_s} must not be negative")

    @property
    def needs_costs(self) -> bool:
        """Capacities come from the cost table."""
        return True

    def initial(self) -> ControllerState:
        """Full service, free to change at once."""
        return ControllerState(0, -math.inf)

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """Down as far as the line needs, or one useful rung back, or no change."""
        capacity_per_s = load.capacity_per_s[: self.deepest + 1]
        useful = _useful(capacity_per_s)
        if not useful:
            return state
        # Drain times fall along the useful rungs, so the first that meets the target is the best.
        drains_s = ((rung, load.waiting / capacity_per_s[rung]) for rung in useful)
        wanted = next((rung for rung, time_s in drains_s if time_s <= self.target_s), useful[-1])
        if wanted > state.rung:
            return ControllerState(wanted, load.now_s)
        hosted = state.rung < len(capacity_per_s) and capacity_per_s[state.rung] > 0
        held = load.now_s - state.since_s >= self.hold_s
        if wanted < state.rung and (held or not hosted):
            return ControllerState(max(r for r in useful if r < state.rung), load.now_s)
        return state


def _useful(capacity_per_s: Sequence[float]) -> list[int]:
    """The rungs with more capacity than every better one: the others only cost quality."""
    found: list[int] = []
    most_per_s = 0.0
    for rung, rate_per_s in enumerate(capacity_per_s):
        if rate_per_s > most_per_s:
            most_per_s = rate_per_s
            found.append(rung)
    return found
