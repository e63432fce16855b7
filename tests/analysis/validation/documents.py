"""A document of results as `compute` makes it, made up: two loads, of which one misses."""

from __future__ import annotations

from typing import Any

from analysis.validation.verdicts import LIMITS, counted

NAMES = ("mean_s", "p50_s", "p95_s", "p99_s", "degraded_share", "mean_steps", "utilisation")
HEADER = {
    "command": "python -m analysis validate",
    "commit": "abc1234",
    "machine": "a machine, 2 cores",
    "versions": {"python": "3.11"},
    "started": "2026-11-20T12:00:00+00:00",
    "took_s": 1.0,
    "load_average": 0.1,
}


def figures(scale: float = 1.0) -> dict[str, float | None]:
    values = (1.0, 0.9, 2.0, 3.0, 0.5, 20.0, 0.8)
    return {name: scale * value for name, value in zip(NAMES, values, strict=True)}


def bands(scale: float = 1.0, reach: float = 0.01) -> dict[str, dict[str, float]]:
    return {
        name: {"low": (1 - reach) * float(value or 0), "high": (1 + reach) * float(value or 0)}
        for name, value in figures(scale).items()
    }


def verdicts(trace_off: float, prior_off: float) -> list[dict[str, Any]]:
    found = []
    for (method, limits), off in zip(LIMITS.items(), (trace_off, prior_off), strict=True):
        for limit in limits:
            within = abs(off) <= limit.limit
            inside = method == "a priori" and abs(off) < 0.3
            found.append(
                {
                    "method": method,
                    "figure": limit.figure,
                    "relative": limit.relative,
                    "measured": 1.0,
                    "predicted": 1.0 + off,
                    "off": off,
                    "limit": limit.limit,
                    "inside": inside,
                    "half_width": 0.04,
                    "within": within,
                    "passed": within or inside,
                    "beyond": max(0.0, abs(off) - limit.limit),
                    "too_short": limit.limit < 0.04,
                }
            )
    return found


def load(mode: str, share: float, trace_off: float, prior_off: float) -> dict[str, Any]:
    queueing = {"figures": figures(3.0), "bands": {}, "method": "a chain"}
    entries = [
        {"segment": "from any run to this run", "name": name, "effects": {"mean_s": effect}}
        for name, effect in (("its arrivals", 0.1), ("its costs", -0.05), ("what is left", 0.02))
    ]
    return {
        "name": f"{mode}-{share:g}",
        "mode": mode,
        "share": share,
        "rate_per_s": 4.0,
        "duration_s": 80.0,
        "seed": 10_001,
        "requests": 320,
        "effective": 41.7,
        "valid": mode == "static",
        "notes": ["a note of its own"] if mode == "static" else [],
        "verdicts": verdicts(trace_off, prior_off),
        "comparison": {
            "measured": figures(),
            "measured_bands": bands(reach=0.04),
            "queueing_method": "it is not stable",
            "queueing": queueing if mode == "static" else None,
            "a_priori": {"figures": figures(1 + prior_off), "bands": bands(1 + prior_off, 0.3)},
            "trace_driven": {"figures": figures(1 + trace_off), "bands": bands(1 + trace_off)},
            "budget": {
                "milestones": [
                    {"name": "a priori", "figures": {"mean_s": 0.93}},
                    {"name": "measured", "figures": {"mean_s": 1.0}},
                ],
                "entries": entries,
            },
            "notes": ["a note of the comparison"],
        },
    }


def document() -> dict[str, Any]:
    """Static 0.6 keeps every promise; in_flight 2.5 keeps the a priori one by its band alone."""
    loads = [load("static", 0.6, 0.01, 0.04), load("in_flight", 2.5, -0.12, 0.2)]
    return {
        "made_by": HEADER,
        "name": "validation",
        "measured": {
            "made_by": {**HEADER, "seed": 1},
            "load_average_before": 0.2,
            "config": "serve/configs/default.yaml",
            "capacity_per_s": 6.01,
            "plan": {"requests": 320, "calibrations": {"calibration-static-1": 130_001}},
            "commands": ["python -m loadgen run --rate 1"],
        },
        "missing": ["at_start-0.8"],
        "refused": {"at_start-1.2": "no request was served"},
        "profile": {
            "source": "calibrations",
            "arrival_lag_s": 0.004,
            "place_lag_s": 0.006,
            "response_s": 0.008,
            "network_s": 0.003,
            "rung_s": 0.005,
            "runs": {"calibration-static-1": 0.97, "calibration-static-2": 1.03},
        },
        "counts": counted([verdict for one in loads for verdict in one["verdicts"]]),
        "loads": loads,
    }
