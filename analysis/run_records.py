"""Simulated runs in the form of measured ones, so that the same analysis reads both.

The files are the load generator's (requests.jsonl, run.json) and the demonstration's (status.jsonl,
the dispatcher's counts once a second). What only a simulation knows of a request (its engine, its
share of the engine's time, its price) stands with what the server would tell of it (`serving`).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.records import Record, Result, TimePoint, summarise
from analysis.runs import REQUESTS_FILE, RUN_FILE, STATUS_FILE
from loadgen.arrivals import Arrivals
from policies.nouns import Ladder, Service

STATUS_OF_REASON = {
    "queue_full": 429,
    "tenant_full": 429,
    "no_rung": 400,
    "hopeless": 504,
    "expired": 504,
}
"""The HTTP status with which the server refuses."""

CODE_OF_REASON = {"expired": "deadline_exceeded", "hopeless": "deadline_hopeless"}
"""Error codes that differ from the policies' reasons."""

GAVE_UP = "timeout"
"""The load generator's word for a request that it no longer waited for."""


def write_run(
    folder: Path,
    result: Result,
    schedule: Arrivals,
    ladder: Ladder,
    made_by: Mapping[str, Any],
    *,
    network_s: float = 0.0,
) -> None:
    """Write the run into a new folder; `made_by` goes into run.json as it is.

    network_s is the way from the client to the dispatcher. ValueError if the folder is in use.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; name a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    lines = (_line(record, ladder, schedule.seed, network_s) for record in result.records)
    _write_lines(folder / REQUESTS_FILE, lines)
    _write_lines(folder / STATUS_FILE, _status(result.timeline))
    content = {
        "url": "simulated",
        "arrivals": schedule.kind,
        "arrival_parameters": dict(schedule.parameters),
        "rate_per_s": schedule.rate_per_s,
        "duration_s": schedule.duration_s,
        "seed": schedule.seed,
        "started_at": 0.0,
        **made_by,
        "hardware": {"processor": made_by.get("machine")},
        "summary": _summary(result.records),
        "audit": {
            "valid": True,
            "reasons": [],
            "notes": ["a simulation: nothing was sent"],
            "facts": {},
        },
    }
    (folder / RUN_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _line(record: Record, ladder: Ladder, seed: int, network_s: float) -> dict[str, Any]:
    """One line of requests.jsonl, with the keys of `loadgen.records.RequestRecord`."""
    gave_up = record.status == "cancelled"
    received_s = record.scheduled_s + network_s
    served = record.status == "ok"
    error = None
    if gave_up:
        error = GAVE_UP
    elif not served:
        error = CODE_OF_REASON.get(record.reason, record.reason)
    return {
        "index": record.index,
        "prompt": f"simulated request {record.index}",
        "seed": seed + record.index,
        "scheduled_s": _rounded(record.scheduled_s),
        "sent_s": _rounded(record.scheduled_s),
        "received_s": _rounded(received_s),
        "answered_s": None if gave_up else _rounded(record.answered_s),
        "latency_s": None if gave_up else _rounded(record.latency_s),
        "status": None if gave_up else 200 if served else STATUS_OF_REASON[record.reason],
        "error": error,
        "image": None,
        "serving": _serving(record, ladder, received_s) if served else None,
    }


def _serving(record: Record, ladder: Ladder, received_s: float) -> dict[str, Any]:
    if record.started_s is None or record.finished_s is None or record.steps_run is None:
        raise ValueError(f"request {record.index} was served and has no times or steps")
    admitted, delivered = _qualities(record, ladder)
    return {
        "job_id": f"{record.index:07d}",
        "tier": record.tier,
        "variant": record.variant,
        "steps_planned": record.steps_planned,
        "steps_run": record.steps_run,
        "cut_steps": record.cut_steps,
        "early_exit": record.early_exit,
        "quality_admitted": admitted,
        "quality_delivered": delivered,
        "queue_ms": _rounded(1000 * (record.started_s - received_s)),
        "service_ms": _rounded(1000 * (record.finished_s - record.started_s)),
        "total_ms": _rounded(1000 * (record.answered_s - received_s)),
        "tenant": record.tenant,
        "engine_id": record.engine_id,
        "pool": record.pool,
        "rung_admitted": record.rung_admitted,
        "rung_delivered": record.rung_delivered,
        "deadline_s": record.deadline_s,
        "late": record.late,
        "redone": record.redone,
        "lost": record.lost,
        "engine_s": _rounded(record.engine_s),
        "price": record.price,
    }


def _qualities(record: Record, ladder: Ladder) -> tuple[str, str]:
    """The labels that the server would put on it at its start and at its end."""
    first, last = record.rung_admitted or 0, record.rung_delivered or 0
    rung = ladder[first]
    promised = Service(rung.variant, record.steps_planned or rung.steps, first, rung.guidance_share)
    admitted = ladder.quality_of(promised)
    return admitted, admitted if last == first else ladder[last].quality


def _status(timeline: Sequence[TimePoint]) -> Iterator[dict[str, Any]]:
    """The dispatcher's counts at every full second."""
    if not timeline:
        return
    times_s = [point.t_s for point in timeline]
    for second in range(int(times_s[-1]) + 1):
        point = timeline[max(0, bisect_right(times_s, second) - 1)]
        counts = {"waiting": point.waiting, "running": point.running, "rung": point.rung}
        yield {"unix_s": float(second), **counts}


def _summary(records: Sequence[Record]) -> dict[str, Any] | None:
    if not any(record.status == "ok" for record in records):
        return None
    return asdict(summarise(records))


def _rounded(value: float) -> float:
    """To microseconds, as the load generator rounds."""
    return round(value, 6)


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
