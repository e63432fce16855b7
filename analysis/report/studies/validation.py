"""The validation's own section, with the p95's error budget and sentences for abstract and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.document import Block, Heading, Paragraph, Table
from analysis.report.gathering import Results
from analysis.report.telling import MINUS, listed
from analysis.validation import page
from analysis.validation.verdicts import A_PRIORI, LIMITS

EXPLAINED = "p95_s"
NEXT = "What was known beforehand"
"""The heading before which the error budgets end."""


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    found = page.blocks(results)
    after = next(
        (n for n, block in enumerate(found) if isinstance(block, Heading) and block.text == NEXT),
        len(found),
    )
    found[after:after] = [
        Heading("What the residuals of p95 are made of"),
        Paragraph(
            "As for the mean above: from the prediction to the measurement, one assumption swapped"
            " at a time, in milliseconds of p95. The effects of a load add up to the last row minus"
            " the first."
        ),
        *(_budget(load) for load in results["loads"]),
    ]
    return found


def findings(results: Results) -> list[str]:
    """A sentence for each way to predict, for the abstract."""
    told = []
    for method, limits in LIMITS.items():
        counts = results["counts"][method]
        figures = []
        for limit in limits:
            one = counts[limit.figure]
            unit = "%" if limit.relative else "points"
            held = f"{_name(limit.figure)} within {100 * limit.limit:g} {unit} at {one['within']}"
            if method == A_PRIORI:
                held += f" (or inside the finite-run band: {one['passed']})"
            figures.append(f"{held} of {one['verdicts']} loads")
        told.append(f"Predicted {method}: {listed(figures)}.")
    return told


def shortfalls(results: Results) -> list[str]:
    """Every figure that misses its limit, and every load whose run is invalid."""
    told = []
    for load in results["loads"]:
        name = f"{load['mode'].replace('_', '-')} {load['share']:g}"
        if not load["valid"]:
            told.append(f"{name}: the load generator's audit calls the run invalid.")
        missed = [_missed(one) for one in load["verdicts"] if not one["passed"]]
        if missed:
            told.append(f"{name} misses: {'; '.join(missed)}.")
    return told + [f"{name} was not measured." for name in results["missing"]]


def _missed(one: Mapping[str, Any]) -> str:
    what = f"{one['method']} {_name(one['figure'])}"
    unit = "%" if one["relative"] else "points"
    sure = ", in a run too short for the claim" if one["too_short"] else ""
    off = f"{100 * one['off']:+.1f}".replace("-", MINUS)
    return f"{what} by {off} {unit} (limit {100 * one['limit']:g}{sure})"


def _name(figure: str) -> str:
    return figure.removesuffix("_s").replace("_", " ")


def _budget(load: Mapping[str, Any]) -> Table:
    budget = load["comparison"]["budget"]
    first, last = (budget["milestones"][n] for n in (0, -1))
    rows = [(f"predicted ({first['name']})", _ms(first["figures"][EXPLAINED]), "")]
    for entry in budget["entries"]:
        effect, error = entry["effects"][EXPLAINED], entry["standard_errors"][EXPLAINED]
        rows.append((entry["name"], _ms(effect, "+"), _ms(error)))
    rows.append((last["name"], _ms(last["figures"][EXPLAINED]), ""))
    title = f"{load['mode'].replace('_', '-')} {load['share']:g}"
    return Table(
        ("assumption swapped", "ms", "standard error"),
        tuple(rows),
        caption=f"Error budget of p95, {title} times capacity",
    )


def _ms(seconds: float | None, sign: str = "") -> str:
    return "" if seconds is None else f"{1000 * seconds:{sign}.0f}".replace("-", MINUS)
