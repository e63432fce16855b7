"""What `python -m analysis solve` does, once its options are read."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rich.console import Console

from analysis.progress import Steps
from analysis.provenance import commit
from analysis.server_config import Pool, ServerSettings, read_settings
from analysis.solvers.confidences import Judged, draw_judged, measured_pictures
from analysis.solvers.deadlines import Deadlines
from analysis.solvers.decision_process import Arrivals, Prices
from analysis.solvers.diffserve import CascadePlan, Demand, divided_plan, shared_plan
from analysis.solvers.plain import Band, Kind, MadeBy, Solved, band_edges
from analysis.solvers.proteus import split_for
from analysis.solvers.station import Station
from pipelines.costs import CostTable
from policies.costs import completion_rates_per_s

OVERLOAD = 0.95
"""Tables for higher rates are solved for this share of the fastest rung's capacity. In an overload
that never ended everybody would be late at every rung, and the best of that would be to stop trying;
but a measured rate beyond capacity is a burst, and what a burst needs is speed."""

PICTURES = 20_000
"""Drawn to represent the law of the confidences."""


@dataclass(frozen=True)
class _Server:
    settings: ServerSettings
    pool: Pool
    costs: CostTable
    scores: tuple[float, ...]
    station: Station


_Solver: TypeAlias = Callable[[argparse.Namespace, _Server, Steps], Iterator[Band]]


def solve_for(options: argparse.Namespace) -> int:
    """Solve, write, and say what came out; ValueError, one sentence, for wrong input."""
    server = _server(options)
    solvers: dict[str, _Solver] = {
        "table": _table,
        "split": _split,
        "cascade": _cascade,
    }
    kind: Kind = options.kind
    with Steps(Console(stderr=True), options.bands) as steps:
        bands = tuple(solvers[kind](options, server, steps))
        steps.finish()
    made_by = MadeBy(
        command=_command(options),
        commit=commit(),
        seed=getattr(options, "seed", None),
        inputs={
            "ladder": [str(rung) for rung in server.settings.ladder.rungs],
            "scores": list(server.scores),
            "costs": f"{server.costs} on {server.costs.machine}, commit {server.costs.commit}",
            "engines": server.pool.replicas,
            "max_batch": server.pool.max_batch,
            "capacity_per_s": list(server.station.capacity_per_s),
        },
    )
    Solved(kind, bands, made_by).write(options.out)
    for band in bands:
        facts = ", ".join(f"{name} {_shown(value)}" for name, value in band.solved.items())
        print(f"below {band.below_per_s:.3g}/s: {facts}")
    print(f"{kind}: {options.out}")
    return 0


def _server(options: argparse.Namespace) -> _Server:
    settings = read_settings(options.config)
    pools = {pool.name: pool for pool in settings.pools}
    if options.pool is None and len(pools) > 1:
        raise ValueError(f"the server has pools {', '.join(pools)}; name one with --pool")
    name = options.pool or next(iter(pools))
    if name not in pools:
        raise ValueError(f"there is no pool {name!r}; the server has {', '.join(pools)}")
    pool = pools[name]
    missing = [v for v in settings.ladder.variants if v not in pool.variants]
    if missing:
        raise ValueError(
            f"pool {name!r} does not host {', '.join(missing)}, which are on the ladder"
        )
    costs = CostTable.load(
        options.costs,
        width=settings.width,
        height=settings.height,
        dtype=settings.dtypes[settings.ladder.best.variant],
        threads=pool.threads,
        device=None if pool.device == "auto" else pool.device,
    )
    scores = _scores(options.scores) if options.scores else settings.ladder.scores()
    station = Station.of(costs, settings.ladder, pool.replicas, pool.max_batch, scores)
    return _Server(settings, pool, costs, scores, station)


def _scores(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--scores {text!r} must be numbers with commas between") from None


def _edges(options: argparse.Namespace, capacity_per_s: float) -> Sequence[float]:
    return band_edges(capacity_per_s if options.top is None else options.top, options.bands)


def _rates(edges: Sequence[float]) -> list[float]:
    """The rate that each band is solved for: its upper end, so that it holds throughout."""
    beyond = edges[-2] + (edges[-2] - edges[-3] if len(edges) > 2 else edges[-2])
    return [*edges[:-1], beyond]


def _table(options: argparse.Namespace, server: _Server, steps: Steps) -> Iterator[Band]:
    station, settings = server.station, server.settings
    fastest_per_s = max(station.capacity_per_s)
    jobs_max = options.jobs_max
    if jobs_max is None:
        jobs_max = station.places + settings.max_waiting
    if options.refuse_hopeless:
        in_time = math.floor(fastest_per_s * options.deadline_s)
        jobs_max = min(jobs_max, max(in_time, station.places))
    refused = options.late_price if options.refused_price is None else options.refused_price
    prices = Prices(
        holding=options.holding_price,
        quality=options.quality_price,
        switch=options.switch_price,
        late=options.late_price,
        refused=refused,
    )
    edges = _edges(options, OVERLOAD * fastest_per_s)
    for edge, upper in zip(edges, _rates(edges), strict=True):
        steps.begin(f"below {edge:.3g}/s")
        rate = min(upper, OVERLOAD * fastest_per_s)
        arrivals = Arrivals.poisson(rate)
        problem = Deadlines(station, arrivals, prices, jobs_max, options.deadline_s, options.stages)
        best = problem.solve()
        found = best.evaluation
        solved = {
            "rate_per_s": rate,
            "cost_per_s": found.cost_per_s,
            "bound_per_s": best.bound_per_s,
            "mean_score": found.mean_score,
            "late_share": found.late_share,
            "refused_share": found.refused_share,
            "switches_per_s": found.switches_per_s,
        }
        yield Band(edge, best.table(), solved)


def _split(options: argparse.Namespace, server: _Server, steps: Steps) -> Iterator[Band]:
    capacity = server.station.capacity_per_s
    edges = _edges(options, options.headroom * max(capacity))
    for edge, rate in zip(edges, _rates(edges), strict=True):
        steps.begin(f"below {edge:.3g}/s")
        found = split_for(rate, capacity, server.scores, options.headroom)
        solved = {
            "rate_per_s": rate,
            "mean_score": found.mean_score,
            "utilisation": found.utilisation,
            "feasible": found.feasible,
        }
        yield Band(edge, list(found.shares), solved)


def _cascade(options: argparse.Namespace, server: _Server, steps: Steps) -> Iterator[Band]:
    ladder, pool = server.settings.ladder, server.pool
    cheap = ladder.last if options.cheap is None else options.cheap
    if not 0 <= options.full < cheap <= ladder.last:
        raise ValueError(
            f"--full {options.full} and --cheap {cheap} must be ladder indices, the full one before"
            f" the cheap one, from 0 to {ladder.last}"
        )
    cheap_per_s, full_per_s = (
        completion_rates_per_s(server.costs, ladder[rung], pool.max_batch)
        for rung in (cheap, options.full)
    )
    judged = _judged(options, server, cheap)
    plan = divided_plan if options.divided else shared_plan
    edges = _edges(options, options.headroom * pool.replicas * max(cheap_per_s))
    for edge, rate in zip(edges, _rates(edges), strict=True):
        steps.begin(f"below {edge:.3g}/s")
        demand = Demand(rate, options.deadline_s, pool.replicas, options.headroom)
        found = plan(demand, judged, cheap_per_s, full_per_s)
        solved = {"rate_per_s": rate, "cheap": cheap, "full": options.full} | _facts(found)
        yield Band(edge, found.threshold, solved)


def _facts(plan: CascadePlan) -> dict[str, Any]:
    return {
        "redone_share": plan.redone_share,
        "mean_score": plan.mean_score,
        "utilisation": plan.utilisation,
        "batches": list(plan.batches),
        "engines": list(plan.engines),
        "feasible": plan.feasible,
    }


def _judged(options: argparse.Namespace, server: _Server, cheap: int) -> Judged:
    if options.pictures is not None:
        ladder = server.settings.ladder
        return measured_pictures(
            options.pictures, ladder[cheap], ladder[options.full], options.auc, options.seed
        )
    scores = server.scores
    return draw_judged(PICTURES, scores[cheap], options.auc, options.seed, scores[options.full])


def _command(options: argparse.Namespace) -> str:
    """The command line that gives these options."""
    words = ["python", "-m", "analysis", "solve", options.kind]
    for name, value in vars(options).items():
        if name in ("command", "kind") or value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return shlex.join(words)


def _shown(value: object) -> str:
    if isinstance(value, float) and not math.isinf(value):
        return f"{value:.4g}"
    return str(value)
