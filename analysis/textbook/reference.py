"""Independent reference values of queueing models, and what the compiled simulator makes of them.

A reference file is JSON: `cases`, each with id, model, definition, parameters (time in units of the
mean full service), `exact` values or null, and `des_check`: means over replications of
another simulator with the half-width of their 95 % interval.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.records import Interval
from analysis.service_times import Deterministic, Gamma, exponential
from analysis.textbook.models import (
    Arrivals,
    Bulk,
    InFlight,
    Mmpp,
    OneLine,
    Poisson,
    Server,
    StartThreshold,
)

FIGURES: Mapping[str, str] = {
    "W": "mean_response_s",
    "Wq": "mean_wait_s",
    "Wq_served": "mean_wait_served_s",
    "p50": "p50_s",
    "p95": "p95_s",
    "p99": "p99_s",
    "util": "utilisation",
    "L": "mean_in_system",
    "P_abandon": "abandoned_share",
    "frac_degraded": "fast_share",
    "time_frac_fast": "fast_time_share",
    "frac_any_fast": "any_fast_share",
    "mean_work_done_fast": "mean_fast_work_s",
    "switch_up_rate": "switch_ups_per_s",
    "mean_batch": "mean_batch",
}
"""Names in the reference file, and those of `analysis.textbook.simulation.Figures`."""

LEVEL = 0.99


@dataclass(frozen=True, slots=True)
class Case:
    """One model of the file with its values by the file's names."""

    case_id: str
    model: str
    arrivals: Arrivals
    server: Server
    simulated: Mapping[str, Interval]
    """The other simulator's means with the half-width of their 95 % interval; `replications` 0."""
    exact: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Check:
    """One reference value beside ours.

    Both are estimates, so they may differ by both errors: `agrees` says that the difference is at
    most our half-width plus the reference's. `inside` is the harder question whether the
    reference's mean lies in our own interval; of many right values about 1 % and a little more do
    not. `inside_jointly` and `agrees_jointly` ask the same of an interval that is wide enough to
    hold all values of the file at once with 99 % (Bonferroni).
    """

    case_id: str
    figure: str
    ours: Interval
    jointly: Interval
    reference: float
    reference_half_width: float
    exact: float | None

    @property
    def inside(self) -> bool:
        """The reference's mean lies in our 99 % interval."""
        return self.reference in self.ours

    @property
    def agrees(self) -> bool:
        """... once that is widened by the reference's own half-width."""
        return self._near(self.ours)

    @property
    def inside_jointly(self) -> bool:
        """The reference's mean lies in our interval of 99 % for all values at once."""
        return self.reference in self.jointly

    @property
    def agrees_jointly(self) -> bool:
        """... once that is widened by the reference's own half-width."""
        return self._near(self.jointly)

    @property
    def exact_inside(self) -> bool | None:
        """The exact value lies in our 99 % interval; None where none is known."""
        return None if self.exact is None else self.exact in self.ours

    def _near(self, interval: Interval) -> bool:
        room = interval.half_width + self.reference_half_width
        return abs(interval.mean - self.reference) <= room


def read_cases(path: Path) -> dict[str, Case]:
    """All cases of a file by id; ValueError says what is wrong with it."""
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["cases"]
    except OSError as error:
        raise ValueError(
            f"cannot read {path}: {error.strerror}; name it with --reference"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a JSON object with a list of `cases`") from error
    try:
        return {content["id"]: _case(content) for content in listed}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: a case lacks or misstates {error}") from error


def joint_level(cases: Mapping[str, Case], level: float = LEVEL) -> float:
    """The level for each value at which all of the file's intervals hold together (Bonferroni)."""
    return 1 - (1 - level) / sum(len(case.simulated) for case in cases.values())


def check(
    case: Case, ours: Mapping[str, Interval], jointly: Mapping[str, Interval]
) -> Sequence[Check]:
    """Every simulated value of a case beside ours; both mappings are by our figures' names."""
    return [
        Check(
            case.case_id,
            name,
            ours[FIGURES[name]],
            jointly[FIGURES[name]],
            reference.mean,
            reference.half_width,
            case.exact.get(name),
        )
        for name, reference in case.simulated.items()
    ]


def _case(content: Mapping[str, Any]) -> Case:
    parameters = content["parameters"]
    simulated = {
        name: Interval(float(value["mean"]), float(value["ci95_half"]), 0)
        for name, value in content["des_check"].items()
    }
    for name in simulated:
        if name not in FIGURES:
            raise ValueError(
                f"case {content['id']} has a value {name}, which nothing here measures"
            )
    return Case(
        content["id"],
        content["model"],
        _arrivals(parameters),
        _server(parameters, at_start="service START" in content["definition"]),
        simulated,
        {name: float(value) for name, value in (content["exact"] or {}).items()},
    )


def _arrivals(parameters: Mapping[str, Any]) -> Arrivals:
    if isinstance(parameters["lam"], list):
        high_per_s, low_per_s = parameters["lam"]
        return Mmpp((high_per_s, low_per_s), (parameters["r12"], parameters["r21"]))
    return Poisson(parameters["lam"])


def _server(parameters: Mapping[str, Any], *, at_start: bool) -> Server:
    """The server; D1, D2 are deterministic full and short services, mu1, mu2 exponential rates."""
    if "b" in parameters:
        return Bulk(parameters["a"], parameters["c"], parameters["b"])
    servers = parameters.get("c", 1)
    if "K" in parameters or "K_hi" in parameters:
        fixed = "D1" in parameters
        slow = 1 / parameters["D1"] if fixed else parameters["mu1"]
        fast = 1 / parameters["D2"] if fixed else parameters["mu2"]
        if at_start:
            service = Deterministic(1 / slow) if fixed else exponential(1 / slow)
            return OneLine(service, servers, StartThreshold(parameters["K"], fast / slow))
        work = Deterministic(1.0) if fixed else exponential(1.0)
        up_at = parameters["K"] if "K" in parameters else parameters["K_hi"]
        return InFlight(work, slow, fast, up_at, parameters.get("K_lo"), servers)
    if "theta" in parameters:
        patience = exponential(1 / parameters["theta"])
        return OneLine(exponential(1 / parameters["mu"]), servers, patience=patience)
    if "D" in parameters:
        return OneLine(Deterministic(parameters["D"]), servers)
    if "k" in parameters:
        return OneLine(Gamma(parameters["mean"], 1 / parameters["k"]), servers)
    return OneLine(exponential(1 / parameters["mu"]), servers)
