"""Pure decisions: who is admitted, in which order, where, and at which rung of the ladder.

This package imports the standard library only, reads no clock and does no I/O; the few policies
that draw at random draw from a generator that they are handed. The same objects are driven by the
live service (wall clock), by the simulator (virtual time) and, through their thresholds, by the
analytic models.

Nouns (`nouns`, `load`, `costs`)
    `Rung` is a level of service (variant, steps, label, score). `Ladder` orders rungs from best to
    cheapest; `floor_for(quality)` turns a client's quality into a floor, `rung_for` gives the rung
    within a floor. `Job` is what the policies know of one image to make; `Service` what it gets;
    `Load` what a controller sees; `Costs` what calls cost. `service_for(job, ladder, rung)` decides
    the service at start.

Decisions, each kind behind one protocol; `Policy` puts one of each together
    ============== =============== ============================================================
    kind           module          choices
    ============== =============== ============================================================
    controller     `controllers`   which rung: `Static`, `Hysteresis`, `LoadProportional`,
                                   `DeadlineAware`, `QualityBudget`, `DecisionTable`,
                                   `BurstAhead`, `Split`, `Cascade`
    exit           `exits`         what a lower rung does to running jobs: keep, replan, finish,
                                   hand_over (`ExitRules`, `changed`)
    order          `orders`        who is next: `Fifo`, `EarliestDeadline`, `ShortestWork`,
                                   `Tiers`, `FairShare`
    routing        `routing`       which engine: `Uniform`, `RoundRobin`, `ShortestQueue`,
                                   `TwoChoices`, `LeastCompletion`; and which rung as well:
                                   `Cheapest`, `BestQuality`, `WithinBudget`
    admission      `admission`     who may wait: `Admission`
    ============== =============== ============================================================

Dispatcher (`dispatcher`, `events`, `commands`)
    `Dispatcher(policy, costs=…, draws=…).handle(event)` returns commands:

    ==================================== ========================================================
    event                                what comes of it
    ==================================== ========================================================
    JobArrived(job, again, lost_engine)  AdmitJob and perhaps StartJob, or RejectJob
    JobFinished / JobFailed              its place is free: StartJob for whoever is first; RedoJob
    JobCancelled                         the same, whether it waited or ran
    EngineUp(places, variants, running)  StartJobs
    EngineDown                           its jobs wait again where their rank puts them
    EngineSuspected                      it gets no new jobs until it is suspected no longer
    EngineProgressed                     LowerJob for jobs that would be late
    Ticked                               DropJob for passed deadlines; the rung may come back
    ==================================== ========================================================

    After every event: drop who is due, decide the rung from the depth that the next starts leave
    behind, announce it, then start whoever can. A repeated event changes nothing. A job passes
    another whose variant has no free place. The parts are `line` (who waits, in lanes of jobs that
    can get the same), `gate` (who may wait), `groups` (engines and what runs in them), `fleet` (all
    of them, and until when they run), `matching` (who starts next), `prospects` (whose deadline is
    hopeless) and `in_flight` (which running job must be lowered). A
    driver that sleeps asks `next_deadline_s()`; a gateway that asks again finds its grant in
    `grant_of`.

Invariants, held by tests: admitted == finished + cancelled + failed + expired + hopeless + waiting
+ running; nobody below its floor; the line is bounded; more waiting never raises quality; a dropped
job never starts; no engine is granted more than its places.
"""

from policies.admission import Admission
from policies.commands import (
    AdmitJob,
    AnnounceRung,
    Command,
    DropJob,
    LowerJob,
    RedoJob,
    RejectJob,
    StartJob,
)
from policies.controllers import (
    BurstAhead,
    Cascade,
    CascadeBand,
    Controller,
    ControllerState,
    DeadlineAware,
    DecisionTable,
    Hysteresis,
    LoadProportional,
    QualityBudget,
    RateBand,
    Split,
    SplitBand,
    Static,
)
from policies.costs import Costs, completion_rate_per_s, completion_rates_per_s, run_s, steps_s
from policies.dispatcher import RATE_WINDOW_S, Dispatcher
from policies.events import (
    EngineDown,
    EngineProgressed,
    EngineSuspected,
    EngineUp,
    Event,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Progress,
    Ticked,
)
from policies.exits import (
    APPLIED,
    Change,
    ExitRules,
    OnLowerRung,
    changed,
    guided_steps,
    hand_overs,
    remaining_after_replan,
)
from policies.groups import EngineView
from policies.ledger import Counts
from policies.load import Load
from policies.nouns import (
    ANY_QUALITY,
    QUALITY_ORDER,
    Job,
    Ladder,
    Rung,
    Service,
    quality_index,
)
from policies.orders import EarliestDeadline, FairShare, Fifo, Order, ShortestWork, Tiers
from policies.policy import Policy
from policies.routing import (
    OBJECTIVES,
    BestQuality,
    Cheapest,
    LeastCompletion,
    RoundRobin,
    Routing,
    ShortestQueue,
    TwoChoices,
    Uniform,
    WithinBudget,
)
from policies.service import service_for

__all__ = [
    "ANY_QUALITY",
    "APPLIED",
    "OBJECTIVES",
    "QUALITY_ORDER",
    "RATE_WINDOW_S",
    "Admission",
    "AdmitJob",
    "AnnounceRung",
    "BestQuality",
    "BurstAhead",
    "Cascade",
    "CascadeBand",
    "Change",
    "Cheapest",
    "Command",
    "Controller",
    "ControllerState",
    "Costs",
    "Counts",
    "DeadlineAware",
    "DecisionTable",
    "Dispatcher",
    "DropJob",
    "EarliestDeadline",
    "EngineDown",
    "EngineProgressed",
    "EngineSuspected",
    "EngineUp",
    "EngineView",
    "Event",
    "ExitRules",
    "FairShare",
    "Fifo",
    "Hysteresis",
    "Job",
    "JobArrived",
    "JobCancelled",
    "JobFailed",
    "JobFinished",
    "Ladder",
    "LeastCompletion",
    "Load",
    "LoadProportional",
    "LowerJob",
    "OnLowerRung",
    "Order",
    "Policy",
    "Progress",
    "QualityBudget",
    "RateBand",
    "RedoJob",
    "RejectJob",
    "RoundRobin",
    "Routing",
    "Rung",
    "Service",
    "ShortestQueue",
    "ShortestWork",
    "Split",
    "SplitBand",
    "StartJob",
    "Static",
    "Ticked",
    "Tiers",
    "TwoChoices",
    "Uniform",
    "WithinBudget",
    "changed",
    "completion_rate_per_s",
    "completion_rates_per_s",
    "guided_steps",
    "hand_overs",
    "quality_index",
    "remaining_after_replan",
    "run_s",
    "service_for",
    "steps_s",
]
