"""From the raw data to shares of variance by cause, and to what no model can predict."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from analysis.faults import MeasurementError
from analysis.intervals import student
from analysis.runs import Request
from analysis.unpredictability.components import (
    DRAWS,
    RESIDUAL,
    Component,
    Sample,
    components_of,
    sample_of,
    variances_of,
)
from analysis.unpredictability.design import ENGINES, SHUFFLED, UNCHANGED, Design, from_plain
from analysis.unpredictability.measure import SESSION_FILE, VISITS_FILE, read_replay, replays_of

ALONE = ("request", "engine", "block", "visit")
"""Causes of a request that is alone; what is left is repetition."""

LOADED = ("place", "request", "neighbours", "replay")
"""Causes of a request in a replay: its place in the trace, its prompt, the prompts around it, and
what one replay differs from another by; what is left is repetition."""

DRIFT = {"alone": ("block", "visit"), "loaded": ("replay",)}
"""Causes that are the machine's change over time: known afterwards, and not before."""

BOOTSTRAP_SEED = 11


def study(
    folder: Path, tell: Callable[[str], None] = lambda what: None, draws: int = DRAWS
) -> dict[str, Any]:
    """Everything, as JSON values. MeasurementError, DataError or ValueError, one sentence."""
    meta = _read_meta(folder)
    design = from_plain(meta["design"])
    visits = _read_visits(folder / VISITS_FILE)
    tell("variance of requests alone")
    alone = _alone(visits)
    seconds = {"service": alone.with_values(np.array([v["service_s"] for v in visits]))}
    seconds["around it"] = alone.with_values(alone.values - seconds["service"].values)
    turns = replays_of(design)
    replays = [read_replay(folder / turn.name) for turn in turns]
    tell("variance of requests in replays")
    loaded = _loaded(design, replays)
    return {
        "made_by": meta["made_by"],
        "alone_s": meta["alone_s"],
        "blocks": meta["blocks"],
        "blocks_planned": meta["blocks_planned"],
        "draws": draws,
        "alone": _analysed(alone, DRIFT["alone"], draws),
        "engines": _engines(visits),
        "alone_parts": {name: _part(one) for name, one in seconds.items()},
        "loaded": _analysed(loaded, DRIFT["loaded"], draws),
        "replays": [
            _replay(turn.what, requests) for turn, requests in zip(turns, replays, strict=True)
        ],
        "runs": _runs([turn.what for turn in turns], replays),
        "commands": meta["commands"],
    }


def _read_meta(folder: Path) -> Mapping[str, Any]:
    try:
        meta = json.loads((folder / SESSION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise MeasurementError(
            f"{folder} holds no measurement that came to its end; name another, or measure anew"
        ) from None
    return dict(meta)


def _read_visits(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise MeasurementError(f"{path} cannot be used ({error}); measure anew") from None


def _alone(visits: Sequence[Mapping[str, Any]]) -> Sample:
    levels = {
        "request": [v["request"] for v in visits],
        "engine": [v["engine"] for v in visits],
        "block": [v["block"] for v in visits],
        "visit": [(v["block"], v["engine"]) for v in visits],
    }
    return sample_of([v["latency_s"] for v in visits], levels, levels["block"])


def _engines(visits: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How much longer the second engine takes, as a share: mean of the blocks' log ratios, with
    Student's interval."""
    by_visit: dict[tuple[int, str], list[float]] = {}
    for visit in visits:
        by_visit.setdefault((visit["block"], visit["engine"]), []).append(visit["latency_s"])
    one, two = ENGINES
    means = {visit: float(np.mean(latencies_s)) for visit, latencies_s in by_visit.items()}
    blocks = sorted({block for block, _ in means})
    ratios = np.log([means[block, two] / means[block, one] for block in blocks])
    band = student(ratios)
    mean, low, high = (math.expm1(value) for value in (ratios.mean(), band.low, band.high))
    return {"longer": mean, "low": low, "high": high}


def _loaded(design: Design, replays: Sequence[Sequence[Request]]) -> Sample:
    values: list[float] = []
    levels: dict[str, list[object]] = {name: [] for name in LOADED}
    blocks: list[object] = []
    for turn, requests in zip(replays_of(design), replays, strict=True):
        order = UNCHANGED if turn.what == UNCHANGED else turn.name
        for request in requests:
            values.append(float(request.latency_s or math.nan))
            levels["place"].append(request.index)
            levels["request"].append(request.prompt)
            levels["neighbours"].append((order, request.index))
            levels["replay"].append(turn.name)
            blocks.append(turn.block)
    return sample_of(values, levels, blocks)


def _analysed(sample: Sample, drift: Sequence[str], draws: int) -> dict[str, Any]:
    """Both scales, and what cannot be predicted with and without knowing the machine's speed."""
    scales = {
        "latency": sample,
        "log latency": sample.with_values(np.log(sample.values)),
    }
    found = {name: components_of(one, BOOTSTRAP_SEED, draws) for name, one in scales.items()}
    values = sample.values
    latency = found["latency"]
    return {
        "n": int(values.size),
        "mean_s": float(values.mean()),
        "cv": float(values.std(ddof=1) / values.mean()),
        "levels": {name: int(np.unique(one).size) for name, one in sample.causes.items()},
        "components": {name: _plain(one) for name, one in found.items()},
        "floor_cv": latency[RESIDUAL].cv,
        "floor_cv_band": asdict(latency[RESIDUAL].cv_band),
        "floor_beforehand_cv": math.hypot(*(latency[name].cv for name in (RESIDUAL, *drift))),
    }


def _plain(components: Mapping[str, Component]) -> dict[str, dict[str, Any]]:
    return {name: asdict(one) for name, one in components.items()}


def _part(sample: Sample) -> dict[str, float]:
    """Mean of a part of the latency, and the deviation of its repetition, in seconds."""
    repeated = max(0.0, variances_of(sample)[RESIDUAL])
    return {"mean_s": float(sample.values.mean()), "repeated_s": math.sqrt(repeated)}


def _replay(order: str, requests: Sequence[Request]) -> dict[str, Any]:
    return {"order": order, "latency_s": [request.latency_s for request in requests]}


def _runs(orders: Sequence[str], replays: Sequence[Sequence[Request]]) -> dict[str, Any]:
    """How figures of a whole replay vary from one replay to the next, by the order of its requests."""
    found: dict[str, Any] = {}
    for order in (UNCHANGED, SHUFFLED):
        mine = [
            np.array([float(request.latency_s or math.nan) for request in requests])
            for what, requests in zip(orders, replays, strict=True)
            if what == order
        ]
        figures = {
            "mean": [float(one.mean()) for one in mine],
            "p95": [float(np.percentile(one, 95)) for one in mine],
        }
        found[order] = {name: repeated(values) for name, values in figures.items()}
    return found


def repeated(values: Sequence[float]) -> dict[str, Any]:
    """Mean and coefficient of variation of repeated figures. The 95 % interval is the standard
    deviation's (chi-square, for normal figures) over the mean, taken as known.

    ValueError for fewer than two.
    """
    n = len(values)
    if n < 2:
        raise ValueError("a figure that was measured once does not tell its spread; measure longer")
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    low, high = (float(stats.chi2.ppf(level, n - 1)) for level in (0.975, 0.025))
    cv = deviation / mean
    return {
        "n": n,
        "mean_s": mean,
        "cv": cv,
        "cv_low": cv * math.sqrt((n - 1) / low),
        "cv_high": cv * math.sqrt((n - 1) / high),
    }
