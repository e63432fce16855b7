"""Deadline violations against quality: every policy and baseline, simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.report.gathering import Results
from analysis.report.telling import band, per_cent

NEAR_FULL = 2e-4
"""Added to what is lost of the score, so that a logarithm can show the full score as well."""
LEAST = 1e-5
"""Where a share of no violations is drawn."""
COLUMNS = 4


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    server, made_by = results["server"], results["made_by"]
    deadlines = " or ".join(f"{one:.2f} s" for one in results["deadlines_s"])
    return [
        Heading("Deadline violations against quality", 1),
        Paragraph(
            "All policies and the baselines of the literature, written as policies in the same code,"
            f" get the same simulated jobs: {results['replications']} replications,"
            f" {made_by['jobs']:,} jobs counted, {server['engines']} engine with batches of up to"
            f" {server['max_batch']}, costs as measured on {made_by['costs']}. A job has a deadline"
            f" of {deadlines}; late, expired, dropped and refused jobs are all violations. The score"
            " is the mean SSIM to the full picture of what came in time. This is simulation: how"
            " near the simulator is to the server is told where loads are validated."
        ),
        Heading("At equal quality", 2),
        Paragraph(
            "At each level of quality ours and the best of all baselines are compared, mixtures of"
            " two settings included on both sides. A ratio below one third was the aim. Where even"
            " a policy that knew all arrivals could not reach it, that is told."
        ),
        _counts(results),
        _levels(results),
        _picture(results),
        Heading("Schedule by schedule", 2),
        Bullets(tuple(f"{one['title']}: {one['verdict']}." for one in results["schedules"])),
    ]


def findings(results: Results) -> list[str]:
    """The sentence for the abstract."""
    held = [one["title"] for one in results["schedules"] if one["holds"]]
    return [
        "Simulated against baselines that may choose any rung in hindsight, the policies dominate on"
        f" {len(held)} of {len(results['schedules'])} arrival schedules."
    ]


def shortfalls(results: Results) -> list[str]:
    """Schedules on which ours do not dominate."""
    return [
        f"{one['title']}: {one['verdict']}." for one in results["schedules"] if not one["holds"]
    ]


def _counts(results: Results) -> Table:
    kinds = Counter(
        one["finding"] for schedule in results["schedules"] for one in schedule["at_quality"]
    )
    order = sorted(kinds.items(), key=lambda item: -item[1])
    return Table(
        ("finding", "levels"),
        tuple((name, str(count)) for name, count in order),
        caption=f"What is found at the {sum(kinds.values())} levels of quality",
    )


def _levels(results: Results) -> Table:
    rows = []
    for schedule in results["schedules"]:
        for one in schedule["at_quality"]:
            if one["ratio"] is None:
                continue
            interval = one["band"]
            ratio = f"{one['ratio']:.2f}"
            if interval is not None:
                ratio += f" ({band(interval[0], interval[1], 2)})"
            rows.append(
                (
                    schedule["title"],
                    one["level"],
                    one["finding"],
                    _violations(one["theirs"]),
                    _violations(one["ours"]),
                    ratio,
                )
            )
    return Table(
        ("schedule", "quality of", "finding", "best baseline", "ours", "ratio (95 %)"),
        tuple(rows),
        text_columns=3,
        caption="Violations where either side has any; the interval is a paired bootstrap's",
    )


def _violations(side: Mapping[str, Any] | None) -> str:
    return "none reaches it" if side is None else per_cent(side["violations"], 2)


def _picture(results: Results) -> Picture:
    schedules = results["schedules"]
    rows = -(-len(schedules) // COLUMNS)
    with plain_style():
        figure = Figure(figsize=(9.5, 2.5 * rows))
        panels = list(figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).flat)
        for axes, schedule in zip(panels, schedules, strict=False):
            for side, look in (
                ("baseline", {"marker": "x", "color": "0.5"}),
                ("hybrid", {"marker": "+", "color": "0.5"}),
                ("ours", {"marker": "o", "color": "black", "markerfacecolor": "white"}),
            ):
                points = _points(results, schedule["name"], side)
                axes.plot(
                    [lost for lost, _ in points],
                    [share for _, share in points],
                    linestyle="",
                    markersize=3.5,
                    label=side,
                    **look,
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_title(schedule["title"], fontsize=7.5)
        for axes in panels[len(schedules) :]:
            axes.set_axis_off()
        for n, axes in enumerate(panels[: len(schedules)]):
            if n % COLUMNS == 0:
                axes.set_ylabel("share of violations", fontsize=8)
            if n >= len(schedules) - COLUMNS:
                axes.set_xlabel("score lost", fontsize=8)
        panels[0].legend(frameon=False, fontsize=6, loc="lower right")
    return Picture(
        "frontier",
        figure,
        f"Violations against score lost, a point a setting; no violation is drawn at {LEAST:g}, the"
        f" full score at {NEAR_FULL:g}. Down and left is better. Hybrids are baselines with our"
        " order and admission.",
    )


def _points(results: Results, schedule: str, side: str) -> list[tuple[float, float]]:
    found = []
    for runner in results["runners"]:
        if runner["side"] != side:
            continue
        one = runner["results"][schedule]
        share, quality = one["violations"][0], one["quality"][0]
        if quality is not None:
            found.append((max(1 - quality, 0.0) + NEAR_FULL, max(share, LEAST)))
    return found
