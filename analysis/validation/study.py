"""From a measurement's folder to its results: profile, comparisons, verdicts.

The profile is what the a priori predictions know: requests to the idle servers, probes and
calibration loads of all sessions, never a load that is validated.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.comparing import as_plain, compare
from analysis.comparison.evidence import Evidence, read_evidence
from analysis.comparison.profile import Profile, profile_of
from analysis.faults import MeasurementError
from analysis.intervals import effective_size
from analysis.runs import RUN_FILE, DataError, Request, read_requests
from analysis.server_config import Mode, ServerSettings, read_settings
from analysis.study import unloaded_from
from analysis.validation.measure import META_FILE, rungs_to_probe
from analysis.validation.plan import (
    Load,
    calibration_name,
    idle_file,
    loads_in,
    modes_in,
    probe_name,
)
from analysis.validation.verdicts import LIMITS, counted, verdicts_of

WORKERS = 2
"""Comparisons at a time: nothing is measured meanwhile."""

SOURCE = "the idle servers, probes of each variant and calibration loads, all sessions together"


def compute(
    folder: Path, tell: Callable[[str], None] = lambda what: None, workers: int = WORKERS
) -> dict[str, Any]:
    """The results but for their header, as JSON values. `tell` is called `steps_of(folder)` times.

    MeasurementError or ValueError, one sentence, if the folder is of no use. Loads of the plan that
    were not measured are named under `missing`, those whose files are of no use under `refused`.
    """
    meta = read_meta(folder)
    settings = {mode: read_settings(folder / f"{mode}.yaml") for mode in modes_in(meta["plan"])}
    tell("reading the calibrations")
    names, profile = _read_profile(folder, settings)
    loads = [load for load in loads_in(meta["plan"]) if (folder / load.name / RUN_FILE).exists()]
    if not loads:
        raise MeasurementError(
            f"no load in {folder} came to its end, so there is nothing to compare"
        )
    found: dict[str, dict[str, Any]] = {}
    refused: dict[str, str] = {}
    for name, one in _compared(folder, loads, profile, workers):
        tell(f"compared {name}")
        if isinstance(one, str):
            refused[name] = one
        else:
            found[name] = one
    if not found:
        raise MeasurementError(
            f"no load in {folder} can be compared; {next(iter(refused.values()))}"
        )
    ordered = [found[load.name] for load in loads if load.name in found]
    return {
        "measured": meta,
        "missing": [load.name for load in loads_in(meta["plan"]) if load not in loads],
        "refused": refused,
        "profile": _profile_plain(profile, names),
        "limits": {m: {x.figure: x.limit for x in its} for m, its in LIMITS.items()},
        "counts": counted([verdict for one in ordered for verdict in one["verdicts"]]),
        "loads": ordered,
    }


def steps_of(folder: Path) -> int:
    """How often `compute` tells its progress. MeasurementError as there."""
    loads = loads_in(read_meta(folder)["plan"])
    return 1 + sum((folder / load.name / RUN_FILE).exists() for load in loads)


def read_meta(folder: Path) -> dict[str, Any]:
    """What the measurement wrote of itself; MeasurementError if this is no such folder."""
    try:
        meta = dict(json.loads((folder / META_FILE).read_text(encoding="utf-8")))
        loads_in(meta["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        raise MeasurementError(
            f"{folder} holds no validation; name the folder of one with --again, or measure anew"
        ) from None
    return meta


def _read_profile(
    folder: Path, settings: Mapping[Mode, ServerSettings]
) -> tuple[list[str], Profile]:
    """The names of the runs that it rests on, and the profile."""
    requests: list[Request] = []
    runs: list[Evidence] = []
    for mode, its in settings.items():
        if (folder / idle_file(mode)).exists():
            requests += read_requests(folder / idle_file(mode))
        variants = [rung.variant for rung in rungs_to_probe(its.ladder)]
        wanted = [*(probe_name(mode, variant) for variant in variants)]
        wanted += [calibration_name(mode, number) for number in (0, 1)]
        there = [name for name in wanted if (folder / name / RUN_FILE).exists()]
        runs += [read_evidence(folder / name, its) for name in there]
    if not requests or not any(one.free for one in runs):
        raise MeasurementError(
            f"{folder} holds no calibration that came to its end, so nothing is known beforehand;"
            " measure anew"
        )
    idle = unloaded_from(requests).overheads
    return [one.run.name for one in runs if one.window.known], profile_of(runs, idle, SOURCE)


def _compared(
    folder: Path, loads: Sequence[Load], profile: Profile, workers: int
) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The load's name and its comparison, or why it has none, as they get ready."""
    if workers < 2:
        for load in loads:
            yield load.name, _compared_or_refused(folder, load, profile)
        return
    # Spawned, not forked: threads of the numerical libraries do not survive a fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_quietly) as pool:
        tasks = {
            pool.submit(_compared_or_refused, folder, load, profile): load.name for load in loads
        }
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        except BrokenProcessPool:
            raise MeasurementError(
                "a process that compared was killed; free some memory and compute --again"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_quietly() -> None:
    """Ctrl-C comes to every process of the terminal; only the parent has something to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _compared_or_refused(folder: Path, load: Load, profile: Profile) -> dict[str, Any] | str:
    try:
        return compare_load(folder, load, profile)
    except DataError as error:
        return str(error)


def compare_load(folder: Path, load: Load, profile: Profile) -> dict[str, Any]:
    """One load with its verdicts, as JSON values. DataError if its files are of no use."""
    settings = read_settings(folder / f"{load.mode}.yaml")
    evidence = read_evidence(folder / load.name, settings)
    comparison = compare(evidence, profile)
    run = evidence.run
    latencies_s = np.array([outcome.latency_s for outcome in run.outcomes])
    notes = _costs_missing(evidence)
    return {
        "name": load.name,
        "mode": load.mode,
        "share": load.share,
        "rate_per_s": run.rate_per_s,
        "duration_s": run.duration_s,
        "seed": run.seed,
        "requests": len(run.requests),
        "effective": float(effective_size(latencies_s)),
        "valid": run.valid,
        "notes": notes,
        "verdicts": [verdict.as_plain() for verdict in verdicts_of(comparison)],
        "comparison": as_plain(comparison),
    }


def _costs_missing(evidence: Evidence) -> list[str]:
    """A sentence if the server's sums hold fewer pictures than the run was served."""
    served = len(evidence.run.outcomes)
    decodings = [item for s in evidence.window.whole.values() for item in s.decode.items()]
    counts = sum(key[-1] * one.calls for key, one in decodings)
    if counts >= served:
        return []
    return [f"the server's costs are incomplete: it counts {counts} pictures of {served}"]


def _profile_plain(profile: Profile, names: Sequence[str]) -> dict[str, Any]:
    levels = [float(np.mean(pace.times[1:] or pace.times)) for pace in profile.paces]
    return {
        "source": profile.source,
        "arrival_lag_s": profile.lags.arrival_s,
        "place_lag_s": profile.lags.place_s,
        "response_s": profile.response_s,
        "network_s": profile.network_s,
        "rung_s": profile.rung_s,
        "runs": dict(zip(names, levels, strict=True)),
    }
