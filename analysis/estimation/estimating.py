"""Everything that can be estimated from a run of the load generator, as plain data.

A topic that this run cannot tell leaves one sentence that says why.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.comparison.evidence import places_of
from analysis.comparison.sums import COSTS_FILE, Window, read_window
from analysis.estimation.arrivals import POWER_DRAWS, study_arrivals
from analysis.estimation.batch_means import batch_means
from analysis.estimation.batch_speed import fit_curve, looks_at
from analysis.estimation.littles_law import check_littles_law
from analysis.estimation.overheads import study_overheads
from analysis.estimation.run_length import run_length
from analysis.estimation.service_law import SAMPLE_MIN, ServiceLaw, moments_of, study_service
from analysis.estimation.warm_up import mser5
from analysis.runs import RUN_FILE, DataError, Request, Run, read_run
from analysis.server_config import ServerSettings

Array = NDArray[np.float64]

LEVELS = 200
"""Points of a distribution that are kept for the figures."""
SUSPICIOUS_TOLD = 20

STEP, DECODE = "step", "decode"


@dataclass(frozen=True, slots=True)
class Material:
    """A run, its engines' sums (empty if they were not told), how many requests were scheduled (None
    if that is not known), and the places in the server's engines."""

    run: Run
    window: Window
    scheduled: int | None
    places: int


def read_material(folder: Path, settings: ServerSettings) -> Material:
    """From the run's folder. DataError, one sentence, if it holds no run or no served request."""
    run = read_run(folder)
    if not run.outcomes:
        raise DataError(
            f"{folder} holds no served request, so there is nothing to estimate; look at its errors"
        )
    content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    scheduled = content["audit"].get("facts", {}).get("scheduled")
    return Material(run, read_window(folder / COSTS_FILE), scheduled, places_of(settings))


def estimate(
    material: Material,
    tell: Callable[[str], None] = lambda what: None,
    *,
    power_draws: int = POWER_DRAWS,
) -> dict[str, Any]:
    """All topics by name, as JSON values; `tell` hears of each. A topic that the run cannot tell is
    {"cannot": why}. `power_draws` of each process that is not Poisson tell the power of the tests."""
    run = material.run
    topics: dict[str, Callable[[Material], Mapping[str, Any]]] = {
        "arrivals": lambda m: _arrivals(m, power_draws),
        "service": _service,
        "batch_speed": _batch_speed,
        "overheads": lambda m: asdict(study_overheads(m.run.requests, m.places)),
        "warm_up": _warm_up,
        "steady_state": _steady_state,
        "littles_law": _littles_law,
    }
    found: dict[str, Any] = {
        "run": {
            "name": run.name,
            "rate_per_s": run.rate_per_s,
            "duration_s": run.duration_s,
            "seed": run.seed,
            "commit": run.commit,
            "valid": run.valid,
            "reasons": list(run.reasons),
            "requests": len(run.requests),
            "served": len(run.outcomes),
            "places": material.places,
        }
    }
    for name, topic in topics.items():
        tell(name.replace("_", " "))
        try:
            found[name] = plain(topic(material))
        except ValueError as error:
            found[name] = {"cannot": str(error)}
    return found


TOPICS = 7
"""How often `estimate` tells its progress."""


