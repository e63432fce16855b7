"""The step engine beside the library's pipeline, and what a step costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.report.gathering import Results
from analysis.report.telling import band, per_cent, plain

DASHES = ("-", "--", ":", "-.")


def blocks(results: Results) -> list[Block]:
    """The engine's section (on the processor); KeyError or TypeError if the file is of another kind."""
    return _claimed("The step engine beside the library's pipeline", results)


def gpu_blocks(results: Results) -> list[Block]:
    """The engine's section (on a card)."""
    return _claimed("The step engine on a CUDA card", results)


def shortfalls(results: Results) -> list[str]:
    """Claims that fail, are unsure, or were not measured."""
    return [
        f"Engine, {one['name']}: {one['verdict']}"
        + ("" if one["verdict"] != "holds" else ", but the interval reaches across the goal")
        + f" ({_figure(one)}; goal {_goal(one)})."
        for one in results["claims"]
        if one["verdict"] != "holds" or not one["is_sure"]
    ]


def _claimed(title: str, results: Results) -> list[Block]:
    header = results["header"]
    settings = ", ".join(f"{name} {value}" for name, value in header["settings"].items())
    found: list[Block] = [
        Heading(title, 1),
        Paragraph(
            "Claims with goals fixed beforehand, measured in pairs that alternate, with the interval"
            f" of the median of the pairs' ratios. Settings: {settings}."
        ),
        Table(
            ("claim", "figure (95 %)", "goal", "verdict"),
            tuple(
                (
                    one["name"],
                    _figure(one),
                    _goal(one),
                    one["verdict"]
                    + ("" if one["is_sure"] or one["figure"] is None else ", unsure"),
                )
                for one in results["claims"]
            ),
            text_columns=4,
            caption=f"{title}: claims, goals and verdicts",
        ),
    ]
    if header["warnings"]:
        found.append(Bullets(tuple(header["warnings"])))
    return found


def _figure(one: Mapping[str, Any]) -> str:
    if one["figure"] is None:
        return str(one["note"])
    unit = f" {one['unit']}" if one["unit"] else ""
    interval = one["interval"]
    told = "" if interval is None else f" ({band(interval[0], interval[1], 3)})"
    return f"{plain(one['figure'], 3)}{told}{unit}"


def _goal(one: Mapping[str, Any]) -> str:
    word = "at most" if one["at_most"] else "at least"
    return f"{word} {one['goal']:g} {one['unit']}".rstrip()


def cost_blocks(results: Results) -> list[Block]:
    """What a step costs, as profiled; KeyError or TypeError if the file is of another kind."""
    rows = []
    for table in results["tables"]:
        for name, variant in table["variants"].items():
            for batch, step in variant["step_s"].items():
                rows.append(
                    (
                        name,
                        str(table["threads"]),
                        batch,
                        f"{1000 * step['median_s']:.1f}",
                        band(1000 * step["p10_s"], 1000 * step["p90_s"], 1),
                        f"{1000 * step['median_s'] / int(batch):.1f}",
                    )
                )
    forms = [
        f"`{name}`, {table['threads']} thread{'s' if table['threads'] != 1 else ''}:"
        f" {variant['step_fit']['form']}, cross-validated error"
        f" {per_cent(variant['step_fit']['cv_error'])} in the mean,"
        f" {per_cent(variant['step_fit']['cv_worst'])} at worst"
        for table in results["tables"]
        for name, variant in table["variants"].items()
    ]
    return [
        Heading("What a step costs", 1),
        Paragraph(
            "The profile that the a priori predictions use: each batch size is timed on the idle"
            " machine, several times, in random order. A step of a full batch costs less a picture"
            " than a step of one: this is what batching buys, and why the speed of the server"
            " depends on how many jobs run together."
        ),
        Table(
            ("variant", "threads", "batch", "step, ms", "10 to 90 %", "ms a picture"),
            tuple(rows),
            caption="A guided step, median and spread over repetitions",
        ),
        _cost_picture(results),
        Paragraph("Between measured batch sizes a fitted form is used, checked by leaving out:"),
        Bullets(tuple(forms)),
    ]


def _cost_picture(results: Results) -> Picture:
    with plain_style():
        figure = Figure(figsize=(6.5, 2.8))
        panels = figure.subplots(1, len(results["tables"]), squeeze=False, sharey=True)[0]
        for axes, table in zip(panels, results["tables"], strict=True):
            for n, (name, variant) in enumerate(table["variants"].items()):
                batches = [int(batch) for batch in variant["step_s"]]
                times_ms = [1000 * step["median_s"] for step in variant["step_s"].values()]
                axes.plot(
                    batches,
                    times_ms,
                    DASHES[n % len(DASHES)],
                    marker="o^sD"[n % 4],
                    color="black",
                    markerfacecolor="white",
                    markersize=4,
                    label=name,
                )
            axes.set_title(f"{table['threads']} thread{'s' if table['threads'] != 1 else ''}")
            axes.set_xlabel("jobs in the batch")
        panels[0].set_ylabel("ms a step")
        panels[0].set_ylim(bottom=0)
        panels[0].legend(frameon=False, fontsize=7)
    return Picture("costs", figure, "Time of a step against the size of the batch")


def transfer_blocks(results: Results) -> list[Block]:
    """Costs of steps that were never measured; KeyError or TypeError if the file is of another kind."""
    report = results["report"]
    rows = [
        (
            form,
            what,
            str(one["steps"]),
            *(per_cent(one[name]) for name in ("mean_error", "median_error", "p90_error")),
            f"x/÷ {one['interval_factor']:.2f}",
            per_cent(one["interval_held"]),
        )
        for form, by_what in report["forms"].items()
        for what, one in by_what.items()
    ]
    return [
        Heading("Costs of steps that were never measured", 1),
        Paragraph(
            "A form is fitted to measured steps of some architectures, batches, sizes and settings,"
            " and asked for those that were left out. Its interval is to hold"
            f" {per_cent(report['interval_is_to_hold'], 0)} of new steps; how many it did hold is in"
            f" the last column. Kept: {report['kept']}."
        ),
        Table(
            ("form", "left out", "steps", "mean error", "median", "90 % below", "interval", "held"),
            tuple(rows),
            text_columns=2,
            caption="Relative errors of predictions, each made without what is predicted",
        ),
    ]
