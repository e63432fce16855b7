"""Sets the models beside a run: what the queueing model says, what is predicted before the run, and
what the simulator makes of the run's own arrivals; then shares out the differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from analysis.comparison.budget import Budget, Entry, Milestone, share_out
from analysis.comparison.ensembles import BUDGETED, Ensemble, Modelled, values_of
from analysis.comparison.evidence import POISSON, Evidence
from analysis.comparison.profile import Profile
from analysis.comparison.queueing import QueueingModel, queueing_model
from analysis.comparison.textbook import TextbookWorlds
from analysis.comparison.worlds import RunWorlds
from analysis.intervals import (
    EFFECTIVE_MIN,
    Band,
    block_bootstrap,
    effective_size,
    mean_of,
    percentile_of,
)
from analysis.plain import finite
from analysis.prediction import Figures
from analysis.runs import DataError
from policies.exits import guided_steps

BOOTSTRAP_SEED = 10
P99_MIN = 500
"""Below this many requests p99 rests on fewer than five of them."""

LINE_GAP = 0.15
"""The server's count of waiting jobs may differ so much from that by the requests' stamps."""

QUEUEING, A_PRIORI, TRACE_DRIVEN, MEASURED = (
    "queueing model",
    "a priori",
    "trace-driven",
    "measured",
)
TEXTBOOK, THIS_RUN, REST = (
    "what the queueing model idealises",
    "what was this run's own",
    "what is left",
)
UNEXPLAINED = "unexplained"

TOLD = 6
"""How often `compare` tells its progress."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside its models. `queueing` is None where the chain has no figures: queueing_method
    says why. `notes` are sentences about what to be careful with."""

    name: str
    rate_per_s: float
    duration_s: float
    seed: int
    measured: Figures
    measured_bands: Mapping[str, Band]
    queueing: Modelled | None
    queueing_method: str
    a_priori: Modelled
    a_priori_arrivals_only: Mapping[str, Band]
    trace_driven: Modelled
    budget: Budget
    notes: tuple[str, ...]


def compare(
    evidence: Evidence,
    profile: Profile,
    *,
    draws: int = 20,
    replications: int = 40,
    tell: Callable[[str], None] = lambda what: None,
) -> Comparison:
    """Predict a run in every way, and say what makes the difference.

    `draws` replays of each world with something of the run's own, `replications` runs of the
    prediction. DataError or ValueError, one sentence, for a run or profile that cannot be used.
    """
    if not evidence.free:
        raise DataError(
            f"{evidence.run.name} asked for a variant or a number of steps of its own, which is no"
            " load for a comparison; compare a run without --steps and a variant in --model"
        )
    if min(draws, replications) < 2:
        raise ValueError("give at least 2 draws and 2 replications, for chance to be told")
    settings, run = evidence.settings, evidence.run
    worlds = RunWorlds(evidence, profile, draws, replications)
    tell("asking the queueing model")
    table = next(iter(worlds.tables_of_best()))
    queueing = queueing_model(settings, table, profile.overheads, run.rate_per_s)
    tell("predicting, before the run")
    predicted = worlds(frozenset())
    arrivals_only = worlds.arrivals_only()
    tell("finding the ways to the engines")
    worlds.lags()
    tell("replaying its own arrivals")
    replayed = worlds(frozenset(worlds.swaps))
    tell("sharing out what the queueing model idealises")
    textbook, chain = None, queueing.modelled
    if queueing.server is not None and chain is not None:
        textbook = TextbookWorlds(worlds, queueing.server)
        chain = _with_steps(chain, textbook)
    tell("sharing out what is this run's own")
    return Comparison(
        name=run.name,
        rate_per_s=run.rate_per_s,
        duration_s=run.duration_s,
        seed=run.seed,
        measured=evidence.measured,
        measured_bands=measured_bands(evidence),
        queueing=chain,
        queueing_method=queueing.method,
        a_priori=Modelled(predicted.figures, predicted.bands, _how_a_priori(worlds)),
        a_priori_arrivals_only=arrivals_only.bands,
        trace_driven=Modelled(replayed.figures, replayed.bands, _how_trace_driven(worlds)),
        budget=_budget(worlds, textbook, chain, predicted, replayed),
        notes=tuple(_notes(worlds, queueing)),
    )


def _how_a_priori(worlds: RunWorlds) -> str:
    speed = (
        f"the engines' speed as it changed in {len(worlds.profile.paces)} other runs"
        if worlds.follows and worlds.profile.paces
        else "a steady speed of the engines"
    )
    return (
        f"simulated: {worlds.replications} Poisson schedules of the run's rate and length, from an"
        f" empty server, costs and ways by {worlds.profile.source}, {speed}"
    )


def _how_trace_driven(worlds: RunWorlds) -> str:
    if not worlds.evidence.window.known:
        what = f"its own ways, and costs by {worlds.profile.source}"
    elif worlds.follows:
        what = "its own costs, ways and speed of the engines from second to second"
    else:
        what = "its own costs and ways, at a steady speed"
    return f"simulated: the run's own arrivals {worlds.draws} times, with {what}"


def _budget(
    worlds: RunWorlds,
    textbook: TextbookWorlds | None,
    queueing: Modelled | None,
    predicted: Ensemble,
    replayed: Ensemble,
) -> Budget:
    milestones: list[Milestone] = []
    entries: list[Entry] = []
    if textbook is not None and queueing is not None:
        milestones.append(Milestone(QUEUEING, _budgeted(queueing.figures)))
        start = values_of(queueing.figures)
        entries += share_out(TEXTBOOK, textbook.swaps, textbook, start)
    milestones.append(Milestone(A_PRIORI, _budgeted(predicted.figures)))
    entries += share_out(THIS_RUN, worlds.swaps, worlds)
    milestones.append(Milestone(TRACE_DRIVEN, _budgeted(replayed.figures)))
    measured = worlds.evidence.measured
    entries.append(_rest(replayed, measured))
    milestones.append(Milestone(MEASURED, _budgeted(measured)))
    return Budget(tuple(milestones), tuple(entries))


def _with_steps(chain: Modelled, textbook: TextbookWorlds) -> Modelled:
    """The chain does not count steps; its own simulation does."""
    if math.isfinite(chain.figures.mean_steps):
        return chain
    steps = textbook(frozenset()).figures.mean_steps
    method = f"{chain.method}; mean steps by simulating it"
    return replace(chain, figures=replace(chain.figures, mean_steps=steps), method=method)


def _rest(replayed: Ensemble, measured: Figures) -> Entry:
    effects, errors = {}, {}
    for name in BUDGETED:
        column = replayed.column(name)
        effects[name] = getattr(measured, name) - float(column.mean())
        errors[name] = float(column.std(ddof=1)) / math.sqrt(column.size)
    return Entry(REST, UNEXPLAINED, effects, errors, dict.fromkeys(BUDGETED, 0.0))


def _budgeted(figures: Figures) -> dict[str, float]:
    return {name: float(getattr(figures, name)) for name in BUDGETED}


def measured_bands(evidence: Evidence) -> dict[str, Band]:
    """95 % intervals of a run's figures by the block bootstrap; no latency is independent of its
    neighbours. The utilisation's is over the parts of the run between two looks at its costs."""
    best = evidence.settings.ladder.best
    cut = best.steps - guided_steps(best.steps, best.guidance_share)
    outcomes = evidence.run.outcomes
    latencies_s = np.array([one.latency_s for one in outcomes])
    steps = np.array([float(one.steps) for one in outcomes])
    degraded = np.array(
        [
            float(o.variant != best.variant or o.steps < best.steps or o.cut_steps > cut)
            for o in outcomes
        ]
    )
    found = {"mean_s": block_bootstrap(latencies_s, mean_of, BOOTSTRAP_SEED)}
    for name, share in (("p50_s", 0.50), ("p95_s", 0.95), ("p99_s", 0.99)):
        found[name] = block_bootstrap(latencies_s, percentile_of(share), BOOTSTRAP_SEED)
    found["degraded_share"] = block_bootstrap(degraded, mean_of, BOOTSTRAP_SEED)
    found["mean_steps"] = block_bootstrap(steps, mean_of, BOOTSTRAP_SEED)
    if evidence.window.known:
        busy = busy_shares(evidence)
        if busy.size:
            found["utilisation"] = block_bootstrap(busy, mean_of, BOOTSTRAP_SEED)
    return found


