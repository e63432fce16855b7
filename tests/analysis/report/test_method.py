"""The limits that the report tells are the load generator's own."""

from __future__ import annotations

from analysis.report import method
from loadgen import audit


def test_the_gates_are_those_of_the_audit() -> None:
    for name in (
        "LAG_SHARE",
        "LAG_FLOOR_S",
        "UNSTAMPED_SHARE_MAX",
        "CV_TOLERANCE",
        "FALSE_ALARM",
    ):
        assert getattr(method, name) == getattr(audit, name), name
