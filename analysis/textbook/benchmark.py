"""The textbook's servers, measured: values beside the reference's, and jobs a second.

`measure` runs the cases, `write` puts what came out into a JSON file and a Markdown page.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from analysis.provenance import commit, hardware, load_average
from analysis.service_times import Empirical, Gamma, Lognormal, ServiceTime
from analysis.textbook.models import OneLine, Poisson
from analysis.textbook.reference import LEVEL, Case, Check, check
from analysis.textbook.simulation import intervals, replicate, simulate

PACKAGES = ("numpy", "scipy", "numba", "llvmlite")
COMPILING_JOBS = 1000
GOAL_PER_S = 5e6
"""Jobs a second on one core that every compiled model is to reach."""


def _four_servers(name: str, service: ServiceTime) -> Case:
    return Case(name, f"M/G/4, {name}", Poisson(3.2), OneLine(service, 4), {}, {})


SPEED_ONLY = (
    _four_servers("lognormal", Lognormal(1.0, 0.5)),
    _four_servers("gamma", Gamma(1.0, 2.0)),
    _four_servers("sample", Empirical([0.5, 0.75, 1.0, 1.75])),
)
"""Laws of service that the reference has no case of: timed, with nothing to check."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Jobs a second on one core, once compiled, over the replications of one case.

    Timed is all of a replication: random numbers, the loop, and the figures with their percentiles.
    Only the jobs that count are counted.
    """

    case_id: str
    model: str
    median_per_s: float
    slowest_per_s: float
    fastest_per_s: float
    goal_per_s: float = GOAL_PER_S

    @property
    def reached(self) -> bool:
        """The median reaches the goal."""
        return self.median_per_s >= self.goal_per_s


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: its checks and its speed."""

    speed: Speed
    checks: tuple[Check, ...]


def measure(
    case: Case,
    jobs: int,
    replications: int,
    seed: int,
    joint_level: float,
    finished: Callable[[], None] = lambda: None,
) -> Measured:
    """Run one case; `finished` is called after each replication. Needs at least two of them."""
    if replications < 2:
        raise ValueError(f"replications {replications} must be at least 2 for an interval")
    simulate(case.arrivals, case.server, COMPILING_JOBS, seed)
    ended_s = [time.perf_counter()]

    def one_more() -> None:
        ended_s.append(time.perf_counter())
        finished()

    runs = replicate(case.arrivals, case.server, jobs, seed, replications, finished=one_more)
    per_s = [jobs / (after - before) for before, after in pairwise(ended_s)]
    checks = check(case, intervals(runs, LEVEL), intervals(runs, joint_level))
    speed = Speed(case.case_id, case.model, median(per_s), min(per_s), max(per_s))
    return Measured(speed, tuple(checks))


def describe(
    command: str,
    started_at: datetime,
    load_start: float | None,
    *,
    jobs: int,
    replications: int,
    seed: int,
) -> dict[str, Any]:
    """What the figures were made with; call it when all is measured."""
    return {
        "command": command,
        "commit": commit(),
        "started_at": started_at.isoformat(timespec="seconds"),
        "duration_s": round((datetime.now(UTC) - started_at).total_seconds(), 1),
        "load_average_start": load_start,
        "load_average_end": load_average(),
        "hardware": hardware(),
        "versions": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
        "jobs": jobs,
        "replications": replications,
        "seed": seed,
    }


def write(measured: Sequence[Measured], made_by: dict[str, Any], out: Path) -> tuple[Path, Path]:
    """Write OUT.json and OUT.md; returns both paths."""
    out.parent.mkdir(parents=True, exist_ok=True)
    as_json, as_page = out.with_name(f"{out.name}.json"), out.with_name(f"{out.name}.md")
    content = {
        "made_by": made_by,
        "speed": [asdict(one.speed) for one in measured],
        "values": [_plain(value) for value in _values(measured)],
    }
    as_json.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    as_page.write_text(page(measured, made_by), encoding="utf-8")
    return as_json, as_page


