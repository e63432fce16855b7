"""A comparison as blocks of a page: table, error budget, figure and notes, from its plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison import textbook, worlds
from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style

Plain = Mapping[str, Any]

HEADS = {
    "mean_s": "mean s",
    "p50_s": "p50 s",
    "p95_s": "p95 s",
    "p99_s": "p99 s",
    "degraded_share": "degraded",
    "mean_steps": "steps",
    "utilisation": "utilisation",
}
SHARES = ("degraded_share", "utilisation")
SHOWN = ("mean_s", "p95_s")
"""The figures that the picture shows."""

UP, DOWN, STANDING = ("0.35", ""), ("white", "////"), ("0.8", "")


def blocks(plain: Plain, level: int = 1) -> list[Block]:
    """The page of one comparison; `level` is that of its first heading."""
    found: list[Block] = [
        Heading(f"Measured and modelled: {plain['name']}", level),
        Paragraph(
            f"{plain['measured']['n']:.0f} requests, {plain['rate_per_s']:.2f} a second for"
            f" {plain['duration_s']:g} s, seed {plain['seed']}. Latency counts from the scheduled"
            " instant of a request. In brackets: the model over the measurement, minus 1, or points"
            " for shares. Below a figure stands where 95 % of runs fall by the model, or the"
            " measurement's 95 % interval (block bootstrap)."
        ),
        Table(("", *HEADS.values()), tuple(rows(plain))),
        Bullets(tuple(methods(plain))),
        Heading("What makes the difference", level + 1),
        Paragraph(
            "From the first line in capitals to the last, one assumption at a time is swapped for the"
            " next one's. Every change is the average over one order of the swaps and its reverse, so"
            " that all add up; ± is its Monte Carlo standard error. In square brackets: by how much"
            " the change is larger when the swap comes in the given order than in the reverse, where"
            " that is more than half of it and more than the error."
        ),
        Table(("", *HEADS.values()), tuple(budget_rows(plain))),
        Bullets(tuple(meanings(plain))),
        Picture(
            f"compare-{plain['name']}",
            budget_figure(plain),
            "From model to measurement. Grey: the milestones; dark: a swap that adds time, hatched: one"
            " that takes some away; lines: Monte Carlo standard errors.",
        ),
    ]
    if plain["notes"]:
        found += [Heading("To be careful with", level + 1), Bullets(tuple(plain["notes"]))]
    return found


def methods(plain: Plain) -> list[str]:
    """How each line of the table was had."""
    return [
        f"queueing model: {plain['queueing_method']}.",
        f"a priori: {plain['a_priori']['method']}.",
        f"trace-driven: {plain['trace_driven']['method']}.",
    ]


def meanings(plain: Plain) -> list[str]:
    """What each line of the budget swaps."""
    known = textbook.MEANINGS | worlds.MEANINGS
    names = [entry["name"] for entry in plain["budget"]["entries"]]
    return [f"{name}: {known[name]}." for name in names if name in known]


def rows(plain: Plain) -> list[tuple[str, ...]]:
    """Lines of the table: measured and each model, with bands below."""
    measured = plain["measured"]
    found = [_row("measured", measured, None), _band_row("95 %", plain["measured_bands"])]
    if plain["queueing"] is not None:
        found.append(_row("queueing model", plain["queueing"]["figures"], measured))
    else:
        found.append(("queueing model", *["none"] + [""] * (len(HEADS) - 1)))
    for name, key in (("a priori", "a_priori"), ("trace-driven", "trace_driven")):
        found.append(_row(name, plain[key]["figures"], measured))
        found.append(_band_row("95 % of runs", plain[key]["bands"]))
        if key == "a_priori":
            arrivals_only = plain["a_priori_arrivals_only"]
            found.append(_band_row("by the arrivals alone", arrivals_only))
    return found


def _row(name: str, figures: Plain, measured: Plain | None) -> tuple[str, ...]:
    return (name, *(_cell(key, figures, measured) for key in HEADS))


def _cell(key: str, figures: Plain, measured: Plain | None) -> str:
    value = figures[key]
    told = shown(key, value)
    if measured is None or value is None or measured[key] is None:
        return told
    if key in SHARES:
        return f"{told} ({100 * (value - measured[key]):+.1f})"
    return f"{told} ({value / measured[key] - 1:+.1%})" if measured[key] else told


def _band_row(name: str, bands: Plain) -> tuple[str, ...]:
    cells = []
    for key in HEADS:
        band = bands.get(key)
        if band is None or band["low"] is None:
            cells.append("")
        else:
            cells.append(f"{shown(key, band['low'])} to {shown(key, band['high'])}")
    return (name, *cells)


def shown(key: str, value: float | None, *, signed: bool = False) -> str:
    """A figure as it is told."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if key in SHARES:
        return f"{100 * value:{sign}.1f} %"
    return f"{value:{sign}.1f}" if key == "mean_steps" else f"{value:{sign}.3f}"