def plain(value: Any) -> Any:
    """As JSON values: what is not a finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def levels(values: Array) -> list[float]:
    """At most 200 quantiles of the values, evenly spread from 1/400 to 399/400."""
    shares = (np.arange(LEVELS) + 0.5) / LEVELS
    if values.size <= LEVELS:
        return [float(value) for value in np.sort(values)]
    return [float(value) for value in np.quantile(values, shares)]


# -- topics ---------------------------------------------------------------------------------------


def _arrivals(material: Material, power_draws: int) -> dict[str, Any]:
    requests = material.run.requests
    stamps = [r.received_s for r in requests if r.received_s is not None]
    where = "received by the server"
    if not stamps:
        stamps, where = [r.scheduled_s for r in requests], "scheduled: the server stamped none"
    times_s = np.sort(np.asarray(stamps, dtype=np.float64))
    times_s = times_s - min(0.0, float(times_s[0]))  # its clock may be behind the generator's
    duration_s = max(material.run.duration_s, float(times_s[-1]))
    found = study_arrivals(times_s, duration_s, power_draws=power_draws)
    gaps = {"gaps_s": levels(np.diff(times_s)), "where": where}
    return {**asdict(found), **gaps, "unstamped": len(requests) - times_s.size}


def _service(material: Material) -> dict[str, Any]:
    groups: dict[str, list[tuple[float, float]]] = {}
    whole: list[tuple[float, float]] = []
    for request in material.run.requests:
        if request.outcome is None:
            continue
        began_s = (request.received_s or request.scheduled_s) + (request.queue_s or 0.0)
        whole.append((began_s, request.outcome.service_s))
        groups.setdefault(_rung_of(request), []).append(whole[-1])
    times_s = _in_order(whole)
    found = study_service(times_s)
    rungs = []
    for name, pairs in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(pairs) >= SAMPLE_MIN:
            rungs.append({"rung": name, **asdict(moments_of(_in_order(pairs)))})
    seldom = sum(len(pairs) for pairs in groups.values() if len(pairs) < SAMPLE_MIN)
    sample = {"times_s": levels(times_s), "rungs": rungs, "seldom": seldom}
    return {**_law_as_plain(found), **sample}


def _in_order(pairs: Sequence[tuple[float, float]]) -> Array:
    return np.array([service_s for _, service_s in sorted(pairs)], dtype=np.float64)


def _rung_of(request: Request) -> str:
    if request.early_exit != "none":
        return f"{request.variant}, lowered in flight"
    return f"{request.variant}@{request.steps_run}"


def _law_as_plain(found: ServiceLaw) -> dict[str, Any]:
    return {
        "moments": asdict(found.moments),
        "fits": [{**asdict(fit), "fits": fit.fits} for fit in found.fits],
        "chosen": found.chosen,
        "why": found.why,
        "law": {"law": found.chosen, "mean": found.law.mean_s, "cv2": found.law.cv2},
    }


def _batch_speed(material: Material) -> dict[str, Any]:
    if not material.window.known:
        raise ValueError(
            f"the run has no {COSTS_FILE}: the server did not tell what its work costs"
        )
    parts = [part for _, part in material.window.parts]
    curves, cannot = [], []
    for pool in material.window.whole:
        sums = material.window.whole[pool]
        steps: set[tuple[Any, ...]] = {(STEP, *_kind_of_step(key)) for key in sums.step}
        decodings: set[tuple[Any, ...]] = {(DECODE, *key[:3]) for key in sums.decode}
        for kind in sorted(steps) + sorted(decodings):
            mine = [getattr(part[pool], kind[0]) for part in parts if pool in part]
            name = f"{kind[0]} of {kind[1]}, {kind[2]}x{kind[3]}{' '.join(('', *kind[4:]))}"
            if len(material.window.whole) > 1:
                name = f"{pool}: {name}"
            try:
                curve = fit_curve(looks_at(mine, _batch_reader(kind)))
            except ValueError as error:
                cannot.append(f"{name}: {error}")
            else:
                curves.append({"name": name, "call": kind[0], **asdict(curve)})
    if not curves:
        raise ValueError("; ".join(cannot) or "no engine made a step while the run lasted")
    return {"curves": curves, "left_out": cannot}


def _kind_of_step(key: tuple[str, int, int, int, int]) -> tuple[str, int, int, str]:
    variant, width, height, jobs, guided = key
    guidance = {jobs: "guided", 0: "without guidance"}.get(guided, "partly guided")
    return variant, width, height, guidance


def _batch_reader(kind: tuple[Any, ...]) -> Callable[[Hashable], int | None]:
    def batch_of(key: Any) -> int | None:
        mine = _kind_of_step(key) if kind[0] == STEP else key[:3]
        return int(key[3]) if mine == kind[1:] else None

    return batch_of


def _latencies(run: Run) -> tuple[list[Request], Array]:
    served = sorted((r for r in run.requests if r.outcome), key=lambda r: r.scheduled_s)
    return served, np.array([float(r.latency_s or 0.0) for r in served])


def _warm_up(material: Material) -> dict[str, Any]:
    served, latencies_s = _latencies(material.run)
    found = mser5(latencies_s)
    until_s = served[found.cut].scheduled_s if found.cut else 0.0
    plain_data = asdict(found)
    del plain_data["statistic"]
    return {**plain_data, "until_s": until_s}


def _steady_state(material: Material) -> dict[str, Any]:
    """Without the warm-up, where one was found."""
    _, latencies_s = _latencies(material.run)
    cut = 0
    warm_up = mser5(latencies_s)
    if warm_up.settled:
        cut = warm_up.cut
    rest_s = latencies_s[cut:]
    found = batch_means(rest_s)
    rate_per_s = len(material.run.requests) / material.run.duration_s
    length = run_length(rest_s, found.asymptotic_variance, rate_per_s)
    return {"cut": cut, "batch_means": asdict(found), "run_length": asdict(length)}


def _littles_law(material: Material) -> dict[str, Any]:
    run = material.run
    found = check_littles_law(
        run.requests, run.status, scheduled=material.scheduled, pictures=_pictures(material.window)
    )
    few = [asdict(one) for one in found.suspicious[:SUSPICIOUS_TOLD]]
    counts = {"suspicious": few, "suspicious_in_all": len(found.suspicious)}
    return {**asdict(found), **counts, "residual": found.balance.residual}


def _pictures(window: Window) -> int | None:
    """That the engines decoded, if they tell."""
    if not window.known:
        return None
    pools = window.whole.values()
    return sum(key[3] * sums.calls for pool in pools for key, sums in pool.decode.items())
