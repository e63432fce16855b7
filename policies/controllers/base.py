"""What the dispatcher asks of a controller: from the load to the current rung.

A controller is a pure function of the load and its own former state, so that the live dispatcher,
the simulator and an analytic model can all ask it. It is *monotone*: from the same state, more
waiting jobs never lead to a better rung.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from policies.load import Load


@dataclass(frozen=True, slots=True)
class ControllerState:
    """The current rung, the time at which it was last changed (-inf: never), and a memory.

    `memory` is one number that a controller may keep from one decision to the next; what it means
    is the controller's own affair. `inner` is the state of a controller that this one wraps.
    """

    rung: int
    since_s: float
    memory: float = 0.0
    inner: ControllerState | None = None


class Controller(Protocol):
    """What the dispatcher asks of a controller."""

    @property
    def deepest(self) -> int:
        """The largest ladder index that it may choose."""

    @property
    def needs_costs(self) -> bool:
        """Whether it decides by the cost table, so that the dispatcher must have one."""

    def initial(self) -> ControllerState:
        """The state in which it starts."""

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """The state after seeing `load`; `state` itself if nothing changes."""