def busy_shares(evidence: Evidence) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of the engines' time in boundaries in each part of the run, until the last answer."""
    ends = [at_s for at_s, _ in evidence.window.snapshots[1:]]
    last_unix_s = evidence.started_unix_s + evidence.over_s
    found = []
    for (from_s, part), to_s in zip(evidence.window.parts, ends, strict=True):
        if evidence.started_unix_s <= from_s and to_s <= last_unix_s and to_s > from_s:
            busy_s = sum(sums.total_s for sums in part.values())
            found.append(busy_s / (evidence.engines * (to_s - from_s)))
    return np.array(found, dtype=np.float64)


def _notes(worlds: RunWorlds, queueing: QueueingModel) -> list[str]:
    evidence = worlds.evidence
    run, served = evidence.run, len(evidence.run.outcomes)
    told = [f"load generator: {reason.rstrip('.')}." for reason in run.reasons]
    if not evidence.window.known:
        told.append(
            "The run has no costs.jsonl (its server did not tell what work cost), so the trace-driven"
            " replay has the profile's costs and a steady speed, and nobody counted the utilisation."
        )
    elif not worlds.follows:
        told.append(
            "The dispatcher knows this controller by its kind, so no simulation of it can be told"
            " the time: the engines' speed is taken as steady, here and in the bands."
        )
    if worlds.follows and len(worlds.profile.paces) < 2:
        told.append(
            f"The profile tells the engines' speed of {len(worlds.profile.paces)} runs: how it differs"
            " from run to run is not in the band."
        )
    independent = effective_size(np.array([one.latency_s for one in run.outcomes]))
    if served < P99_MIN:
        told.append(f"{served} served requests are few for a p99: read it as about the maximum.")
    if independent < EFFECTIVE_MIN and queueing.modelled is not None:
        told.append(
            f"The run is too short for a steady state: its {served} latencies are worth"
            f" {independent:.0f} independent ones."
        )
    elif independent < EFFECTIVE_MIN:
        told.append(f"Its {served} latencies are worth {independent:.0f} independent ones.")
    if evidence.arrivals != POISSON:
        told.append(
            f"The run's arrivals are {evidence.arrivals}; the prediction before the run and the"
            " queueing model take them for Poisson."
        )
    if run.lost:
        told.append(f"{run.lost} requests ended neither with a picture nor with a refusal.")
    return [*told, *_line_gap(evidence)]


def _line_gap(evidence: Evidence) -> list[str]:
    """Little's law, with the server's own count of the line on one side: a gap tells of requests
    that wait where the server does not count them, or of stamps that are wrong."""
    points = [p for p in evidence.run.status if 0 <= p.t_s <= evidence.run.duration_s]
    if len(points) < EFFECTIVE_MIN:
        return []
    counted = float(np.mean([p.waiting for p in points]))
    by_stamps = float(evidence.run.waiting_at([p.t_s for p in points]).mean())
    if abs(counted - by_stamps) <= max(0.5, LINE_GAP * counted):
        return []
    return [
        f"Little's law has a gap: the server counted {counted:.1f} waiting requests on the average,"
        f" by the requests' stamps there were {by_stamps:.1f}."
    ]


def as_plain(comparison: Comparison) -> dict[str, Any]:
    """As JSON values; what is not a number becomes null."""
    found = finite(asdict(comparison))
    assert isinstance(found, dict)
    return found
