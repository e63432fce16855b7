"""The policies that need a solver, solved for the server of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.frontier.contenders import Solved
from analysis.frontier.quality import PictureLaw
from analysis.frontier.schedules import DEADLINES
from analysis.solvers.confidences import Judged
from analysis.solvers.deadlines import Deadlines
from analysis.solvers.decision_process import Arrivals, Prices
from analysis.solvers.diffserve import Demand, shared_plan
from analysis.solvers.plain import Band, Kind, MadeBy, band_edges
from analysis.solvers.plain import Solved as Plain
from analysis.solvers.proteus import split_for
from analysis.solvers.station import Station
from policies import Ladder
from policies.costs import Costs, completion_rates_per_s

BANDS = 40
TABLE_BANDS = 20
HEADROOMS = (0.7, 0.8, 0.9, 1.0)
CASCADE_HEADROOMS = (0.5, 0.65, 0.8, 0.95)
QUALITY_PRICES = (1.0, 10.0, 25.0, 40.0)
"""What a finished picture of score 0 costs, where a job that misses its deadline costs 1."""

TABLE_JOBS_MAX = 40
"""Jobs in the system that the decision process tells apart; with more the last decision stands."""

OVERLOAD = 0.95
"""Tables for rates beyond this share of the fastest rung's capacity are those for this share: such
a rate is a burst, and in an overload without end every decision would be as good as another."""

PICTURES = 2001
"""Pictures that represent the law of the cheap rung's scores."""


def solve(
    ladder: Ladder,
    own: Ladder,
    costs: Costs,
    max_batch: int,
    unloaded_s: float,
    picture: PictureLaw,
) -> Solved:
    """All of them, by the values of their knobs. The server is one engine."""
    station = Station.of(costs, ladder, 1, max_batch)
    return Solved(
        proteus_own=_splits(Station.of(costs, own, 1, max_batch)),
        proteus=_splits(station),
        cascade=_cascades(ladder, costs, max_batch, unloaded_s, picture),
        optimal=_tables(station, unloaded_s),
    )


def _splits(station: Station) -> dict[str, Mapping[str, Any]]:
    found = {}
    for headroom in HEADROOMS:
        edges = band_edges(headroom * max(station.capacity_per_s), BANDS)
        bands = [
            Band(
                edge,
                list(split_for(rate, station.capacity_per_s, station.scores, headroom).shares),
            )
            for edge, rate in zip(edges, _upper(edges), strict=True)
        ]
        found[f"{headroom:g}"] = _plain("split", bands, {"headroom": headroom})
    return found


def _cascades(
    ladder: Ladder, costs: Costs, max_batch: int, unloaded_s: float, picture: PictureLaw
) -> dict[str, Mapping[str, Any]]:
    """Plans for the shorter of the deadlines, with the perfect discriminator of `PictureLaw`."""
    cheap_per_s = completion_rates_per_s(costs, ladder[ladder.last], max_batch)
    full_per_s = completion_rates_per_s(costs, ladder.best, max_batch)
    ranks = (np.arange(PICTURES) + 0.5) / PICTURES
    cheap = np.array(picture.scores(ranks.tolist()))
    judged = Judged(ranks, cheap, np.full(PICTURES, ladder.scores()[0]))
    found = {}
    for headroom in CASCADE_HEADROOMS:
        edges = band_edges(headroom * max(cheap_per_s), BANDS)
        bands = []
        for edge, rate in zip(edges, _upper(edges), strict=True):
            demand = Demand(rate, min(DEADLINES) * unloaded_s, 1, headroom)
            bands.append(Band(edge, shared_plan(demand, judged, cheap_per_s, full_per_s).threshold))
        found[f"{headroom:g}"] = _plain("cascade", bands, {"headroom": headroom})
    return found


def _tables(station: Station, unloaded_s: float) -> dict[str, Mapping[str, Any]]:
    """Tables for the shorter of the deadlines, a Poisson stream in each band."""
    top_per_s = OVERLOAD * max(station.capacity_per_s)
    deadline_s = min(DEADLINES) * unloaded_s
    found = {}
    for price in QUALITY_PRICES:
        prices = Prices(quality=price, late=1.0, refused=1.0)
        edges = band_edges(top_per_s, TABLE_BANDS)
        bands = []
        for edge, rate in zip(edges, _upper(edges), strict=True):
            arrivals = Arrivals.poisson(min(rate, top_per_s))
            problem = Deadlines(station, arrivals, prices, TABLE_JOBS_MAX, deadline_s)
            bands.append(Band(edge, problem.solve().table()))
        found[f"{price:g}"] = _plain("table", bands, {"quality_price": price})
    return found


def _upper(edges: Sequence[float]) -> list[float]:
    """The rate that each band is solved for: its upper end, so that it holds throughout."""
    return [*edges[:-1], 2 * edges[-2] - edges[-3]]


def _plain(kind: Kind, bands: Sequence[Band], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """As the controllers read it from files; the study's own record says what it was made with."""
    made_by = MadeBy("python -m analysis frontier", "", None, inputs)
    return Plain(kind, tuple(bands), made_by).to_plain()
