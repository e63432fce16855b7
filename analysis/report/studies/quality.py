"""What fewer steps and the other early exits save and cost, on the model in the box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from analysis.document import Block, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.intervals import wilson
from analysis.report.gathering import Results
from analysis.report.telling import band, per_cent, plain

ACCURATE_POINTS = 1.0
"""A rung that loses at most so many points by its upper bound is called as accurate."""


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    rungs = results["rungs"]
    study, cost = results["study"], results["cost"]
    return [
        Heading("Quality against cost", 1),
        Paragraph(
            f"Each setting made pictures of the same {study['prompts']} unseen prompts in each of"
            " two categories (one object, two objects) from the same seeds. A picture is right if a"
            " trained judge reads every attribute of its prompt in it. The loss is paired with the"
            f" reference `{results['reference']}` on the same prompts and seeds, with a paired"
            f" bootstrap's 95 % interval. Cost: {cost['unit']}, {cost['source']}."
        ),
        _table(rungs),
        _picture(rungs),
        Paragraph(
            "The judge is a small model too, and the prompts are of one domain (coloured shapes), so"
            " the figures tell what early exit does to this model and not what it does to a large"
            " one. The judge reads drawings it was not trained on as well as pictures; its own"
            " error is in every row alike."
        ),
    ]


def findings(results: Results) -> list[str]:
    """The sentence for the abstract: the cheapest step count that costs no accuracy."""
    kept = [
        one
        for one in results["rungs"]
        if one["strategy"] == "steps"
        and one["rung"]["variant"] == results["reference"].partition("@")[0]
        and 100 * one["lost"]["high"] <= ACCURATE_POINTS
    ]
    best = min(kept, key=lambda one: one["cost_share"], default=None)
    if best is None:
        return []
    pictures = 2 * results["study"]["prompts"]
    lost = best["lost"]
    if lost["low"] == lost["high"] == 0:  # no picture changed: the bootstrap cannot say how sure
        told = (
            f"loses no point of prompt accuracy on {pictures} paired pictures (0 of them changed;"
            f" up to {per_cent(wilson(0, pictures).high)} may, with 95 %)"
        )
    else:
        told = (
            f"loses {100 * lost['value']:.1f} points of prompt accuracy"
            f" ({band(100 * lost['low'], 100 * lost['high'], 1)})"
        )
    return [
        f"`{best['name']}` costs {per_cent(best['cost_share'], 0)} of `{results['reference']}` and"
        f" {told}, at an SSIM of {best['ssim']:.4f} to its pictures."
    ]


def shortfalls(results: Results) -> list[str]:
    """Exits that do not pay."""
    hand_over = results["recommendations"]["hand_over"]
    if hand_over["recommended"]:
        return []
    return [
        f"Hand-over to a smaller variant does not pay: of {len(hand_over['tried'])} tried, none is"
        " better than a rung of the ladder at the same cost."
    ]


def _table(rungs: Sequence[dict[str, Any]]) -> Table:
    rows = tuple(
        (
            one["name"],
            plain(1000 * one["cost"], 3),
            per_cent(1 - one["cost_share"], 0),
            per_cent(one["accuracy"]["one_object"]),
            per_cent(one["accuracy"]["two_objects"]),
            f"{100 * one['lost']['value']:.1f}".replace("-", "\N{MINUS SIGN}")
            + f" ({band(100 * one['lost']['low'], 100 * one['lost']['high'], 1)})",
            f"{one['ssim']:.4f}",
        )
        for one in rungs
    )
    return Table(
        ("rung", "cost, ms", "saved", "one object", "two objects", "points lost (95 %)", "SSIM"),
        rows,
        caption="Rungs by what they save and lose",
    )


def _picture(rungs: Sequence[dict[str, Any]]) -> Picture:
    marks = {"full": "o", "small": "^", "turbo": "s"}
    with plain_style():
        figure = Figure(figsize=(6.5, 3.0))
        left, right = figure.subplots(1, 2)
        for variant in dict.fromkeys(one["rung"]["variant"] for one in rungs):
            mine = [one for one in rungs if one["rung"]["variant"] == variant]
            costs = [1000 * one["cost"] for one in mine]
            look: dict[str, Any] = {
                "marker": marks.get(variant, "x"),
                "linestyle": "",
                "color": "black",
                "markerfacecolor": "white",
                "markersize": 4,
                "label": variant,
            }
            left.plot(costs, [100 * one["lost"]["value"] for one in mine], **look)
            for cost, one in zip(costs, mine, strict=True):
                ends = [100 * one["lost"]["low"], 100 * one["lost"]["high"]]
                left.plot([cost, cost], ends, color="0.7", linewidth=0.8, zorder=1)
            right.plot(costs, [one["ssim"] for one in mine], **look)
        left.set_ylabel("points of accuracy lost")
        right.set_ylabel("SSIM to the reference's picture")
        right.legend(frameon=False, fontsize=7)
        for axes in (left, right):
            axes.set_xlabel("ms a picture")
    return Picture(
        "quality", figure, "Accuracy lost (with 95 % intervals) and likeness against cost, by rung"
    )
