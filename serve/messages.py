"""What the deployments say to each other: small frozen values, encoded pictures, never arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.convergence import ConvergenceReport
from pipelines.jobs import BatchLimit, FailureKind, PictureFacts
from policies.events import Progress
from policies.nouns import Service

OUTCOME_FINISHED = "finished"
OUTCOME_FAILED = "failed"
OUTCOME_CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """What an engine must know to make one picture.

    `guidance_scale` None means the variant's own. `guidance_rescale` is 0 to 1. `converge` lets it
    end once it no longer changes; `pinned` keeps it in its variant. `partials` is the number of pictures on the way
    (0 to 3). `output_compression` is 0 to 100, for jpeg and webp.
    """

    job_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    guidance_scale: float | None
    guidance_rescale: float
    floor: int
    fixed: bool
    pinned: bool
    converge: bool
    partials: int
    output_format: str
    output_compression: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A slot in one engine; the job is to run there with this service.

    `grant_id` tells this run from any other of the same job. `alone` has the job computed in calls
    of its own, because it was in a call that broke an engine.
    """

    job_id: str
    grant_id: str
    pool: str
    engine_id: str
    service: Service
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """No slot: `reason` is queue_full, tenant_full, no_rung, hopeless, expired, or poison for a job
    that broke engines by itself; `detail` is then what broke."""

    job_id: str
    reason: str
    retry_after_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LostGrant:
    """A grant whose engine did not answer its gateway. `engine_gone`: Serve lists the engine no more."""

    grant_id: str
    engine_gone: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """First word of an engine about a job: it has it. `text_tokens` counts the prompt's tokens."""

    text_tokens: int


@dataclass(frozen=True, slots=True)
class NotHere:
    """The job does not run in this engine: it was sent to another than the granted one, or the
    engine is closed."""

    engine_id: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A picture on its way, encoded in the wanted format."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What became of one job in its engine, where it waited `queued_s` for its first boundary. The
    times in `picture` are on that engine's own clock."""

    picture: PictureFacts
    quality_admitted: str
    quality_delivered: str
    queued_s: float

    @property
    def service_s(self) -> float:
        """From the first boundary to the end of the decoding."""
        return self.picture.ended_s - self.picture.started_s


@dataclass(frozen=True, slots=True)
class Done:
    """The finished picture, encoded in the wanted format."""

    data: bytes
    facts: Facts


@dataclass(frozen=True, slots=True)
class Failed:
    """The picture could not be made, and the engine goes on.

    `param` names the parameter to change where the request itself was wrong.
    """

    message: str
    kind: FailureKind
    param: str | None = None


EngineWord = Accepted | NotHere | Partial | Done | Failed


@dataclass(frozen=True, slots=True)
class Ended:
    """A grant whose job has left its engine. `facts` is None unless it finished."""

    grant_id: str
    outcome: str
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """An engine's last message: it computes no more. `suspects` are the grants in the call that
    broke it."""

    cause: str
    suspects: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """An engine's report on itself to the dispatcher; it sends one after the other.

    `running` holds every grant that is in the engine now, `ended` those that left since the last
    report that was taken. `progress`, by grant, says how far the jobs are that go on, where a step
    boundary has ended others, and is None otherwise. `steps_total` and `pictures_total` count since
    its start. `batch_limits` are the calls that ran out of memory. `convergence` is what its tuner
    knows, if the configuration has a convergence exit. `price_per_s` is what a second of the engine
    costs. `costs` are the sums of what its work has taken since its start
    (`pipelines.service_costs.CostSums.to_plain`). `actor` is its name in Ray, by which it can be
    ended. `closing` makes this the last one.
    """

    engine_id: str
    pool: str
    pid: int
    places: int
    variants: tuple[str, ...]
    device: str
    running: tuple[str, ...] = ()
    ended: tuple[Ended, ...] = ()
    steps_total: int = 0
    pictures_total: int = 0
    batch_limits: tuple[BatchLimit, ...] = ()
    convergence: ConvergenceReport | None = None
    progress: tuple[Progress, ...] | None = None
    price_per_s: float = 0.0
    costs: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ""
    closing: Closing | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The answer to a heartbeat.

    An engine that is not `open` was given up: it gets no more grants and must end. `replicas_wanted`
    is how many engines its pool should have by the scaling policy; None: no view.
    """

    open: bool = True
    replicas_wanted: int | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """What the dispatcher wants of an engine: the current rung, and rungs for single grants, which
    are to exit early as if that rung were announced for them alone."""

    rung: int = 0
    lowered: Mapping[str, int] = field(default_factory=dict)


def grant_id_of(job_id: str, number: int) -> str:
    """The id of a job's grant; `job_id_of` is its inverse."""
    return f"{job_id}#{number:x}"


def job_id_of(grant_id: str) -> str:
    """The job of a grant."""
    return grant_id.rpartition("#")[0]
