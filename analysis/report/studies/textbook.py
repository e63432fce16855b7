"""The compiled simulator against independent reference values."""

from __future__ import annotations

from analysis.document import Block, Heading, Paragraph, Table
from analysis.report.gathering import Results
from analysis.report.telling import per_cent, plain


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    values, made_by = results["values"], results["made_by"]
    inside = sum(one["inside"] for one in values)
    known = [one for one in values if one.get("exact") is not None]
    exact = sum(one["exact_inside"] for one in known)
    return [
        Heading("The simulators against textbook servers", 1),
        Paragraph(
            "The compiled simulator runs servers whose exact or independently simulated figures are"
            f" known: {made_by['replications']} replications of {made_by['jobs']:,} jobs each. Of"
            f" {len(values)} reference values {inside} lie inside the simulator's own 99 %"
            f" interval; of {len(known)} values known exactly, {exact}. One in a hundred may miss by"
            " chance. All cases share their streams of random numbers, so such misses would come"
            " together."
        ),
        _accuracy(results),
        _speed(results),
    ]


def findings(results: Results) -> list[str]:
    """The sentence for the abstract."""
    values = results["values"]
    inside = sum(one["inside"] for one in values)
    return [
        f"The compiled simulator meets {inside} of {len(values)} independent reference values"
        " within its own 99 % interval."
    ]


def shortfalls(results: Results) -> list[str]:
    """Reference values outside the interval."""
    return [
        f"{one['case']}, {one['value']}: simulated {plain(one['ours'], 6)}, reference"
        f" {plain(one['reference'], 6)}, outside the 99 % interval."
        for one in results["values"]
        if not one["inside"]
    ]


def _accuracy(results: Results) -> Table:
    cases: dict[str, list[dict[str, float]]] = {}
    for one in results["values"]:
        cases.setdefault(one["case"], []).append(one)
    models = {one["case_id"]: one["model"] for one in results["speed"]}
    rows = []
    for name, values in cases.items():
        worst = max(
            (abs(one["ours"] / one["reference"] - 1) for one in values if one["reference"]),
            default=0.0,
        )
        inside = sum(bool(one["inside"]) for one in values)
        rows.append((name, models.get(name, ""), str(len(values)), f"{inside}", per_cent(worst, 2)))
    return Table(
        ("case", "server", "values", "inside 99 %", "largest deviation"),
        tuple(rows),
        text_columns=2,
        caption="Simulated against reference values, by case",
    )


def _speed(results: Results) -> Table:
    rows = tuple(
        (
            one["case_id"],
            f"{one['median_per_s'] / 1e6:.1f}",
            f"{one['slowest_per_s'] / 1e6:.1f} to {one['fastest_per_s'] / 1e6:.1f}",
            "yes" if one["median_per_s"] >= one["goal_per_s"] else "no",
        )
        for one in results["speed"]
    )
    goal = results["speed"][0]["goal_per_s"] / 1e6
    return Table(
        ("case", "million jobs/s", "slowest to fastest", "goal reached"),
        rows,
        caption=f"Speed on one core, median over replications; the goal is {goal:g} million jobs/s",
    )
