"""What the dispatcher tells its driver to do, in the order given."""

from __future__ import annotations

from dataclasses import dataclass

from policies.nouns import Service


@dataclass(frozen=True, slots=True)
class StartJob:
    """Grant the job a place in this engine, with this service."""

    job_id: str
    engine_id: str
    service: Service


@dataclass(frozen=True, slots=True)
class RejectJob:
    """Answer that the job is not accepted.

    `reason` is "queue_full" (then retry_after_s estimates when a place in the line comes free) or
    "no_rung" (no rung of the ladder can serve it, now or later; retry_after_s is None).
    """

    job_id: str
    reason: str
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class ExpireJob:
    """The deadline passed while the job waited; it will not run."""

    job_id: str


@dataclass(frozen=True, slots=True)
class AnnounceRung:
    """Tell the engine the current rung; at its next boundary its exit rules apply it."""

    engine_id: str
    rung: int


Command = StartJob | RejectJob | ExpireJob | AnnounceRung
