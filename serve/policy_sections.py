"""The sections of the configuration file that choose policies; `policies.building` builds them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from policies.building import ControllerKind, OrderName, RoutingName
from policies.dispatcher import RATE_WINDOW_S
from serve.sections import Count, Section, Share, ShareAboveNone

Seconds = Annotated[float, Field(ge=0)]
SecondsAboveNone = Annotated[float, Field(gt=0)]
Depths = tuple[Annotated[int, Field(ge=0)], ...]
RungIndex = Annotated[int, Field(ge=0)]


class ControllerSection(Section):
    """How the current rung is chosen; rungs count from 0, the best. A kind takes its own keys only.

    static: always `rung`.
    threshold: rung i is entered at `enter[i-1]` waiting jobs, and left as soon as fewer wait.
    hysteresis: rung i is entered at `enter[i-1]` waiting jobs and left at `leave[i-1]`, after
    `min_hold_s` at the least.
    load_proportional: the best rung at which the line drains within `target_s`; back up one rung at
    a time, after `hold_s`.
    deadline_aware: for each job the best rung that meets its deadline, or `target_s` after its
    arrival if it has none. `margin_s` is kept free before each deadline. While others wait, a job
    may spend only `share` of the time that it has left, and no job gets a rung at which the line
    would take longer than `drain_s` to drain (half of `target_s` if left out), nor a better one
    than the best whose capacity covers `pace` times the arrival rate (0, the default: any).
    quality_budget: as hysteresis, but only as far as the mean score of all pictures stays at
    `target_score` or above.
    cost_optimal: what the decision table in the file `table` says (relative to this file).
    burst_ahead: as hysteresis, on the line to be expected in `horizon_s` by the trend of arrivals.

    `deepest` is the last rung that load_proportional and deadline_aware choose, the ladder's if
    left out. load_proportional, deadline_aware and burst_ahead predict times: every pool must name
    its `costs`. quality_budget needs a `score` for every rung.

    `apply` is what a lower rung does to the jobs that already run. at_start: nothing. in_flight:
    fewer steps for the rest. finish_now: the same, but what has run at least `finish_from` of its
    steps is decoded at once. hand_over: fewer steps for the rest, also in another variant of the
    same engine that shares latents and noise levels.
    """

    kind: ControllerKind
    rung: RungIndex | None = None
    enter: Depths | None = None
    leave: Depths | None = None
    min_hold_s: Seconds | None = None
    hold_s: Seconds | None = None
    target_s: SecondsAboveNone | None = None
    margin_s: Seconds | None = None
    share: Share | None = None
    drain_s: SecondsAboveNone | None = None
    pace: Annotated[float, Field(ge=0)] | None = None
    target_score: Share | None = None
    horizon_s: SecondsAboveNone | None = None
    table: str | None = None
    deepest: RungIndex | None = None
    apply: Literal["at_start", "in_flight", "finish_now", "hand_over"] = "in_flight"
    finish_from: ShareAboveNone | None = None


class TiersSection(Section):
    """By how many seconds a job of each tier is put off behind those that come later."""

    priority: Seconds | None = None
    default: Seconds | None = None
    flex: Seconds | None = None


class DispatcherSection(Section):
    """The one queue: who may wait, who is first, and which engine runs it.

    At most `max_waiting` jobs wait, and at most `tenant_max` of one `user` wait and run.
    `refuse_hopeless` refuses at once what cannot meet its deadline even at its lowest quality (needs
    `costs`).

    `order`: fifo; deadline (earliest first); shortest (fewest steps first); tiers (by
    `service_tier`: a job stands in line as if it had come `tiers` seconds later, so nobody waits
    for ever); fair (whose `user` had the fewest steps so far).

    `routing`: random, round_robin, shortest_queue or two_choices (the emptier of two at random) take
    an engine for the controller's rung; so does least_completion, the one that is done first. The
    others choose the rung as well, from the controller's down to the lowest that the request
    accepts: cheapest that meets the deadline; best_quality that meets it; within_budget, the best
    for at most `price_max` a picture. The last four need `costs`; cheapest and within_budget need
    `price_per_hour`.

    Rates of arrival are taken over `rate_window_s`. `seed` is for what is drawn at random.
    """

    max_waiting: Count = 64
    tenant_max: Count | None = None
    refuse_hopeless: bool = False
    order: OrderName = "fifo"
    tiers: TiersSection | None = None
    routing: RoutingName = "shortest_queue"
    price_max: Annotated[float, Field(gt=0)] | None = None
    rate_window_s: SecondsAboveNone = RATE_WINDOW_S
    seed: int = 0
