"""What the dispatcher tells its driver to do, in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policies.nouns import Service

RejectReason = Literal["queue_full", "tenant_full", "no_rung", "hopeless"]
DropReason = Literal["expired", "hopeless"]


@dataclass(frozen=True, slots=True)
class AdmitJob:
    """The job is accepted and stands in the line; its start, if at once, is a command of its own."""

    job_id: str


@dataclass(frozen=True, slots=True)
class StartJob:
    """Grant the job a place in this engine, with this service."""

    job_id: str
    engine_id: str
    service: Service


@dataclass(frozen=True, slots=True)
class RejectJob:
    """Answer that the job is not accepted.

    `reason` is "queue_full" or "tenant_full" (then retry_after_s estimates when a place in the line
    comes free), "no_rung" (no rung of the ladder can serve it, or no engine that is up within its budget) or "hopeless" (its
    deadline cannot be met even at its floor).
    """

    job_id: str
    reason: RejectReason
    retry_after_s: float | None


@dataclass(frozen=True, slots=True)
class DropJob:
    """The accepted job will not run: its deadline passed in the line ("expired"), or cannot be met
    any more even at its floor ("hopeless")."""

    job_id: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class AnnounceRung:
    """Tell every engine that is up the current rung; at its next boundary its exit rules apply it.

    An engine that comes up later is told `Dispatcher.announced_rung` with its first word.
    """

    rung: int


@dataclass(frozen=True, slots=True)
class LowerJob:
    """Let one running job exit early: its engine treats `rung` as announced for this job alone."""

    job_id: str
    engine_id: str
    rung: int


@dataclass(frozen=True, slots=True)
class RedoJob:
    """The picture just finished is not good enough: the job waits again, for a better rung."""

    job_id: str


Command = AdmitJob | StartJob | RejectJob | DropJob | AnnounceRung | LowerJob | RedoJob