def summary(measured: Sequence[Measured]) -> list[str]:
    """What came out, a sentence each."""
    values = _values(measured)
    exact = [value for value in values if value.exact_inside is not None]
    said = [
        f"{sum(v.inside for v in values)} of {len(values)} reference values lie inside the"
        f" simulator's own {100 * LEVEL:g} % interval.",
        f"{sum(v.agrees for v in values)} of {len(values)} lie inside it once it is widened by the"
        " reference's own 95 % half-width.",
        f"{sum(v.agrees_jointly for v in values)} of {len(values)} lie inside the widened interval"
        f" that is to hold all values of the file at once with {100 * LEVEL:g} % (Bonferroni).",
        f"{sum(v.exact_inside is True for v in exact)} of {len(exact)} exact values lie inside the"
        f" simulator's own {100 * LEVEL:g} % interval.",
    ]
    for goal_per_s in dict.fromkeys(one.speed.goal_per_s for one in measured):
        speeds = [one.speed for one in measured if one.speed.goal_per_s == goal_per_s]
        slowest = min(speeds, key=lambda speed: speed.median_per_s)
        said.append(
            f"{sum(speed.reached for speed in speeds)} of {len(speeds)} models reach"
            f" {goal_per_s:,.0f} jobs/s on one core; the slowest, {slowest.case_id}, is simulated"
            f" at {slowest.median_per_s:,.0f}."
        )
    return said


def page(measured: Sequence[Measured], made_by: dict[str, Any]) -> str:
    """The Markdown page."""
    machine, versions = made_by["hardware"], made_by["versions"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# The compiled simulator: values beside an independent reference's, and speed",
        "",
        f"`{made_by['command']}` at commit {made_by['commit']}, {made_by['started_at']},"
        f" {made_by['duration_s']} s. Load average {made_by['load_average_start']} at the start,"
        f" {made_by['load_average_end']} at the end.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; {told}."
        f" {made_by['replications']} replications of {made_by['jobs']:,} jobs, seed"
        f" {made_by['seed']}; the warm-up is not counted.",
        "",
        *(f"- {sentence}" for sentence in summary(measured)),
        "",
        "Of right values one in a hundred, and a little more because the reference is an estimate"
        " too, lies outside its interval by chance. Every case has the same streams of"
        " random numbers, so such chances come together.",
        "",
        "## Speed",
        "",
        "One core, once compiled, with random numbers and percentiles; median over the"
        " replications, slowest and fastest of them.",
        "",
        *_table(
            ("case", "model", "jobs/s", "from", "to", "goal", "reached"), map(_speed_row, measured)
        ),
        "",
        "## Values",
        "",
        "Time in units of the mean full service. ± is the half-width: of the reference's 95 %"
        " interval, and of our 99 % interval.",
        "",
        *_table(
            (
                "case",
                "value",
                "reference",
                "±",
                "ours",
                "±",
                "inside",
                "widened",
                "exact",
                "inside",
            ),
            map(_value_row, _values(measured)),
        ),
    ]
    return "\n".join(lines) + "\n"


def _values(measured: Iterable[Measured]) -> list[Check]:
    return [value for one in measured for value in one.checks]


def _plain(value: Check) -> dict[str, Any]:
    return {
        "case": value.case_id,
        "value": value.figure,
        "reference": value.reference,
        "reference_half_width_95": value.reference_half_width,
        "ours": value.ours.mean,
        "half_width_99": value.ours.half_width,
        "half_width_99_jointly": value.jointly.half_width,
        "inside": value.inside,
        "agrees": value.agrees,
        "agrees_jointly": value.agrees_jointly,
        "exact": value.exact,
        "exact_inside": value.exact_inside,
    }


def _speed_row(one: Measured) -> tuple[str, ...]:
    speed = one.speed
    rates = (speed.median_per_s, speed.slowest_per_s, speed.fastest_per_s, speed.goal_per_s)
    return (
        speed.case_id,
        speed.model,
        *(f"{rate:,.0f}" for rate in rates),
        _told(speed.reached),
    )


def _value_row(value: Check) -> tuple[str, ...]:
    return (
        value.case_id,
        value.figure,
        f"{value.reference:.6g}",
        f"{value.reference_half_width:.2g}",
        f"{value.ours.mean:.6g}",
        f"{value.ours.half_width:.2g}",
        _told(value.inside),
        _told(value.agrees),
        "" if value.exact is None else f"{value.exact:.6g}",
        _told(value.exact_inside),
    )


def _told(answer: bool | None) -> str:
    return "" if answer is None else "yes" if answer else "**no**"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
