"""Admission: who may wait at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Admission:
    """Bounds on the line.

    `max_waiting` jobs may wait, and `tenant_max` of one tenant may wait and run (None: no limit of
    its own). With `refuse_hopeless` a job that would miss its deadline in a full batch, even at its
    floor, is refused at once, and an accepted one is dropped as soon as it has become so, as in
    Clockwork (Gujarati et al., 2020): what would be late anyway must not make others late. That is
    cautious: alone in an engine the job would be quicker. ValueError for a bound below 1.
    """

    max_waiting: int = 64
    tenant_max: int | None = None
    refuse_hopeless: bool = False

    def __post_init__(self) -> None:
        if self.max_waiting < 1:
            raise ValueError(f"max_waiting {self.max_waiting} must be at least 1")
        if self.tenant_max is not None and self.tenant_max < 1:
            raise ValueError(f"tenant_max {self.tenant_max} must be at least 1, or left out")
