"""The parts of a plan's page that ask what if: other rates, peaks, shards, and the models' checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.planning.figure import draw

Plain = Mapping[str, Any]


def sweep_blocks(results: Plain) -> list[Block]:
    """Engines, p95 and quality along the rate, and the knee."""
    swept = results["sweep"]
    shown: list[Block] = [
        Heading("What if the rate were another"),
        Picture(
            "plan",
            draw(results),
            "Engines needed against the rate (left); p95 (middle) and quality (right) along the"
            " rate with the engines of the first plan with early exit.",
        ),
    ]
    if "steps" not in swept:
        return shown
    rows = tuple(
        (
            str(row["engines"]),
            f"{row['full_up_to_per_s']:.3g}",
            f"{row['early_up_to_per_s']:.3g}",
            _ratio(row["early_up_to_per_s"], row["full_up_to_per_s"]),
        )
        for row in swept["steps"]
    )
    head = ("engines", "full service up to requests/s", "early exit up to", "ratio")
    return [*shown, Table(head, rows), *_knee(swept["knee"])]


def _knee(knee: Plain | None) -> list[Block]:
    if knee is None:
        return [Paragraph("Within these rates early exit saves no engine.")]
    there, top = knee["there"], knee["at_the_top"]
    engines = "1 engine does" if knee["engines"] == 1 else f"{knee['engines']} engines do"
    items = [
        f"The knee is at {knee['rate_per_s']:.3g} requests/s: up to there {engines} with full"
        f" service, above it early exit saves one. Just there it costs {quality(there)}; the same"
        f" engines last until {knee['up_to_per_s']:.3g} requests/s, with {quality(top)}."
    ]
    peak = knee.get("peak")
    if peak is not None:
        items.append(
            f"In peaks: the {peak['engines']} engines that full service needs at the mean rate"
            f" keep the promise up to a peak of {peak['from']:.2f} times the mean; from there on"
            f" early exit does without another ({quality(peak['there'])}), up to"
            f" {peak['up_to']:.2f} times ({quality(peak['at_the_top'])})."
        )
    return [Bullets(tuple(items))]


def peak_blocks(peaks: Plain) -> list[Block]:
    """Engines for a peak, and the quality that they give then and in calm hours."""
    rows = tuple(
        (
            f"{row['factor']:g}",
            f"{row['full']:,.0f}",
            f"{row['early']:,.0f}",
            f"{1 - row['early'] / row['full']:.0%}",
            *(
                f"{score({'score': row[f'{when}_score']}) if f'{when}_score' in row else 'none'}"
                f", {row[f'{when}_degraded_share']:.0%}"
                for when in ("peak", "mean")
            ),
        )
        for row in peaks["rows"]
    )
    head = (
        "peak / mean",
        "engines, full service",
        "early exit in flight",
        "saved",
        "score and degraded at the peak",
        "at the mean rate",
    )
    return [
        Heading("Planned for a peak"),
        Paragraph(
            f"A mean of {peaks['rate_per_s']:,.0f} requests/s: engines are for the peak as if it"
            " lasted, quality is told for the peak and for calm hours with the same engines."
        ),
        Table(head, rows),
    ]


def loss_blocks(results: Plain) -> list[Block]:
    """Engines of all shards beside those of one queue."""
    lost = results["losses"]
    rows = tuple(
        (
            f"{row['shards']:g}",
            f"{row['engines']:,.0f}",
            f"{row['loss']:+.1%}",
            f"{row['p95_s']:.3f}",
        )
        for row in lost["rows"]
    )
    return [
        Heading("What dividing the stream costs"),
        Paragraph(
            f"{lost['rate_per_s']:,.0f} requests/s at full service, divided at random among"
            " dispatchers with engines of their own (by the chain): each shard is a smaller system"
            " that cannot use another's free places."
        ),
        Table(("shards", "engines in all", "more than one queue", "p95 s"), rows),
    ]


def check_blocks(checks: Plain) -> list[Block]:
    """Where two ways to compute the same can be compared."""
    rows = tuple(
        (
            f"{row['engines']:g}",
            f"{row['load']:.0%}",
            *(
                f"{row[f'chain_{name}']:.3f} / {row[f'simulated_{name}']:.3f}"
                f" ({row[f'off_{name}']:+.1%})"
                for name in ("mean_s", "p95_s", "p99_s")
            ),
        )
        for row in checks["chain"]
    )
    head = ("engines", "load", "mean s: chain / simulated", "p95 s", "p99 s")
    shown: list[Block] = [
        Heading("The chain beside the simulator"),
        Paragraph("Full service, where both can be computed; load is the share of capacity."),
        Table(head, rows),
    ]
    if "small" in checks:
        small = tuple(
            (
                f"{row['engines']:g}",
                f"{row['rate_per_s']:.4g}",
                f"{row['p95_s']:.3f}",
                score(row),
                f"{row['degraded_share']:.1%}",
            )
            for row in checks["small"]
        )
        shown += [
            Paragraph(
                "Early exit in small: the same load an engine and thresholds in proportion, with"
                " more engines. A larger system should do no worse."
            ),
            Table(("engines", "requests/s", "p95 s", "score", "degraded"), small),
        ]
    return shown


def score(figures: Plain) -> str:
    """The mean score, if the ladder has any."""
    return f"{figures['score']:.4f}" if "score" in figures else "none"


def quality(figures: Plain) -> str:
    """Score and degraded share in words."""
    degraded = f"{figures['degraded_share']:.0%} of the pictures below full service"
    if "score" not in figures:
        return degraded
    return f"a mean score of {figures['score']:.4f} ({degraded})"


def _ratio(high: float, low: float) -> str:
    return f"{high / low:.2f}" if low else "none"
