"""The controller of a server that does not adapt."""

from __future__ import annotations

from dataclasses import dataclass

from policies.controllers.base import ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class Static:
    """Always the same rung: the server that does not adapt."""

    rung: int = 0

    def __post_init__(self) -> None:
        if self.rung < 0:
            raise ValueError(f"static rung {self.rung} must be a ladder index >= 0")

    @property
    def deepest(self) -> int:
        """The one rung that it chooses."""
        return self.rung

    @property
    def needs_costs(self) -> bool:
        """It counts jobs and knows no costs."""
        return False

    def initial(self) -> ControllerState:
        """The one state that it has."""
        return ControllerState(self.rung, float("-inf"))

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """No load changes it."""
        del load
        return state
