"""From the raw data to improvements in percent: measured in pairs, and simulated beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.comparison.evidence import Evidence, read_evidence
from analysis.comparison.sums import COSTS_FILE, PoolSums, added, read_window, tables_of
from analysis.faults import MeasurementError
from analysis.improvement.measure import (
    AGAIN,
    BESIDE,
    META_FILE,
    NEW,
    probe_name,
)
from analysis.improvement.measures import MEASURES, Measure, Values, measured_values
from analysis.improvement.paired import Improvement, improvement, with_holm
from analysis.improvement.plan import BASE
from analysis.improvement.simulated import (
    FACTOR_ENGINES,
    REPLICATIONS,
    SECONDS,
    SHORT_SHARE,
    SHORT_STEPS,
    Inputs,
    as_plain,
    factors_table,
    systems_table,
)
from analysis.runs import REQUESTS_FILE, DataError, Request, read_requests
from analysis.server_config import ServerSettings, read_settings
from analysis.study import unloaded_from
from analysis.validation.measure import capacity_of

ALONE = Measure("alone_s", "latency alone", "s", "percent", "less", "speed")
IN_ENGINE = Measure("service_s", "time in the engine alone", "s", "percent", "less", "speed")


def study(
    folder: Path,
    tell: Callable[[str], None] = lambda what: None,
    *,
    replications: int = REPLICATIONS,
    simulated_s: float = SECONDS,
) -> dict[str, Any]:
    """Everything, as JSON values. MeasurementError, DataError or ValueError, one sentence."""
    meta = _read_meta(folder)
    tell("pairing the measured runs")
    settings = {name: read_settings(folder / f"{name}.yaml") for name in meta["systems"]}
    runs = {
        (turn["system"], turn["load"], turn["round"]): read_evidence(
            folder / f"{turn['system']}-{turn['load']:g}-{turn['round']}", settings[turn["system"]]
        )
        for turn in meta["turns"]
    }
    values = {key: measured_values(evidence) for key, evidence in runs.items()}
    alone = _alone(folder, settings[BASE].ladder.best.variant)
    inputs = _inputs(folder, settings, runs, meta, alone)
    best = list(settings)[-1]
    simulated = systems_table(inputs, BASE, replications, simulated_s, tell=tell)
    factors = factors_table(inputs, BASE, best, replications, simulated_s, tell=tell)
    return {
        "made_by": meta["made_by"],
        "load_average_before": meta["load_average_before"],
        "config": meta["config"],
        "systems": meta["systems"],
        "capacity_per_s": meta["capacity_per_s"],
        "seconds": meta["seconds"],
        "turns": meta["turns"],
        "commands": meta["commands"],
        "problems": [*meta["problems"], *_invalid(runs)],
        "alone": alone,
        "measured": compared(values, meta["systems"]),
        "rounds": _by_round(values),
        "simulation": {
            "replications": replications,
            "seconds": simulated_s,
            "capacity_per_s": inputs.capacity_per_s,
            "cached_s": inputs.cached_s,
            "new_s": inputs.new_s,
            "engines": FACTOR_ENGINES,
            "short_share": SHORT_SHARE,
            "short_steps": SHORT_STEPS,
            "best": best,
        },
        "simulated": simulated,
        "factors": factors,
    }


def _read_meta(folder: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MeasurementError(
            f"{folder} holds no measurement that came to its end; name another, or measure anew"
        ) from None
    return dict(meta)


Key = tuple[str, float, int]
"""System, load, round."""


def compared(values: Mapping[Key, Values], systems: Sequence[str]) -> list[dict[str, Any]]:
    """Each pair of systems at each load, the earlier in `systems` as the base: one family."""
    found: list[tuple[float, str, str, list[Improvement]]] = []
    for load in dict.fromkeys(sorted(load for _, load, _ in values)):
        rounds = sorted({number for _, at, number in values if at == load})
        for place, base in enumerate(systems):
            for other in systems[place + 1 :]:
                its = []
                for measure in MEASURES:
                    ones = [values[base, load, number][measure.key] for number in rounds]
                    others = [values[other, load, number][measure.key] for number in rounds]
                    told = [x for x in (*ones, *others) if x is not None]
                    if len(told) == 2 * len(rounds):
                        its.append(improvement(measure, told[: len(rounds)], told[len(rounds) :]))
                found.append((load, base, other, its))
    corrected = iter(with_holm([one for *_, its in found for one in its]))
    return [
        {
            "load": load,
            "base": base,
            "other": other,
            "measures": {one.key: as_plain(next(corrected)) for one in its},
        }
        for load, base, other, its in found
    ]


def _by_round(values: Mapping[Key, Values]) -> list[dict[str, Any]]:
    return [
        {"system": system, "load": load, "round": number, "values": one}
        for (system, load, number), one in sorted(values.items())
    ]


def _invalid(runs: Mapping[Key, Evidence]) -> list[str]:
    """What the audit found, and what was refused or lost."""
    found = []
    for evidence in runs.values():
        run = evidence.run
        found += [f"{run.name}: {reason}" for reason in run.reasons]
        if run.rejected or run.lost:
            found.append(f"{run.name}: {run.rejected} requests refused, {run.lost} lost")
    return found


def _alone(folder: Path, variant: str) -> dict[str, Any]:
    """One request at a time: what the cache saves, and what idle servers beside cost, by prompt.
    DataError if one was not served."""
    new, again, beside = (
        read_requests(folder / name / REQUESTS_FILE) for name in (NEW, AGAIN, BESIDE)
    )
    for requests in (new, again, beside):
        unloaded_from(requests)  # refuses what was not served

    def latencies(requests: Sequence[Request]) -> list[float]:
        return [float(request.latency_s or 0.0) for request in requests]

    def services(requests: Sequence[Request]) -> list[float]:
        return [float(request.service_s or 0.0) for request in requests]

    found = {
        "cache": improvement(ALONE, latencies(new), latencies(again)),
        "cache_service": improvement(IN_ENGINE, services(new), services(again)),
        "beside": improvement(ALONE, latencies(again), latencies(beside)),
    }
    plain = {
        name: {
            "base_s": one.base,
            "other_s": one.other,
            "prompts": one.rounds,
            "value": one.value,
            "low": one.band.low,
            "high": one.band.high,
        }
        for name, one in found.items()
    }
    encode_s = {name: _encoding_s(folder / name, variant) for name in (NEW, AGAIN)}
    return {**plain, "encode_new_s": encode_s[NEW], "encode_again_s": encode_s[AGAIN]}


def _encoding_s(folder: Path, variant: str) -> float:
    """What the engine took for the text of one job. DataError if it did not tell."""
    sums = read_window(folder / COSTS_FILE).whole.values()
    found = [
        (key[1], one) for each in sums for key, one in each.encode.items() if key[0] == variant
    ]
    jobs = sum(count * one.calls for count, one in found)
    if not jobs:
        raise DataError(f"{folder} tells no encodings; measure again")
    return sum(one.seconds for _, one in found) / jobs


def _inputs(
    folder: Path,
    settings: Mapping[str, ServerSettings],
    runs: Mapping[Key, Evidence],
    meta: Mapping[str, Any],
    alone: Mapping[str, Any],
) -> Inputs:
    """Costs in service of all runs and probes together."""
    sums: PoolSums = {}
    for variant in settings[BASE].ladder.variants:
        sums = added(sums, read_window(folder / probe_name(variant) / COSTS_FILE).whole)
    for evidence in runs.values():
        sums = added(sums, evidence.window.whole)
    tables = tables_of(next(s for s in settings.values() if s.controlled), sums)
    idle = unloaded_from(read_requests(folder / AGAIN / REQUESTS_FILE)).overheads
    best = settings[BASE].ladder.best.variant
    table = next(table for table in tables.values() if best in table.variants)
    encode_s = max(0.0, float(alone["encode_new_s"]) - float(alone["encode_again_s"]))
    cached_s = max(0.0, table.encode_s(best) - encode_s * _share_new(runs, meta))
    # Loads are shares of what these costs allow: in the probe the machine may have been faster.
    capacity_per_s = capacity_of(settings[BASE], sums)
    return Inputs(settings, tables, idle, capacity_per_s, cached_s, cached_s + encode_s)


def _share_new(runs: Mapping[Key, Evidence], meta: Mapping[str, Any]) -> float:
    """Share of the measured requests whose text their server had not seen before."""
    seen: dict[str, set[str]] = {}
    new = total = 0
    for turn in meta["turns"]:
        known = seen.setdefault(turn["system"], set())
        for request in runs[turn["system"], turn["load"], turn["round"]].run.requests:
            new += request.prompt not in known
            total += 1
            known.add(request.prompt)
    return new / total if total else 0.0
