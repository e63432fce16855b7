"""Thresholds on the number of waiting jobs, with a gap between going down and coming back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from policies.controllers.base import ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Thresholds on the number of waiting jobs, with a gap between going down and coming back.

    Rung i (i >= 1) is entered when waiting >= enter[i-1], several rungs at once if need be. It is
    left, one rung back at a time, when waiting <= leave[i-1] and the rung has stood for
    min_hold_s. Lowering quality never waits: a queue grows faster than it drains.
    ValueError unless both tuples have one length, never fall, and leave[i] < enter[i].
    """

    enter: tuple[int, ...]
    leave: tuple[int, ...]
    min_hold_s: float = 0.0

    def __post_init__(self) -> None:
        if len(self.enter) != len(self.leave):
            raise ValueError(
                f"hysteresis has {len(self.enter)} enter and {len(self.leave)} leave thresholds;"
                " give one of each per rung below the first"
            )
        for name, thresholds in (("enter", self.enter), ("leave", self.leave)):
            if any(b < a for a, b in pairwise(thresholds)):
                raise ValueError(f"{name} thresholds {thresholds} must not fall down the ladder")
        for down, back in zip(self.enter, self.leave, strict=True):
            if not 0 <= back < down:
                raise ValueError(
                    f"leave threshold {back} must be at least 0 and below its enter threshold"
                    f" {down}"
                )
        if self.min_hold_s < 0:
            raise ValueError(f"min_hold_s {self.min_hold_s} must not be negative")

    @classmethod
    def threshold(cls, enter: tuple[int, ...]) -> Hysteresis:
        """Plain thresholds: each rung is left as soon as waiting falls below its own."""
        return cls(enter, tuple(depth - 1 for depth in enter))

    @property
    def deepest(self) -> int:
        """The rung that the last threshold enters."""
        return len(self.enter)

    @property
    def needs_costs(self) -> bool:
        """It counts jobs and knows no costs."""
        return False

    def initial(self) -> ControllerState:
        """Full service, free to change at once."""
        return ControllerState(0, float("-inf"))

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """Down as far as the thresholds say, or one rung back, or no change."""
        rung = state.rung
        while rung < len(self.enter) and load.waiting >= self.enter[rung]:
            rung += 1
        if rung > state.rung:
            return ControllerState(rung, load.now_s)
        held = load.now_s - state.since_s >= self.min_hold_s
        if rung > 0 and held and load.waiting <= self.leave[rung - 1]:
            return ControllerState(rung - 1, load.now_s)
        return state
