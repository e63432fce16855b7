"""The plan's own section, with sentences for the abstract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.document import Block
from analysis.planning import page
from analysis.report.gathering import Results
from analysis.report.telling import MINUS, listed, per_cent


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    return page.blocks(results)


def findings(results: Results) -> list[str]:
    """How many engines each mode needs, rate by rate."""
    told = []
    for plan in results["plans"]:
        full = plan["modes"]["full"]["engines_in_all"]
        modes = [
            f"{page.TITLES[name]} {one['engines_in_all']:,}"
            f" ({MINUS}{per_cent(1 - one['engines_in_all'] / full, 0)}{_score(one['figures'])})"
            for name, one in plan["modes"].items()
            if name != "full"
        ]
        told.append(
            f"{plan['whole']['rate_per_s']:,.0f} requests/s: {page.TITLES['full']} {full:,}"
            f" engines, {listed(modes)}"
        )
    return [
        f"For 95 % of the answers within {results['slo_p95_s']:.3g} s the model plans for"
        f" {'; for '.join(told)}."
    ]


def _score(figures: Mapping[str, Any]) -> str:
    return f", mean score {figures['score']:.4f}" if "score" in figures else ""
