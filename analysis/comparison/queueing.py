"""The queueing model of a run: its server as a chain of batched, step-wise service.

Costs come from the profile; of controllers the chain knows the static one and hysteresis on the
number waiting. All others, and loads without a steady state, have no figures here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from analysis.comparison.ensembles import Modelled
from analysis.models.stages import StageServer, stage_chain, with_quick_stages
from analysis.models.steady import Unstable
from analysis.prediction import Figures, full_step_rates_per_s
from analysis.server_config import ServerSettings
from analysis.simulator import Overheads
from pipelines.costs import CostTable
from policies.controllers import Hysteresis
from policies.costs import steps_s
from policies.nouns import Rung


@dataclass(frozen=True, slots=True)
class QueueingModel:
    """What the chain says; `server` is its engine with every step a stage, None where there is none.

    `modelled` is None where there are no figures; `method` says why, or how they were had.
    """

    server: StageServer | None
    modelled: Modelled | None
    method: str


def queueing_model(
    settings: ServerSettings, costs: CostTable, overheads: Overheads, rate_per_s: float
) -> QueueingModel:
    """The long run of this server at this rate. The ways to and from the engine are added as they
    are without load: in the chain they keep no place empty."""
    server, why = stage_server(settings, costs)
    if server is None:
        return QueueingModel(None, None, why)
    try:
        found = stage_chain(rate_per_s, solvable(server))
    except Unstable:
        capacity = server.rates_per_s[-1] / server.work[-1]
        why = (
            f"no steady state: {rate_per_s:.2f}/s arrive and {capacity:.2f}/s can be served, so the"
            f" queue grows by {rate_per_s - capacity:.2f} jobs a second for as long as this lasts"
        )
        return QueueingModel(server, None, why)
    except ValueError as error:
        return QueueingModel(None, None, f"the chain cannot be solved: {error}")
    around_s = overheads.network_s + overheads.grant_s + overheads.response_s
    controlled = len(server.work) > 1
    figures = Figures(
        n=float("nan"),
        mean_s=found.mean_response_s + around_s,
        p50_s=found.p50_s + around_s,
        p95_s=found.p95_s + around_s,
        p99_s=found.p99_s + around_s,
        mean_steps=float("nan") if controlled else float(settings.ladder.best.steps),
        degraded_share=float(found.degraded_share or 0.0) if controlled else 0.0,
        rejected=0.0,
        utilisation=found.utilisation,
    )
    method = f"{found.method}; {1000 * around_s:.1f} ms outside the engines added"
    return QueueingModel(server, Modelled(figures, {}, method), method)


def solvable(server: StageServer) -> StageServer:
    """The engine with the few stages that are solved, and the figures carried on to all of them."""
    return with_quick_stages(replace(server, steps=server.stages))


def stage_server(settings: ServerSettings, costs: CostTable) -> tuple[StageServer | None, str]:
    """The chain's engine, each step of full service a stage; or None and why there is none."""
    rates, steps = tuple(full_step_rates_per_s(settings, costs)), settings.ladder.best.steps
    if not settings.controlled:
        return StageServer(rates, stages=steps), ""
    controller = settings.controller
    if not isinstance(controller, Hysteresis):
        kind = type(controller).__name__
        return None, f"the chain knows no controller of the kind {kind}"
    rungs = settings.ladder.rungs[: controller.deepest + 1]
    batch = max(settings.batches_of_best())
    full_s = work_s(settings.ladder.best, costs, batch)
    work = tuple(work_s(rung, costs, batch) / full_s for rung in rungs)
    try:
        server = StageServer(
            rates,
            stages=steps,
            work=work,
            enter=controller.enter,
            leave=controller.leave,
            in_flight=settings.rules.on_lower != "keep",
        )
    except ValueError as error:
        return None, f"the ladder cannot be put in a chain: {error}"
    return server, ""


def work_s(rung: Rung, costs: CostTable, batch: int) -> float:
    """Engine seconds of one picture in full batches of its like, encoding and decoding included."""
    apart_s = costs.encode_s(rung.variant) + costs.decode_s(rung.variant, 1)
    return steps_s(costs, rung, batch) / batch + apart_s
