"""What the dispatcher is told. Every event carries the time at which it happened."""

from __future__ import annotations

from dataclasses import dataclass

from policies.nouns import Job


@dataclass(frozen=True, slots=True)
class JobArrived:
    """A gateway asks for a place.

    `again` marks a job that was accepted before (its engine or the dispatcher died): it keeps its
    arrival_s and so its place in the line, and the bound on waiting jobs does not apply to it.
    `lost_engine` names the engine on which it was lost: if the job still counts as running there,
    it goes back to waiting. Any other repetition of a known job changes nothing.
    """

    now_s: float
    job: Job
    again: bool = False
    lost_engine: str | None = None


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A picture is done; its place is free.

    `rung` is the ladder index that was delivered, `steps_run` the steps that it took; None: as
    granted. `confidence` (0 to 1) is a discriminator's that the picture is good enough, if there is
    one: a cascade goes by it.
    """

    now_s: float
    job_id: str
    rung: int | None = None
    steps_run: int | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A job ended without a picture by its own fault (a NaN, a bad input); it is not retried."""

    now_s: float
    job_id: str


@dataclass(frozen=True, slots=True)
class JobCancelled:
    """The client hung up, whether the job waits or runs."""

    now_s: float
    job_id: str


@dataclass(frozen=True, slots=True)
class EngineUp:
    """An engine has come up, or come up anew, with exactly these jobs running.

    `pool` names the engines that are like it (same card, same variants), whose costs are one table;
    `price_per_s` is what a second of it costs, in any one currency. Sent once per start of an
    engine or of the dispatcher, not as a heartbeat: a job that counted as running there and is not
    named in `running` was lost and waits again.
    """

    now_s: float
    engine_id: str
    places: int
    variants: frozenset[str]
    running: tuple[str, ...] = ()
    pool: str = ""
    price_per_s: float = 0.0

    def __post_init__(self) -> None:
        if self.places < 1:
            raise ValueError(f"engine {self.engine_id}: places {self.places} must be at least 1")
        if self.price_per_s < 0:
            raise ValueError(f"engine {self.engine_id}: price_per_s {self.price_per_s} is below 0")


@dataclass(frozen=True, slots=True)
class EngineDown:
    """An engine is gone; whatever ran there waits again in order of arrival."""

    now_s: float
    engine_id: str


@dataclass(frozen=True, slots=True)
class EngineSuspected:
    """An engine has fallen silent or is leaving (`suspected`): it gets no new jobs, and those that run
    there run on. With `suspected` false it takes jobs again."""

    now_s: float
    engine_id: str
    suspected: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job is: steps done of the steps now planned."""

    job_id: str
    done: int
    planned: int


@dataclass(frozen=True, slots=True)
class EngineProgressed:
    """An engine tells how far its jobs are, with every report that it makes anyway."""

    now_s: float
    engine_id: str
    progress: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: deadlines may have, and the controller may come back up."""

    now_s: float


Event = (
    JobArrived
    | JobFinished
    | JobFailed
    | JobCancelled
    | EngineUp
    | EngineDown
    | EngineSuspected
    | EngineProgressed
    | Ticked
)
