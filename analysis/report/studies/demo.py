"""The demonstration: a static and a controlled server at two loads, measured and predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.report.gathering import Results
from analysis.report.telling import band, off_by, per_cent

FIGURES = ("mean_s", "p50_s", "p95_s", "p99_s")
PREDICTIONS = (
    ("closed_form", "closed form"),
    ("a_priori", "simulated, a priori"),
    ("trace_driven", "simulated, its arrivals"),
)
EFFECTS_OF = "p95_s"


def blocks(results: Results) -> list[Block]:
    """The section; KeyError or TypeError if the file is of another kind."""
    meta, runs = results["meta"], results["runs"]
    unloaded = ", ".join(
        f"{name} {one['latency_s']:.3f} s over {one['requests']} requests"
        for name, one in results["unloaded"].items()
    )
    found: list[Block] = [
        Heading("Demonstration: overload without and with control", 1),
        Paragraph(
            "A server that always gives full service and one that gives less while its queue is"
            f" long get the same Poisson arrivals, prompts and seeds, for {meta['seconds']:g} s a"
            " load. Loads are told as multiples of the rate at which full batches give full"
            f" service, {results['capacity_per_s']:.2f} pictures a second on this machine. One"
            f" request alone takes, in the median: {unloaded}."
        ),
        Heading("Claims and verdicts", 2),
        _verdicts(results),
        Heading("Latency, measured and predicted", 2),
        _table(runs),
        _picture(runs),
        Heading("Where predictions are off, and why", 2),
        Paragraph(
            "Causes are found by replacing one assumption at a time in the simulation by what was"
            " measured in the run; what nothing explains is told as the rest. The rows of a run"
            f" add up to measured minus predicted, here for {EFFECTS_OF.removesuffix('_s')}."
        ),
        _effects(runs),
        Bullets(tuple(_notes(runs))),
    ]
    return found


def findings(results: Results) -> list[str]:
    """The sentences for the abstract: the run with the highest load of each controller."""
    by_name: dict[str, Mapping[str, Any]] = {}
    for run in results["runs"]:
        kept = by_name.get(run["controller"])
        if kept is None or run["load"] > kept["load"]:
            by_name[run["controller"]] = run
    told = [
        f"{name} p95 {_measured(run, 'p95_s')}, {per_cent(run['measured']['degraded_share'])}"
        " degraded"
        for name, run in by_name.items()
    ]
    load = max(run["load"] for run in results["runs"])
    return [
        f"At {load:g} times capacity the same arrivals were answered with: {'; '.join(told)}."
        + _accuracies(by_name)
    ]


def _accuracies(by_name: Mapping[str, Mapping[str, Any]]) -> str:
    judged = [
        f"{name} {per_cent(run['accuracy'])}"
        for name, run in by_name.items()
        if run.get("accuracy") is not None
    ]
    return f" All of the prompt right: {', '.join(judged)}." if judged else ""


def shortfalls(results: Results) -> list[str]:
    """What was claimed and did not hold."""
    return [
        f"{one['word'].capitalize()}: {one['claim']}: {one['detail']}."
        for one in results["verdicts"]
        if not (one["holds"] and one["sure"])
    ]


def _verdicts(results: Results) -> Table:
    return Table(
        ("verdict", "claim", "what was found"),
        tuple((one["word"], one["claim"], one["detail"]) for one in results["verdicts"]),
        text_columns=3,
        caption="Claims fixed before the measurement, and what was found",
    )


def _measured(run: Mapping[str, Any], name: str) -> str:
    value = run["measured"][name]
    interval = run["intervals_95"].get(name)
    if interval is None:
        return f"{value:.3f} s"
    return f"{value:.3f} s ({band(interval['low'], interval['high'])})"


def _table(runs: list[Mapping[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        shown = run["measured"]
        cells = (
            _measured(run, name).replace(" s", "") if shown[name] is not None else ""
            for name in FIGURES
        )
        rows.append(
            (
                run["name"],
                f"measured, n = {shown['n']}",
                *cells,
                f"{shown['mean_steps']:.1f}",
                per_cent(shown["degraded_share"]),
            )
        )
        rows += [row for key, word in PREDICTIONS if (row := _predicted(run, key, word))]
    return Table(
        ("run", "what", "mean, s", "p50, s", "p95, s", "p99, s", "steps", "degraded"),
        tuple(rows),
        text_columns=2,
        caption=(
            "Latency from the scheduled instant. Behind a measured figure its 95 % interval (block"
            " bootstrap), behind a predicted one its deviation from the measured."
        ),
    )


def _predicted(run: Mapping[str, Any], key: str, word: str) -> tuple[str, ...] | None:
    found = run.get(key)
    if found is None:
        return None
    figures = found.get("figures", found)
    if figures is None:
        return None
    cells = []
    for name in FIGURES:
        deviation = figures[name] / run["measured"][name] - 1 if run["measured"][name] else None
        cells.append(f"{figures[name]:.3f} ({off_by(deviation)})")
    degraded = per_cent(figures["degraded_share"])
    return ("", word, *cells, f"{figures['mean_steps']:.1f}", degraded)


def _picture(runs: list[Mapping[str, Any]]) -> Picture:
    with plain_style():
        figure = Figure(figsize=(7.5, 2.6))
        panels = figure.subplots(1, len(runs), squeeze=False)[0]
        for axes, run in zip(panels, runs, strict=True):
            places = range(len(FIGURES))
            values = [run["measured"][name] for name in FIGURES]
            low = [run["intervals_95"].get(name, {}).get("low") for name in FIGURES]
            high = [run["intervals_95"].get(name, {}).get("high") for name in FIGURES]
            for place, least, most in zip(places, low, high, strict=True):
                if least is not None and most is not None:
                    axes.plot([place, place], [least, most], color="0.55", linewidth=3, zorder=1)
            axes.plot(places, values, "o", color="black", markersize=4, label="measured, 95 %")
            for key, word, mark in (
                ("a_priori", "simulated, a priori", "D"),
                ("trace_driven", "simulated, its arrivals", "x"),
            ):
                found = run.get(key)
                if found is not None:
                    figures = found.get("figures", found)
                    axes.plot(
                        [place + 0.25 for place in places],
                        [figures[name] for name in FIGURES],
                        mark,
                        color="black",
                        markerfacecolor="white",
                        markersize=4,
                        label=word,
                    )
            axes.set_xticks(list(places), [name.removesuffix("_s") for name in FIGURES], fontsize=7)
            axes.set_title(run["name"], fontsize=8)
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel("latency, s")
        panels[0].legend(frameon=False, fontsize=5.5, loc="upper left")
    return Picture(
        "demo", figure, "Latency measured (dots, bars are 95 % intervals) and simulated, run by run"
    )


def _effects(runs: list[Mapping[str, Any]]) -> Table:
    names: list[str] = []
    for run in runs:
        for name in (run.get("causes") or {}).get("effects", {}).get(EFFECTS_OF, {}):
            if name not in names:
                names.append(name)
    rows = []
    for name in names:
        cells = []
        for run in runs:
            value = (run.get("causes") or {}).get("effects", {}).get(EFFECTS_OF, {}).get(name)
            cells.append("" if value is None else f"{value:+.3f}".replace("-", "\N{MINUS SIGN}"))
        rows.append((name, *cells))
    return Table(
        ("cause", *(run["name"] for run in runs)),
        tuple(rows),
        caption=f"What each cause is worth for {EFFECTS_OF.removesuffix('_s')}, in s",
    )


def _notes(runs: list[Mapping[str, Any]]) -> list[str]:
    told = []
    for run in runs:
        said = list(run["notes"])
        if not run["valid"]:
            said = [f"the load generator's audit: {reason}" for reason in run["reasons"]] + said
        told += [f"{run['name']}: {note}" for note in said]
    return told
