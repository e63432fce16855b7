"""Acting on the line that the trend of arrivals promises, before it is there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from policies.controllers.base import Controller, ControllerState
from policies.load import Load


@dataclass(frozen=True, slots=True)
class BurstAhead:
    """Shows the wrapped controller the line that is to be expected in `horizon_s`.

    The rate to come carries the trend between the two rate windows on: recent + (recent - mean),
    at least 0, which is Holt's linear extrapolation (Holt 1957) over one window. To the jobs that
    wait are added those that arrive within the horizon at this rate beyond what the engines
    finish meanwhile at the present rung; where no engine hosts that rung they finish none. A
    falling rate takes nobody out of the line that is there.
    ValueError unless horizon_s > 0; from `decide` if there are engines without capacities.
    """

    pressure: Controller
    horizon_s: float

    def __post_init__(self) -> None:
        if not self.horizon_s > 0:
            raise ValueError(f"horizon_s {self.horizon_s} must be above 0")

    @property
    def deepest(self) -> int:
        """The wrapped controller's."""
        return self.pressure.deepest

    @property
    def needs_costs(self) -> bool:
        """What the engines finish comes from the cost table."""
        return True

    def initial(self) -> ControllerState:
        """The wrapped controller's."""
        return self.pressure.initial()

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """What the wrapped controller decides on the line to be expected."""
        trend_per_s = load.recent_rate_per_s - load.arrival_rate_per_s
        rate_per_s = max(0.0, load.recent_rate_per_s + trend_per_s)
        beyond_per_s = max(0.0, rate_per_s - _finished_per_s(load, state.rung))
        expected = load.waiting + int(beyond_per_s * self.horizon_s)
        return self.pressure.decide(replace(load, waiting=expected), state)


def _finished_per_s(load: Load, rung: int) -> float:
    if load.engines == 0:
        return 0.0
    if len(load.capacity_per_s) <= rung:
        raise ValueError(f"there is no capacity for rung {rung}: looking ahead needs a cost table")
    return load.capacity_per_s[rung]
