"""What the deployments say to each other: small frozen values, encoded pictures, never arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.convergence import ConvergenceReport
from pipelines.jobs import EarlyExit
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
    """A place in one engine; the job is to run there with this service."""

    job_id: str
    pool: str
    engine_id: str
    service: Service
    granted_unix_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """No place: `reason` is queue_full, tenant_full, no_rung, hopeless, expired, or superseded for a
    call that the same gateway has repeated meanwhile."""

    job_id: str
    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """First word of an engine about a job: it has it. `text_tokens` counts the prompt's tokens."""

    text_tokens: int


@dataclass(frozen=True, slots=True)
class NotHere:
    """The job was sent to an engine other than the granted one; nothing was done."""

    engine_id: str


@dataclass(frozen=True, slots=True)
class Partial:
    """A picture on its way, encoded in the wanted format."""

    index: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What became of one job in its engine; times are unix seconds.

    `variant` ran the last step. `guided_steps` of the `steps_run` ran with guidance.
    `rung_delivered` is a ladder index.
    """

    variant: str
    sampler: str
    guidance_scale: float
    guidance_rescale: float
    seed: int
    steps_planned: int
    steps_run: int
    guided_steps: int
    early_exit: EarlyExit
    quality_admitted: str
    quality_delivered: str
    rung_delivered: int
    started_unix_s: float
    ended_unix_s: float


@dataclass(frozen=True, slots=True)
class Done:
    """The finished picture, encoded in the wanted format."""

    data: bytes
    facts: Facts


@dataclass(frozen=True, slots=True)
class Failed:
    """The picture could not be made, by the job's own fault; the engine goes on.

    `param` names the parameter to change where the request itself was wrong.
    """

    message: str
    param: str | None = None


EngineWord = Accepted | NotHere | Partial | Done | Failed


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that left an engine. `facts` is None unless it finished."""

    job_id: str
    outcome: str
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class EngineNote:
    """An engine's report on itself to the dispatcher.

    `seq` rises with every note of one engine, so that a note overtaken on its way is recognised.
    `running` holds every job that is in the engine now, `ended` those that left since the note
    before. `progress` says how far the jobs are that go on, in a note that tells which jobs a step
    boundary has ended, and is None in any other. `heard` is the number of the last lowering that
    has reached the engine. `steps_total` and `pictures_total` count since its start. `batch_limit`
    is the most jobs that it still runs in one call, fewer than `places` once memory ran out.
    `convergence` is what its tuner knows, if the configuration has a convergence exit.
    `price_per_s` is what a second of the engine costs. `costs` are the sums of what its work has
    taken since its start (`pipelines.service_costs.CostSums.to_plain`).
    """

    engine_id: str
    pool: str
    seq: int
    pid: int
    places: int
    variants: tuple[str, ...]
    device: str
    running: tuple[str, ...]
    ended: tuple[Ended, ...]
    steps_total: int
    pictures_total: int
    batch_limit: int
    convergence: ConvergenceReport | None = None
    progress: tuple[Progress, ...] | None = None
    heard: int = 0
    price_per_s: float = 0.0
    costs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lowering:
    """One running job is to exit early as if this rung were announced for it alone.

    `number` rises with every lowering for one engine, which says up to where it has heard them.
    """

    number: int
    job_id: str
    rung: int


@dataclass(frozen=True, slots=True)
class Directions:
    """What the dispatcher wants of an engine: the current rung, and what to lower.

    `replicas_wanted` is how many engines its pool should have by the scaling policy; None: no view.
    """

    rung: int
    lowered: tuple[Lowering, ...] = ()
    replicas_wanted: int | None = None
