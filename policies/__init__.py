"""Pure decisions: who is admitted, in which order, where, and at which rung of the ladder.

This package imports the standard library only, reads no clock, draws no random number and does no
I/O. The same objects are driven by the live service (wall clock), by the simulator (virtual time)
and, through their thresholds, by the analytic models.

Nouns (`nouns`)
    `Rung` is a level of service (variant, steps, label). `Ladder` orders rungs from best to
    cheapest; `floor_for(quality)` turns a client's quality into a floor, `rung_for` gives the rung
    within a floor. `Job` is what the policies know of one image to make; `Service` what it gets;
    `Load` what a controller sees. `service_for(job, ladder, rung)` decides the service at start.

Controllers (`controllers`)
    `Static` never changes; `Hysteresis` goes down as the line grows, and back with a gap and a
    minimum hold. A controller maps (Load, ControllerState) to ControllerState.

Early exits (`exits`)
    `changed(service, planned, done, floor=…, announced=…, ladder=…, rules=…, fixed=…)` is what an
    engine asks for each running job at a step boundary after a new rung was announced: None, or a
    `Change` (new service, new number of planned steps, kind of exit). `ExitRules` say what a lower
    rung does: nothing, re-plan, finish now, or hand over to a cheaper variant. The step arithmetic
    is `remaining_after_replan`; `guided_steps` tells where a guidance share cuts a run.

Dispatcher (`dispatcher`, `events`, `commands`)
    `Dispatcher(ladder, controller, max_waiting, announces).handle(event)` returns commands:

    ==================================== ========================================================
    event                                what comes of it
    ==================================== ========================================================
    JobArrived(job, again, lost_engine)  StartJob, or it waits, or RejectJob
    JobFinished / JobFailed              its place is free: StartJob for whoever is first
    JobCancelled                         the same, whether it waited or ran
    EngineUp(places, variants, running)  StartJobs; AnnounceRung if the rung is not 0
    EngineDown                           its jobs wait again where their arrival puts them
    Ticked                               ExpireJob for passed deadlines; the rung may come back
    ==================================== ========================================================

    After every event: expire, decide the rung from the depth that the next start leaves behind,
    announce it (if it `announces`), then grant. A repeated event changes nothing. Jobs start in
    order of arrival, except that a job passes another whose variant has no free place. A driver
    that sleeps asks `next_deadline_s()`; a gateway that asks again finds its grant in `grant_of`.

Invariants, held by tests: admitted == finished + cancelled + failed + expired + waiting + running;
nobody below its floor; the line is bounded; more waiting never raises quality; an expired job
never starts; no engine is granted more than its places.
"""

from policies.commands import AnnounceRung, Command, ExpireJob, RejectJob, StartJob
from policies.controllers import Controller, ControllerState, Hysteresis, Static
from policies.dispatcher import Counts, Dispatcher, EngineView
from policies.events import (
    EngineDown,
    EngineUp,
    Event,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
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
from policies.nouns import (
    ANY_QUALITY,
    QUALITY_ORDER,
    Job,
    Ladder,
    Load,
    Rung,
    Service,
    quality_index,
)
from policies.service import service_for

__all__ = [
    "ANY_QUALITY",
    "APPLIED",
    "QUALITY_ORDER",
    "AnnounceRung",
    "Change",
    "Command",
    "Controller",
    "ControllerState",
    "Counts",
    "Dispatcher",
    "EngineDown",
    "EngineUp",
    "EngineView",
    "Event",
    "ExitRules",
    "ExpireJob",
    "Hysteresis",
    "Job",
    "JobArrived",
    "JobCancelled",
    "JobFailed",
    "JobFinished",
    "Ladder",
    "Load",
    "OnLowerRung",
    "RejectJob",
    "Rung",
    "Service",
    "StartJob",
    "Static",
    "Ticked",
    "changed",
    "guided_steps",
    "hand_overs",
    "quality_index",
    "remaining_after_replan",
    "service_for",
]
