"""How long the dispatcher and the simulator take."""

from __future__ import annotations

from analysis.document import Block, Heading, Paragraph, Table
from analysis.report.gathering import Results
from analysis.simulator_benchmark import GOAL_PER_S

ROWS_SHOWN = 12


def dispatcher_blocks(results: Results) -> list[Block]:
    """The dispatcher's section; KeyError or TypeError if the file is of another kind."""
    timed = sorted(results["timed"], key=lambda one: one["mean_us"], reverse=True)
    rows = tuple(
        (
            one["controller"],
            one["order"],
            one["routing"],
            one["state"],
            *(f"{one[name]:.0f}" for name in ("mean_us", "median_us", "p99_us", "worst_us")),
        )
        for one in timed[:ROWS_SHOWN]
    )
    shown = min(ROWS_SHOWN, len(timed))
    return [
        Heading("The dispatcher's time an event", 1),
        Paragraph(
            "An event is a report of progress, a finish, an arrival or a tick; every decision of the"
            " queue is taken in one. The time is the processor's. It bounds the rate that one"
            f" dispatcher can hold: the slowest of {len(timed)} policies takes"
            f" {timed[0]['mean_us']:.0f} µs in the mean."
        ),
        Table(
            ("controller", "order", "routing", "state", "mean, µs", "median", "99 %", "worst"),
            rows,
            text_columns=4,
            caption=f"The {shown} slowest of {len(timed)} combinations, by the mean",
        ),
    ]


def dispatcher_findings(results: Results) -> list[str]:
    """The sentence for the abstract."""
    slowest = max(one["mean_us"] for one in results["timed"])
    return [
        f"The dispatcher decides in at most {slowest:.0f} µs an event in the mean, over"
        f" {len(results['timed'])} combinations of policies and states."
    ]


def simulator_blocks(results: Results) -> list[Block]:
    """The simulator's section; KeyError or TypeError if the file is of another kind."""
    rows = tuple(
        (
            one["name"],
            one["controller"],
            f"{one['load']:g}",
            f"{one['jobs_per_s']:,.0f}",
            f"{one['jobs_per_cpu_s']:,.0f}",
            "yes" if one["jobs_per_s"] >= GOAL_PER_S else "no",
        )
        for one in results["timed"]
    )
    return [
        Heading("The speed of the policy simulator", 1),
        Paragraph(
            "This simulator drives the server's own policy code in virtual time, so it is slower"
            " than the compiled one, and what it simulates is what runs."
        ),
        Table(
            ("case", "controller", "load", "jobs/s", "jobs/s of the processor", "goal reached"),
            rows,
            text_columns=2,
            caption=f"Medians over rounds; the goal is {GOAL_PER_S:,.0f} jobs/s",
        ),
    ]


def simulator_shortfalls(results: Results) -> list[str]:
    """Cases below the goal."""
    return [
        f"The policy simulator reaches {one['jobs_per_s']:,.0f} jobs/s for {one['name']}, below"
        f" its goal of {GOAL_PER_S:,.0f}."
        for one in results["timed"]
        if one["jobs_per_s"] < GOAL_PER_S
    ]
