"""The estimates of a run as blocks of a page, from their plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from analysis.estimation.figures import batch_figure, gaps_figure, service_figure
from analysis.estimation.wording import (
    batch_finding,
    curve_sentence,
    estimated,
    interval,
    length_sentence,
    milliseconds,
    number,
    overheads_finding,
    sentence_of,
    service_finding,
    share_of,
    steady_finding,
    warm_up_finding,
    with_interval,
)
from analysis.provenance import told

Plain = Mapping[str, Any]
CANNOT = "cannot"
TOPIC_NAMES = {
    "arrivals": "Arrivals",
    "service": "Service times",
    "batch_speed": "Batch speed",
    "overheads": "Parts of a latency",
    "warm_up": "Warm-up",
    "steady_state": "Steady state",
    "littles_law": "Little's law",
}


def blocks(results: Plain) -> list[Block]:
    """The page of one run's estimates."""
    run = results["run"]
    found: list[Block] = [
        Heading(f"What a run tells of itself: {run['name']}", 1),
        Paragraph(
            f"{run['served']} of {run['requests']} requests served, {run['rate_per_s']:.3g} a second for"
            f" {run['duration_s']:g} s, seed {run['seed']}. In brackets: 95 % intervals."
        ),
    ]
    if not run["valid"]:
        reasons = " ".join(run["reasons"])
        found.append(Paragraph(f"The load generator calls this run invalid: {reasons}"))
    found.append(Bullets(tuple(findings(results))))
    if results.get("made_by"):
        found.append(Paragraph(told(results["made_by"])))
    for name, title in TOPIC_NAMES.items():
        found.append(Heading(title, 2))
        topic = results[name]
        if CANNOT in topic:
            found.append(Paragraph(f"Not estimated: {sentence_of(topic[CANNOT])}"))
        else:
            found += _SECTIONS[name](topic)
    return [_named(block, run["name"]) for block in found]


def _named(block: Block, run: str) -> Block:
    """Figures of several runs may stand in one folder."""
    if isinstance(block, Picture):
        return replace(block, name=f"estimate-{run}-{block.name}")
    return block


def findings(results: Plain) -> list[str]:
    """A sentence for each topic that could be estimated."""
    return [_FINDINGS[name](results[name]) for name in TOPIC_NAMES if CANNOT not in results[name]]


def shortfalls(results: Plain) -> list[str]:
    """What this run could not tell, and where it is too short for its claims."""
    left = [
        f"{title} could not be estimated: {sentence_of(results[name][CANNOT])}"
        for name, title in TOPIC_NAMES.items()
        if CANNOT in results[name]
    ]
    steady = results["steady_state"]
    if CANNOT not in steady and steady["run_length"]["needed"] > steady["run_length"]["n"]:
        left.append(length_sentence(steady["run_length"]))
    return left


# -- arrivals -------------------------------------------------------------------------------------


def _arrivals(topic: Plain) -> list[Block]:
    tests = [(*_test_row(test), "constant rate") for test in topic["tests"]]
    tests += [(*_test_row(test), "slowly changing rate") for test in topic["local_tests"]]
    unstamped = f" {topic['unstamped']} have no stamp." if topic["unstamped"] else ""
    found: list[Block] = [
        Paragraph(
            f"{topic['n']} arrivals, {topic['where']}.{unstamped} Rate"
            f" {with_interval(topic['rate_per_s'], topic['rate_band'])} a second (Garwood), CV of the gaps"
            f" {with_interval(topic['cv'], topic['cv_band'])}. {_verdict(topic)}"
        ),
        Table(
            ("test of", "against Poisson with a", "statistic", "p", "rejected"),
            tuple((about, rate, value, p, out) for about, value, p, out, rate in tests),
            text_columns=2,
            caption="Rejections are corrected for the number of tests of a kind (Holm, 5 % together).",
        ),
        Picture(
            "gaps",
            gaps_figure(topic),
            "Gaps between arrivals against those of a Poisson process of the same rate, quantile by"
            " quantile; on the line they are alike.",
        ),
    ]
    if topic["power"]:
        rows = tuple(
            (one["alternative"], share_of(one["share"], one["band"])) for one in topic["power"]
        )
        caption = (
            "How often the same tests tell other processes from Poisson with as many arrivals."
        )
        found.append(Table(("process", "told from Poisson"), rows, caption=caption))
    return found


def _test_row(test: Plain) -> tuple[str, str, str, str]:
    p = "< 0.001" if test["p"] < 0.001 else f"{test['p']:.3f}"
    return test["about"], f"{test['statistic']:.3g}", p, "yes" if test["rejected"] else "no"


def _verdict(topic: Plain) -> str:
    return str(topic["verdict"])


# -- service --------------------------------------------------------------------------------------


