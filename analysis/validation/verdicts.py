"""Whether a prediction of a run is as near to its measurement as was promised.

Trace-driven (the run's own arrivals): within the limits, and nothing else counts. A priori (no more
than the rate, and what was measured apart): within the limits, or with the measured figure inside
the band in which 95 % of runs of this length lie by the prediction. Both plain facts are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from analysis.comparison.comparing import Comparison
from analysis.comparison.ensembles import Modelled
from analysis.intervals import Band

TRACE_DRIVEN, A_PRIORI = "trace-driven", "a priori"


class Limit(NamedTuple):
    """How far a figure may be off: a share of the measured one, or a difference of shares."""

    figure: str
    limit: float
    relative: bool = True


LIMITS: Mapping[str, tuple[Limit, ...]] = {
    TRACE_DRIVEN: (
        Limit("mean_s", 0.03),
        Limit("p95_s", 0.05),
        Limit("p99_s", 0.10),
        Limit("degraded_share", 0.02, relative=False),
    ),
    A_PRIORI: (Limit("mean_s", 0.05), Limit("p95_s", 0.10)),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One figure of one run by one method. `off` is predicted against measured, `limit` and
    `half_width` (of the measured figure's 95 % interval) are in the same units.

    `inside`: whether the measured figure lies in the band of the prediction's single runs.
    """

    method: str
    figure: str
    relative: bool
    measured: float
    predicted: float
    off: float
    limit: float
    inside: bool
    half_width: float

    @property
    def within(self) -> bool:
        """Whether it is no farther off than the limit."""
        return abs(self.off) <= self.limit

    @property
    def passed(self) -> bool:
        """Whether what was promised holds."""
        return self.within or (self.method == A_PRIORI and self.inside)

    @property
    def beyond(self) -> float:
        """How far it is beyond the limit; 0 within it."""
        return max(0.0, abs(self.off) - self.limit)

    @property
    def too_short(self) -> bool:
        """Whether the run leaves the measured figure less sure than the limit is wide: then neither
        a hit nor a miss says much of the model."""
        return self.half_width > self.limit

    def as_plain(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("within", "passed", "beyond", "too_short")
        return {**asdict(self), **{name: getattr(self, name) for name in names}}


def verdicts_of(comparison: Comparison) -> list[Verdict]:
    """Every figure that was promised something."""
    methods: Mapping[str, Modelled] = {
        TRACE_DRIVEN: comparison.trace_driven,
        A_PRIORI: comparison.a_priori,
    }
    return [
        _verdict(comparison, method, methods[method], limit)
        for method, limits in LIMITS.items()
        for limit in limits
    ]


def _verdict(comparison: Comparison, method: str, modelled: Modelled, limit: Limit) -> Verdict:
    measured = float(getattr(comparison.measured, limit.figure))
    predicted = float(getattr(modelled.figures, limit.figure))
    interval: Band = comparison.measured_bands[limit.figure]
    scale = measured if limit.relative else 1.0
    return Verdict(
        method=method,
        figure=limit.figure,
        relative=limit.relative,
        measured=measured,
        predicted=predicted,
        off=(predicted - measured) / scale,
        limit=limit.limit,
        inside=measured in modelled.bands[limit.figure],
        half_width=interval.half_width / scale,
    )


def counted(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """By method and figure, over verdicts as JSON values: how many there are, how many are within
    the limit, inside the band, passed, and how many runs are too short for the limit."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for method, limits in LIMITS.items():
        for limit in limits:
            mine = [v for v in verdicts if (v["method"], v["figure"]) == (method, limit.figure)]
            facts = ("within", "inside", "passed", "too_short")
            counts = {fact: sum(bool(one[fact]) for one in mine) for fact in facts}
            found.setdefault(method, {})[limit.figure] = {"verdicts": len(mine), **counts}
    return found
