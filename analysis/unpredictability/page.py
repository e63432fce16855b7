"""What the study has to say, from its JSON document alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.figures import plain_style
from analysis.provenance import told
from analysis.unpredictability.design import PANEL, REPETITIONS, SHUFFLED, TRACE, UNCHANGED

FIGURE = "unpredictability"
SCALES = ("latency", "log latency")

CAUSES = {
    "alone": {
        "request": "which request (prompt and seed)",
        "engine": "which engine",
        "block": "drift over minutes",
        "visit": "drift over seconds",
        "residual": "repetition: the same request again",
    },
    "loaded": {
        "place": "place in the trace: queueing and batching",
        "request": "which request (prompt)",
        "neighbours": "which requests stand around it",
        "replay": "one replay and another: drift",
        "residual": "repetition: the same place again",
    },
}


def blocks(results: Mapping[str, Any]) -> list[Block]:
    """The page of the study, and its section of the report."""
    return [
        Heading("Unpredictability: the variance of latency by cause", 1),
        Paragraph(told(dict(results["made_by"]))),
        Bullets(tuple(findings(results))),
        Heading("Method"),
        *_method(results),
        Heading("One request at a time"),
        _components("alone", results["alone"]),
        _parts(results),
        Heading("One trace again and again"),
        _components("loaded", results["loaded"]),
        _runs(results["runs"]),
        _figure(results),
        Heading("Reading it"),
        Paragraph(_limits(results)),
    ]


def findings(results: Mapping[str, Any]) -> list[str]:
    """What was found, in sentences."""
    alone, loaded, engines = results["alone"], results["loaded"], results["engines"]
    mean = results["runs"][UNCHANGED]["mean"]
    return [
        f"Alone, {_main(alone, 'alone')}. The same request, asked again on the same engine within"
        f" seconds, varies by {_percent(alone['floor_cv'])} (CV;"
        f" {_band(alone['floor_cv_band'])}): no model can predict a single latency better than that.",
        f"With the machine's drift, which nobody knows beforehand, it is"
        f" {_percent(alone['floor_beforehand_cv'])}.",
        f"The second engine differs from the first by {100 * engines['longer']:+.1f} % of its latency"
        f" ({100 * engines['low']:+.1f} to {100 * engines['high']:+.1f} %, Student over blocks).",
        f"Under load, {_main(loaded, 'loaded')}. The same place of the same trace varies by"
        f" {_percent(loaded['floor_cv'])} ({_band(loaded['floor_cv_band'])}), and by"
        f" {_percent(loaded['floor_beforehand_cv'])} with what differs from replay to replay.",
        f"The mean latency of a whole replay varies by {_percent(mean['cv'])}"
        f" ({_percent(mean['cv_low'])} to {_percent(mean['cv_high'])}) between {mean['n']} unchanged"
        " replays: a prediction of such a run's mean that is nearer than that was lucky.",
    ]


def _main(part: Mapping[str, Any], name: str) -> str:
    """The largest cause, with its share."""
    found = part["components"]["latency"]
    cause = max(found, key=lambda one: found[one]["share"])
    share = found[cause]
    return (
        f"the largest part of the variance of latency is {CAUSES[name][cause]}, with"
        f" {_percent(share['share'])} of it ({_band(share['share_band'])})"
    )


def _method(results: Mapping[str, Any]) -> list[Block]:
    replays = len(results["replays"])
    return [
        Paragraph(
            "One server with a static controller and two engines of one thread each, with the same"
            " weights. Each engine hosts the model under a name of its own, so that a request says"
            " where it runs, and the answer confirms it. Nothing else asks the server meanwhile."
        ),
        Bullets(
            (
                f"A visit asks {PANEL} requests {REPETITIONS} times each, one at a time, in random"
                " order, on one engine.",
                f"A replay sends a trace of {TRACE} exponential gaps to the first engine by the load"
                " generator, with the same prompts: unchanged, or with the prompts in random order"
                " over the same gaps (the seed of the noise stays with the place, and the work does"
                " not depend on it).",
                f"Each of {results['blocks']} blocks holds a visit to each engine and a replay of"
                " each kind in random order, so that the machine's drift over minutes is a cause of"
                f" its own. {results['alone']['n']} requests alone and {replays} replays in all; all"
                " texts had been encoded before.",
                "Latency is the client's: from sent to answered alone, from the scheduled instant in"
                " a replay.",
            )
        ),
        Paragraph(
            "The model is one of crossed random effects: a latency is a mean plus an effect of each"
            " cause plus a residual. Its variances are estimated by moments (MINQUE; Rao, 1971): they"
            " are unbiased whatever the law of the effects, and quick enough to draw blocks anew. They"
            " agree with REML (statsmodels' MixedLM) where no variance is at zero. Intervals: 95 %,"
            f" {results['draws']} draws of whole blocks, widened for their small number. A variance"
            " estimated below zero counts as none. The residual is what is left between repetitions under the same levels of all"
            " causes."
        ),
    ]


def _components(name: str, part: Mapping[str, Any]) -> Table:
    latency, logs = (part["components"][scale] for scale in SCALES)
    rows = []
    for cause, title in CAUSES[name].items():
        one, log = latency[cause], logs[cause]
        levels = part["levels"].get(cause)
        rows.append(
            (
                title,
                "" if levels is None else str(levels),
                _percent(one["share"]),
                _band(one["share_band"]),
                _percent(log["share"]),
                _band(log["share_band"]),
                _percent(one["cv"]),
                _band(one["cv_band"]),
            )
        )
    head = (
        "cause",
        "levels",
        "share of variance",
        "95 %",
        "share, log latency",
        "95 %",
        "CV",
        "95 %",
    )
    caption = (
        f"{part['n']} latencies, mean {part['mean_s']:.3f} s, CV {_percent(part['cv'])} in all. The CV"
        " of a cause is its standard deviation over the mean latency."
    )
    return Table(head, tuple(rows), caption=caption)


def _parts(results: Mapping[str, Any]) -> Table:
    titles = {"service": "in the engine", "around it": "HTTP, dispatcher and the way back"}
    rows = tuple(
        (titles[name], f"{1000 * part['mean_s']:.1f}", f"{1000 * part['repeated_s']:.2f}")
        for name, part in results["alone_parts"].items()
    )
    return Table(
        ("part of the latency alone", "mean, ms", "deviation of repetition, ms"),
        rows,
        caption="Where the repetition's variance arises.",
    )


def _runs(runs: Mapping[str, Any]) -> Table:
    rows = []
    for order, title in ((UNCHANGED, "unchanged"), (SHUFFLED, "requests shuffled")):
        for figure, one in runs[order].items():
            rows.append(
                (
                    title,
                    figure,
                    str(one["n"]),
                    f"{one['mean_s']:.3f}",
                    _percent(one["cv"]),
                    f"{_percent(one['cv_low'])} to {_percent(one['cv_high'])}",
                )
            )
    return Table(
        ("replays", "figure", "replays", "on the average, s", "CV", "95 %"),
        tuple(rows),
        text_columns=2,
        caption="A figure of a whole replay, from one replay to the next.",
    )


def _figure(results: Mapping[str, Any]) -> Picture:
    with plain_style():
        figure = Figure(figsize=(9.5, 6.2))
        grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.2))
        for column, name in enumerate(CAUSES):
            _draw_shares(figure.add_subplot(grid[0, column]), name, results[name])
        _draw_replays(figure.add_subplot(grid[1, :]), results["replays"])
    caption = (
        "Above: share of the variance of latency by cause, with 95 % intervals, alone (left) and under"
        " load (right). Below: latency by place in the trace, a line for each replay."
    )
    return Picture(FIGURE, figure, caption)


def _draw_shares(axes: Axes, name: str, part: Mapping[str, Any]) -> None:
    causes = list(CAUSES[name])
    at = np.arange(len(causes), dtype=np.float64)
    for offset, scale, grey in ((-0.2, SCALES[0], "0.35"), (0.2, SCALES[1], "0.8")):
        found = [part["components"][scale][cause] for cause in causes]
        shares = np.array([one["share"] for one in found])
        axes.barh(at + offset, shares, 0.36, color=grey, edgecolor="black", lw=0.6, label=scale)
        for height, one in zip(at + offset, found, strict=True):
            band = one["share_band"]
            axes.plot(
                [band["low"], band["high"]], [height, height], color="black", lw=1, marker="|"
            )
    axes.set_yticks(at, [CAUSES[name][cause].split(":")[0] for cause in causes], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance")
    axes.set_title("one at a time" if name == "alone" else "one trace again and again")
    if name == "alone":
        axes.legend(frameon=False, fontsize=7)


def _draw_replays(axes: Axes, replays: Sequence[Mapping[str, Any]]) -> None:
    looks = {UNCHANGED: ("-", "o", "0.3"), SHUFFLED: (":", "^", "black")}
    labelled = set()
    for replay in replays:
        order = replay["order"]
        dash, marker, grey = looks[order]
        places = np.arange(1, len(replay["latency_s"]) + 1)
        label = None if order in labelled else f"{order} requests"
        labelled.add(order)
        axes.plot(
            places, replay["latency_s"], dash, marker=marker, ms=3, lw=0.8, color=grey, label=label
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("place in the trace")
    axes.set_ylabel("latency, s")
    axes.legend(frameon=False, fontsize=7)


def _limits(results: Mapping[str, Any]) -> str:
    fewer = ""
    if results["blocks"] < results["blocks_planned"]:
        fewer = f" The time was up after {results['blocks']} of {results['blocks_planned']} blocks."
    return (
        "A model that knows the arrivals can predict what comes from the place in the trace; one that"
        " follows the machine's speed, also the drift; the repetition is beyond any model."
        " Intervals hold over the blocks of this sitting: with so few blocks they are rather too"
        " narrow (a test with six simulated blocks expects more than 80 of 100 to hold the truth, and"
        " 95 would be right), and they say nothing about other engines than these two, other requests than"
        " these, or other days. All requests ask for the same steps; with a mix of steps the"
        f" neighbours would matter more.{fewer}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _band(band: Mapping[str, float]) -> str:
    return f"{100 * band['low']:.1f} to {100 * band['high']:.1f} %"