def _service(topic: Plain) -> list[Block]:
    rows = [("all", topic["moments"]), *((one["rung"], one) for one in topic["rungs"])]
    fits = tuple(
        (
            fit["law"],
            number(fit["mean_s"]),
            number(fit["cv2"]),
            f"{fit['aic']:.1f}",
            f"{fit['bic']:.1f}",
            f"{fit['ks_p']:.3f}",
            f"{fit['ad_p']:.3f}",
            str(fit["tested"]),
        )
        for fit in topic["fits"]
    )
    seldom = topic["seldom"]
    rest = (
        f" {seldom} jobs of rungs that came up seldom are in the first line only." if seldom else ""
    )
    found: list[Block] = [
        Paragraph(service_finding(topic) + rest),
        Table(
            ("served at", "jobs", "worth independent", "mean s", "cv2", "skewness"),
            tuple(
                (
                    name,
                    str(one["n"]),
                    f"{one['independent']:.0f}",
                    *(estimated(one[moment]) for moment in ("mean_s", "cv2", "skewness")),
                )
                for name, one in rows
            ),
            caption="Time in the engine. Neighbours share a batch: intervals by the block bootstrap.",
        ),
    ]
    if fits:
        head = ("law", "mean s", "cv2", "AIC", "BIC", "KS p", "AD p", "tested")
        caption = (
            "Laws by maximum likelihood. Kolmogorov-Smirnov and Anderson-Darling p-values by drawing"
            " from the fitted law and fitting anew, on times far enough apart to be independent."
        )
        found.append(Table(head, fits, caption=caption))
    found.append(
        Picture(
            "service",
            service_figure(topic),
            "Share of jobs served within a time: measured, and the fitted laws.",
        )
    )
    return found


# -- batch speed ----------------------------------------------------------------------------------


def _batch_speed(topic: Plain) -> list[Block]:
    found: list[Block] = []
    for curve in topic["curves"]:
        rows = tuple(
            (
                str(point["batch"]),
                str(point["calls"]),
                milliseconds(point["mean_s"]),
                f"{1000 * point['line_s']:.2f}",
                f"{point['batch'] / point['mean_s']['value']:.1f}",
            )
            for point in curve["points"]
        )
        found += [
            Paragraph(curve_sentence(curve)),
            Table(("jobs in the call", "calls", "mean ms", "line ms", "jobs/s"), rows),
        ]
    if topic["left_out"]:
        found.append(Bullets(tuple(sentence_of(f"Left out: {one}") for one in topic["left_out"])))
    caption = "Time of a call by the jobs in it (95 % intervals), and the fitted lines."
    found.append(Picture("batch-speed", batch_figure(topic), caption))
    return found


# -- the others -----------------------------------------------------------------------------------


def _overheads(topic: Plain) -> list[Block]:
    rows = [*topic["parts"], topic["latency"], *topic["starts"]]
    return [
        Paragraph(overheads_finding(topic)),
        Table(
            ("part", "requests", "mean ms", "median ms", "p95 ms"),
            tuple(
                (
                    one["name"],
                    str(one["n"]),
                    *(milliseconds(one[name]) for name in ("mean_s", "median_s", "p95_s")),
                )
                for one in rows
            ),
            caption="The parts above add up to the latency. A start counts from the free place, or from"
            " the arrival if a place was free, and holds the wait for the next step's boundary.",
        ),
    ]


def _warm_up(topic: Plain) -> list[Block]:
    return [Paragraph(warm_up_finding(topic))]


def _steady_state(topic: Plain) -> list[Block]:
    found = topic["batch_means"]
    rows = (
        ("mean latency s", number(found["mean"])),
        (f"by {found['batches']} batches of {found['size']}", interval(found["band"])),
        ("by overlapping batches", interval(found["overlapping"])),
        ("correlation of neighbouring batch means", f"{found['lag_1']:+.2f}"),
        ("von Neumann's test of their independence, p", f"{found['independence_p']:.2f}"),
        ("latencies worth independent", f"{topic['run_length']['independent']:.0f}"),
        ("requests left out as warm-up", str(topic["cut"])),
    )
    return [
        Paragraph(f"{steady_finding(topic)} {length_sentence(topic['run_length'])}"),
        Table(("figure", "value"), rows),
    ]


def _littles_law(topic: Plain) -> list[Block]:
    balance = topic["balance"]
    found: list[Block] = [
        Paragraph(str(topic["verdict"])),
        Paragraph(
            f"By the log alone, over {balance['window_s']:.4g} s: {balance['number']:.4g} in the system"
            f" on average; {balance['rate_per_s']:.4g} a second times {balance['time_s']:.4g} s, less"
            f" {balance['edge']:.3g} for what came after the window, is as much"
            f" (residual {topic['residual']:.1g})."
        ),
    ]
    if topic["suspicious"]:
        lines = [f"request {one['index']}: {one['why']}" for one in topic["suspicious"]]
        more = topic["suspicious_in_all"] - len(lines)
        found.append(Code("\n".join([*lines, *([f"and {more} more"] if more else [])])))
    return found


_SECTIONS: Mapping[str, Callable[[Plain], Sequence[Block]]] = {
    "arrivals": _arrivals,
    "service": _service,
    "batch_speed": _batch_speed,
    "overheads": _overheads,
    "warm_up": _warm_up,
    "steady_state": _steady_state,
    "littles_law": _littles_law,
}

_FINDINGS: Mapping[str, Callable[[Plain], str]] = {
    "arrivals": _verdict,
    "service": service_finding,
    "batch_speed": batch_finding,
    "overheads": overheads_finding,
    "warm_up": warm_up_finding,
    "steady_state": steady_finding,
    "littles_law": lambda topic: str(topic["verdict"]),
}
