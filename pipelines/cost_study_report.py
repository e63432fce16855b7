"""What a cost study taught, for readers: a page, and a figure of steps as predicted unseen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from pipelines.cost_plot import plain_style
from pipelines.cost_predictor import COVERED, HeldOut, Predictor
from pipelines.cost_samples import CostStudy

MARKERS = "osD^vP*X<>ph"
FORMS: Mapping[str, str] = {
    "roofline": "a weight for each kind of work at the device's own rates",
    "corrected": "the same, times a ridge regression on the step's shape",
}
SPLITS: Mapping[str, str] = {
    "architecture": "each architecture left out in turn",
    "batch or size": "each row count, and each latent size, left out in turn",
    "setting": "each combination of threads and number type left out in turn",
}


def write_report(study: CostStudy, predictor: Predictor, page: Path) -> None:
    """Write the page as Markdown, and the figure beside it as SVG."""
    figure = page.with_suffix(".svg")
    _plot(study, predictor, figure)
    page.write_text(_page(study, predictor, figure.name), encoding="utf-8")


def _page(study: CostStudy, predictor: Predictor, figure: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in study.versions.items())
    names = ", ".join(study.architectures)
    lines = [
        "# Costs of steps that were never measured",
        "",
        f"`{study.command}` at commit {study.commit} on {study.machine} ({versions}, seed"
        f" {study.seed}): {len(study.samples)} steps of {len(study.architectures)} architectures"
        f" with random weights ({names}).",
        "",
        "Errors are relative, of predictions by a form fitted without what is predicted. The"
        f" interval is to hold {COVERED:.0%} of new steps; *held* says how many it did hold when it"
        " was made without them.",
        "",
        "| form | left out | mean error | median | 90 % below | interval | held |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for form, by_split in predictor.held_out.items():
        name = f"**{form}**" if form == predictor.form else form
        lines += [_row(name, split, held_out) for split, held_out in by_split.items()]
    lines += ["", *(f"- {form}: {words}." for form, words in FORMS.items())]
    lines += [f"- {split}: {words}." for split, words in SPLITS.items()]
    lines += ["", f"Kept: {predictor.form}.", "", f"![Predicted and measured]({figure})", ""]
    return "\n".join(lines)


def _row(form: str, split: str, held_out: HeldOut) -> str:
    errors = (held_out.mean_error, held_out.quantile(0.5), held_out.quantile(0.9))
    shown = " | ".join(f"{error:.1%}" for error in errors)
    factor = math.exp(held_out.margin)
    return f"| {form} | {split} | {shown} | x/÷ {factor:.2f} | {held_out.coverage:.0%} |"


def _plot(study: CostStudy, predictor: Predictor, path: Path) -> None:
    held_out = predictor.held_out[predictor.form]["architecture"]
    measured_ms = [1000 * sample.step_s.median_s for sample in study.samples]
    predicted_ms = [
        ms * math.exp(error) for ms, error in zip(measured_ms, held_out.errors, strict=True)
    ]
    with plain_style():
        figure = Figure(figsize=(5.6, 5.0))
        axes = figure.subplots()
        for marker, name in zip(MARKERS, study.architectures, strict=False):
            own = [i for i, sample in enumerate(study.samples) if sample.architecture == name]
            axes.loglog(
                [measured_ms[i] for i in own],
                [predicted_ms[i] for i in own],
                marker,
                color="black",
                markerfacecolor="none",
                markersize=3.5,
                markeredgewidth=0.6,
                label=name,
            )
        ends = (min(measured_ms), max(measured_ms))
        axes.plot(ends, ends, "-", color="black", linewidth=0.8)
        for factor in (math.exp(-held_out.margin), math.exp(held_out.margin)):
            axes.plot(ends, [factor * end for end in ends], ":", color="black", linewidth=0.8)
        axes.set_xlabel("measured step, ms")
        axes.set_ylabel("predicted without its architecture, ms")
        axes.legend(frameon=False, fontsize=6.5)
        figure.savefig(path, format="svg", metadata={"Date": None})
