"""Reads what a run left in its folder: requests, the server's status, the judge's verdict.

The load generator writes run.json, requests.jsonl and, where the server tells its state, status.jsonl
(`/v1/status`, asked about once a second); `python -m pipelines judge` writes quality.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RUN_FILE = "run.json"
REQUESTS_FILE = "requests.jsonl"
STATUS_FILE = "status.jsonl"
QUALITY_FILE = "quality.json"
PICTURES_FOLDER = "pictures"
TOO_MANY = 429


class DataError(ValueError):
    """A run folder that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one served picture cost: its latency from the scheduled instant, and its work.

    `cut_steps` of its `steps` ran without guidance although it is guided.
    """

    latency_s: float
    variant: str
    steps: int
    service_s: float
    cut_steps: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Times are seconds from the run's start; None where it did not get that far.

    queue_s is from the server's receipt to the engine's start, service_s from there to the end of
    decoding. cut_steps is as in `Outcome`.
    """

    index: int
    prompt: str
    scheduled_s: float
    received_s: float | None
    answered_s: float | None
    latency_s: float | None
    status: int | None
    image: str | None
    variant: str | None = None
    steps_run: int | None = None
    cut_steps: int = 0
    early_exit: str = "none"
    queue_s: float | None = None
    service_s: float | None = None

    @property
    def outcome(self) -> Outcome | None:
        """What it cost, if it was served."""
        if self.variant is None or self.steps_run is None or self.service_s is None:
            return None
        if self.status != 200 or self.latency_s is None:
            return None
        return Outcome(self.latency_s, self.variant, self.steps_run, self.service_s, self.cut_steps)

    @property
    def after_s(self) -> float | None:
        """From the end of decoding to the answer at the client."""
        parts = (self.answered_s, self.received_s, self.queue_s, self.service_s)
        if any(part is None for part in parts):
            return None
        answered_s, received_s, queue_s, service_s = (float(part or 0.0) for part in parts)
        return answered_s - received_s - queue_s - service_s


@dataclass(frozen=True, slots=True)
class StatusPoint:
    """The dispatcher's own count at t_s seconds from the run's start."""

    t_s: float
    waiting: int
    running: int
    rung: int


@dataclass(frozen=True, slots=True)
class Quality:
    """Judged pictures: share with every attribute right, by attribute and by rung."""

    pictures: int
    all_right: float
    attributes: Mapping[str, float]
    by_rung: Mapping[str, tuple[int, float]]

    @property
    def hits(self) -> float:
        """Pictures with every attribute right."""
        return self.all_right * self.pictures


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one server."""

    name: str
    folder: Path
    rate_per_s: float
    duration_s: float
    seed: int
    commit: str
    valid: bool
    reasons: tuple[str, ...]
    hardware: Mapping[str, Any] = field(repr=False)
    requests: tuple[Request, ...] = field(repr=False)
    status: tuple[StatusPoint, ...] = field(repr=False)
    quality: Quality | None

    @property
    def outcomes(self) -> list[Outcome]:
        """Of the served requests, in order of schedule."""
        found = (request.outcome for request in self.requests)
        return [outcome for outcome in found if outcome is not None]

    @property
    def rejected(self) -> int:
        """Requests refused because too many waited."""
        return sum(request.status == TOO_MANY for request in self.requests)

    @property
    def lost(self) -> int:
        """Requests that ended neither with a picture nor with a refusal."""
        return len(self.requests) - len(self.outcomes) - self.rejected

    def waiting_at(self, times_s: Sequence[float]) -> Array:
        """Requests that the server had received and not yet started, at each time.

        Counted from the stamps of the requests; refused ones never waited, and one that was never
        answered waited to the end.
        """
        waited = [r for r in self.requests if r.status != TOO_MANY]
        came = [r.scheduled_s if r.received_s is None else r.received_s for r in waited]
        began = [
            r.received_s + r.queue_s
            for r in waited
            if r.received_s is not None and r.queue_s is not None
        ]
        at = np.asarray(times_s, dtype=np.float64)
        arrived = np.searchsorted(np.sort(came), at, side="right")
        started = np.searchsorted(np.sort(began), at, side="right")
        return (arrived - started).astype(np.float64)


def read_run(folder: Path) -> Run:
    """Everything in a run's folder; status and quality may be absent. DataError says what is."""
    run = _read_json(folder / RUN_FILE)
    try:
        return Run(
            name=folder.name,
            folder=folder,
            rate_per_s=float(run["rate_per_s"]),
            duration_s=float(run["duration_s"]),
            seed=int(run["seed"]),
            commit=str(run["commit"]),
            valid=bool(run["audit"]["valid"]),
            reasons=tuple(run["audit"]["reasons"]),
            hardware=run["hardware"],
            requests=read_requests(folder / REQUESTS_FILE),
            status=_read_status(folder / STATUS_FILE, float(run["started_at"])),
            quality=_read_quality(folder / QUALITY_FILE),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder} holds no complete run ({error!r}); run the demo again") from None


def read_requests(path: Path) -> tuple[Request, ...]:
    """The requests of a JSON-lines file in the load generator's form. DataError if unusable."""
    try:
        return tuple(_request(line) for line in _read_lines(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} holds no requests ({error!r}); run the demo again") from None


def _request(line: Mapping[str, Any]) -> Request:
    serving = line["serving"] or {}
    return Request(
        index=int(line["index"]),
        prompt=str(line["prompt"]),
        scheduled_s=float(line["scheduled_s"]),
        received_s=line["received_s"],
        answered_s=line["answered_s"],
        latency_s=line["latency_s"],
        status=line["status"],
        image=line["image"],
        variant=serving.get("variant"),
        steps_run=serving.get("steps_run"),
        cut_steps=_cut_steps(serving),
        early_exit=str(serving.get("early_exit", "none")),
        queue_s=_seconds(serving.get("queue_ms")),
        service_s=_seconds(serving.get("service_ms")),
    )


def _cut_steps(serving: Mapping[str, Any]) -> int:
    """Steps without guidance of a guided job; runs of before there was a cut do not tell any.

    A simulation knows no scale and tells the steps themselves.
    """
    if "cut_steps" in serving:
        return int(serving["cut_steps"])
    if "guided_steps" not in serving or float(serving["guidance_scale"]) <= 1:
        return 0
    return int(serving["steps_run"]) - int(serving["guided_steps"])


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000


def _read_status(path: Path, started_unix_s: float) -> tuple[StatusPoint, ...]:
    if not path.exists():
        return ()
    return tuple(
        StatusPoint(
            float(line["unix_s"]) - started_unix_s,
            int(line["waiting"]),
            int(line["running"]),
            int(line["rung"]),
        )
        for line in _read_lines(path)
    )


def _read_quality(path: Path) -> Quality | None:
    if not path.exists():
        return None
    judged = _read_json(path)
    return Quality(
        pictures=int(judged["pictures"]),
        all_right=float(judged["all_right"]),
        attributes={name: float(share) for name, share in judged["attributes"].items()},
        by_rung={
            rung: (int(one["pictures"]), float(one["all_right"]))
            for rung, one in judged["by_rung"].items()
        },
    )


def _read_json(path: Path) -> Any:
    return _parsed(_text(path), path)


def _read_lines(path: Path) -> list[Any]:
    return [_parsed(line, path) for line in _text(path).splitlines() if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); name the folder of a finished demo"
        ) from None


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise DataError(f"{path} is damaged (no JSON); run the demo again") from None