def budget_rows(plain: Plain) -> list[tuple[str, ...]]:
    """Milestones in capitals, and between them what each swap changes."""
    found = []
    for kind, one in steps_of(plain["budget"]):
        if kind == "milestone":
            cells = [shown(key, one["figures"][key]) for key in HEADS]
            found.append((one["name"].upper(), *cells))
        else:
            found.append((one["name"], *(_change(one, key) for key in HEADS)))
    return found


def _change(entry: Plain, key: str) -> str:
    effect, error = entry["effects"][key], entry["standard_errors"][key]
    if effect is None:
        return "-"
    order = entry["order_dependence"][key]
    told = f"{shown(key, effect, signed=True)} ± {shown(key, error)}"
    depends = order is not None and abs(order) > max(abs(effect) / 2, error) and abs(order) > 1e-9
    return f"{told} [{shown(key, order, signed=True)}]" if depends else told


def steps_of(budget: Plain) -> list[tuple[str, Plain]]:
    """Milestones and entries in the order in which they add up."""
    found: list[tuple[str, Plain]] = []
    segments = list(dict.fromkeys(entry["segment"] for entry in budget["entries"]))
    for number, milestone in enumerate(budget["milestones"]):
        found.append(("milestone", milestone))
        if number < len(segments):
            mine = [e for e in budget["entries"] if e["segment"] == segments[number]]
            found += [("entry", entry) for entry in mine]
    return found


def budget_figure(plain: Plain) -> Figure:
    """The budget as bars that hang from one another."""
    steps = steps_of(plain["budget"])
    with plain_style():
        figure = Figure(figsize=(9.5, 0.9 + 0.26 * len(steps)))
        panels = figure.subplots(1, len(SHOWN), sharey=True)
        for axes, key in zip(panels, SHOWN, strict=True):
            _hang(axes, steps, key)
            axes.set_xlabel(f"{HEADS[key].removesuffix(' s')}, s")
        names = [one["name"].upper() if kind == "milestone" else one["name"] for kind, one in steps]
        panels[0].set_yticks(range(len(steps)), names)
        panels[0].invert_yaxis()
    return figure


def _hang(axes: Axes, steps: Sequence[tuple[str, Plain]], key: str) -> None:
    at = 0.0
    for place, (kind, one) in enumerate(steps):
        if kind == "milestone":
            at = one["figures"][key] or 0.0
            colour, hatch = STANDING
            axes.barh(place, at, color=colour, edgecolor="black", linewidth=0.6, hatch=hatch)
            continue
        effect = one["effects"][key] or 0.0
        colour, hatch = UP if effect >= 0 else DOWN
        error = one["standard_errors"][key] or 0.0
        axes.barh(
            place,
            effect,
            left=at,
            color=colour,
            edgecolor="black",
            linewidth=0.6,
            hatch=hatch,
            xerr=error,
            error_kw={"elinewidth": 0.8, "ecolor": "black"},
        )
        at += effect
