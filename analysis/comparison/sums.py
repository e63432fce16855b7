"""What the work of a live server's engines cost while a run lasted, as the load generator kept it.

The server counts from its start; differences of snapshots are what happened between them.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from analysis.runs import DataError
from analysis.server_config import ServerSettings
from pipelines.costs import CostTable, Measurement
from pipelines.service_costs import CostSums, Sums
from pipelines.service_table import CALLS_MIN, to_cost_table

COSTS_FILE = "costs.jsonl"
P90_SIGMAS = 1.2816

K = TypeVar("K", bound=Hashable)

PoolSums = Mapping[str, CostSums]
"""By pool of engines, those of one pool together."""


def added(one: PoolSums, other: PoolSums) -> dict[str, CostSums]:
    """Both together."""
    pools = dict.fromkeys((*one, *other))
    return {p: one.get(p, CostSums()).plus(other.get(p, CostSums())) for p in pools}


def between(earlier: PoolSums, later: PoolSums) -> dict[str, CostSums]:
    """What came in between; ValueError if an engine has been started anew."""
    return {pool: sums.since(earlier.get(pool, CostSums())) for pool, sums in later.items()}


def preferring(own: PoolSums, others: PoolSums) -> dict[str, CostSums]:
    """`own`, but for what was seen too seldom in it: there the others help out."""

    def helped(mine: Mapping[K, Sums], both: Mapping[K, Sums]) -> dict[K, Sums]:
        often = {key: one for key, one in mine.items() if one.calls >= CALLS_MIN}
        return {**both, **often}

    found = {}
    for pool in dict.fromkeys((*own, *others)):
        mine = own.get(pool, CostSums())
        both = mine.plus(others.get(pool, CostSums()))
        parts = (helped(mine.encode, both.encode), helped(mine.step, both.step))
        found[pool] = CostSums(*parts, helped(mine.decode, both.decode), mine.rest or both.rest)
    return found


@dataclass(frozen=True, slots=True)
class Window:
    """Snapshots of a run, the first before and the last after it, with their unix times; none at all
    if the server told nothing."""

    snapshots: tuple[tuple[float, PoolSums], ...] = ()

    @property
    def known(self) -> bool:
        """Whether the server told its costs."""
        return bool(self.snapshots)

    @property
    def whole(self) -> dict[str, CostSums]:
        """Of the run as a whole."""
        if not self.snapshots:
            return {}
        return between(self.snapshots[0][1], self.snapshots[-1][1])

    @property
    def steady(self) -> dict[str, CostSums]:
        """Of the run as a whole, with the spread that there is within its parts alone."""
        parts = [sums for _, sums in self.parts]
        return {
            pool: CostSums(
                _within(whole.encode, [part[pool].encode for part in parts if pool in part]),
                _within(whole.step, [part[pool].step for part in parts if pool in part]),
                _within(whole.decode, [part[pool].decode for part in parts if pool in part]),
                _within(whole.rest, [part[pool].rest for part in parts if pool in part]),
            )
            for pool, whole in self.whole.items()
        }

    @property
    def parts(self) -> list[tuple[float, dict[str, CostSums]]]:
        """Of each part of it, with the time at which the part began."""
        return [(at_s, between(one, other)) for (at_s, one), (_, other) in pairwise(self.snapshots)]


def _within(whole: Mapping[K, Sums], parts: Sequence[Mapping[K, Sums]]) -> dict[K, Sums]:
    """The same calls and seconds, with the squares that leave the variance within the parts."""
    found = {}
    for key, one in whole.items():
        mine = [part[key] for part in parts if key in part]
        deviations = sum(each.squares - each.seconds**2 / each.calls for each in mine)
        squares = max(0.0, deviations) + one.seconds**2 / one.calls
        found[key] = Sums(one.calls, one.seconds, squares)
    return found


def tables_of(settings: ServerSettings, sums: PoolSums) -> dict[str, CostTable]:
    """A cost table for each pool; ValueError for one that did too little."""
    tables = {
        pool.name: to_cost_table(
            sums.get(pool.name, CostSums()),
            size=(settings.width, settings.height),
            max_batch=pool.max_batch,
            machine="",  # the results' header tells both
            commit="",
            threads=pool.threads,
            dtype=settings.dtypes[pool.variants[0]],
            device=pool.device,
        )
        for pool in settings.pools
    }
    return {
        pool.name: _complete(tables[pool.name], pool.variants, pool.name, settings)
        for pool in settings.pools
    }


def _complete(
    table: CostTable, hosted: Sequence[str], pool: str, settings: ServerSettings
) -> CostTable:
    """With every variant of the ladder that the pool hosts; ValueError for one without pictures.

    A static server runs the best alone. Of the others the dispatcher only asks what they would cost,
    and never acts on it: there the best one's costs stand in.
    """
    best = settings.ladder.best.variant
    missing = [n for n in settings.ladder.variants if n in hosted and n not in table.variants]
    if missing and (settings.controlled or best not in table.variants):
        raise ValueError(
            f"no picture of variant {missing[0]!r} was made in pool {pool!r}, so what it costs is"
            " unknown; add a run with --model MODEL/VARIANT that makes some"
        )
    stand_ins = dict.fromkeys(missing, table.variants[best])
    return replace(table, variants={**table.variants, **stand_ins})


def sums_from(table: CostTable, settings: ServerSettings) -> dict[str, CostSums]:
    """What every pool would have counted, had it done everything in the table a few times.

    ValueError if the table lacks a variant or a batch.
    """
    return {
        pool.name: _sums_of_pool(
            table,
            [name for name in settings.ladder.variants if name in pool.variants],
            pool.max_batch,
            settings,
        )
        for pool in settings.pools
    }


def _sums_of_pool(
    table: CostTable, variants: Sequence[str], max_batch: int, settings: ServerSettings
) -> CostSums:
    size = (settings.width, settings.height)
    encode, step, decode = {}, {}, {}
    for name in variants:
        if name not in table.variants:
            raise ValueError(f"the cost table has no variant {name!r}; profile it with the others")
        costs = table.variants[name]
        encode[(name, 1)] = _often(costs.encode_s)
        for batch in range(1, max_batch + 1):
            guided = (costs.rows_per_job - 1) * batch
            known = costs.step_s.get(batch) or Measurement.exactly(table.step_s(name, batch))
            step[(name, *size, batch, guided)] = _often(known)
            if guided and costs.unguided_step_s:
                bare = Measurement.exactly(table.step_s(name, batch, 0))
                step[(name, *size, batch, 0)] = _often(costs.unguided_step_s.get(batch) or bare)
            drawn = costs.decode_s.get(batch) or Measurement.exactly(table.decode_s(name, batch))
            decode[(name, *size, batch)] = _often(drawn)
    return CostSums(encode, step, decode)


def _often(one: Measurement) -> Sums:
    spread_s = (one.p90_s - one.median_s) / P90_SIGMAS
    squares = CALLS_MIN * (one.median_s**2 + spread_s**2)
    return Sums(CALLS_MIN, CALLS_MIN * one.median_s, squares)


def read_window(path: Path) -> Window:
    """The snapshots that were kept; none if there is no such file. DataError for a damaged one."""
    if not path.exists():
        return Window()
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        snapshots = tuple((float(line["unix_s"]), _by_pool(line["engines"])) for line in lines)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be used ({error}); measure again") from None
    if len(snapshots) < 2:
        raise DataError(f"{path} holds no snapshots from before and after a run; measure again")
    return Window(snapshots)


def _by_pool(engines: Mapping[str, Any]) -> dict[str, CostSums]:
    found: dict[str, CostSums] = {}
    for engine in engines.values():
        found = added(found, {str(engine["pool"]): CostSums.from_plain(engine["sums"])})
    return found
