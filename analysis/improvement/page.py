"""What the study has to say, from its JSON document alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Table
from analysis.improvement.figure import picture
from analysis.improvement.measures import BY_KEY, MEASURES, POINTS
from analysis.improvement.simulated import FACTOR_KEYS
from analysis.provenance import told

Plain = Mapping[str, Any]

TITLES = {
    "static": "static (always full service)",
    "at_start": "fewer steps for those that start",
    "in_flight": "fewer steps also for those that run",
}
SHORT = {"static": "static", "at_start": "at start", "in_flight": "in flight"}
SIMULATED_KEYS = (
    "mean_s",
    "p95_s",
    "p99_s",
    "pictures_per_s",
    "within_1s",
    "within_2s",
    "engine_s",
    "steps",
)
BEYOND = 1000.0
FEW = 100
"""Fewer requests than this in a run make its p99 the slowest or second slowest of them."""


def blocks(results: Plain) -> list[Block]:
    """The page of the study, and its section of the report."""
    return [
        Heading("Improvement against the system without optimisation", 1),
        Paragraph(told(dict(results["made_by"]))),
        Bullets(tuple(findings(results))),
        Heading("Method"),
        *_method(results),
        Heading("Measured"),
        *(_measured_table(results, load) for load in _loads(results)),
        *_worse(results),
        picture(results),
        Heading("One request at a time"),
        _alone_table(results["alone"]),
        Heading("Simulated: more loads"),
        *_simulated(results),
        Heading("Simulated: each optimisation alone, and all together"),
        *_factors(results),
        *_remarks(results),
    ]


def findings(results: Plain) -> list[str]:
    """What was found, in sentences."""
    found = []
    base, best = results["systems"][0], results["systems"][-1]
    for load in _loads(results):
        one = _comparison(results, load, base, best)["measures"]
        speed = ", ".join(
            f"{BY_KEY[key].title} {_told(one[key])}"
            for key in ("mean_s", "p95_s", "pictures_per_s", "within_2s")
        )
        price = ", ".join(
            f"{BY_KEY[key].title} {_told(one[key])}" for key in ("steps", "all_right") if key in one
        )
        found.append(
            f"Measured at {load:g} times the full-step capacity, {SHORT[best]} against {base}"
            f" (above zero is better): {speed}; its price: {price}."
        )
    if len(results["systems"]) > 2:
        other = results["systems"][1]
        load = _loads(results)[-1]
        one = _comparison(results, load, other, best)["measures"]["mean_s"]
        found.append(
            f"Of that, lowering also what runs already brings {_told(one)} of the mean latency at"
            f" {load:g} times the capacity, against lowering at the start alone ({_verdict(one)})."
        )
    cache = results["alone"]["cache"]
    found.append(
        f"A prompt in the cache improves the latency of a request alone by {cache['value']:+.1f} %"
        f" ({cache['low']:+.1f} to {cache['high']:+.1f}); encoding it anew takes"
        f" {1000 * results['alone']['encode_new_s']:.1f} ms in the engine."
    )
    return found


def _loads(results: Plain) -> list[float]:
    return list(dict.fromkeys(float(one["load"]) for one in results["measured"]))


def _comparison(results: Plain, load: float, base: str, other: str) -> Plain:
    found: Plain = next(
        one
        for one in results["measured"]
        if (one["load"], one["base"], one["other"]) == (load, base, other)
    )
    return found


def _told(one: Plain) -> str:
    """An improvement with its interval."""
    unit = "points" if one["told_in"] == POINTS else "%"
    return f"{one['value']:+.1f} {unit} ({_end(one['low'])} to {_end(one['high'])})"


def _end(value: float) -> str:
    """An end of an interval; beyond a thousand it only says that too little is known."""
    if abs(value) >= BEYOND:
        return f"{'beyond' if value > 0 else 'below'} {math.copysign(BEYOND, value):+.0f}"
    return f"{value:+.1f}"


def _marked(one: Plain) -> str:
    """The same for a table: a star where Holm's procedure excludes that there is none."""
    return _told(one) + ("" if one["verdict"] == "open" else " *")


def _verdict(one: Plain) -> str:
    return {"better": "certain", "worse": "certainly worse", "open": "open"}[one["verdict"]]


def _method(results: Plain) -> list[Block]:
    rounds = max(turn["round"] for turn in results["turns"])
    systems = "; ".join(f"`{one}`: {TITLES[one]}" for one in results["systems"])
    beside = results["alone"]["beside"]
    return [
        Paragraph(
            f"Systems, from the configuration `{results['config']}`: {systems}. All servers are up at"
            " the same time and one is loaded at a time. A request alone on the first took"
            f" {beside['base_s']:.3f} s before the others were started and {beside['other_s']:.3f} s"
            f" beside them idle ({-beside['value']:+.1f} %, 95 % {-beside['high']:+.1f} to"
            f" {-beside['low']:+.1f} %, {beside['prompts']} pairs some"
            " minutes apart, so that the machine's drift is in it)."
        ),
        Bullets(
            (
                f"{rounds} rounds. In each, every load meets every system with the same Poisson"
                f" arrivals ({results['seconds']:g} s), prompts and picture seeds, in an order drawn"
                " anew; a run ends when its last request is answered. Loads are shares of the"
                f" full-step capacity, {results['capacity_per_s']:.2f} pictures a second, from costs"
                " in service.",
                "An improvement is paired by round: the mean over rounds of the logarithm of the"
                " ratio, in percent of the base system's figure (less of latency and work, more of"
                " pictures and steps), and of the difference for shares, in points. Above zero is"
                " better. Intervals: Student, 95 %. A star: not zero at 5 % by Holm's procedure over"
                " all measured comparisons.",
                "Latency counts from the scheduled instant. Pictures a second count those answered"
                " while requests arrived; the shares within a time are of all requests. Quality is"
                " the embedded model's judge on the saved pictures.",
            )
        ),
    ]


def _measured_table(results: Plain, load: float) -> Table:
    systems = results["systems"]
    pairs = [(b, o) for place, b in enumerate(systems) for o in systems[place + 1 :]]
    found = {pair: _comparison(results, load, *pair)["measures"] for pair in pairs}
    rows = []
    for measure in MEASURES:
        if measure.key not in found[pairs[0]]:
            continue
        first = [found[systems[0], other][measure.key] for other in systems[1:]]
        values = [first[0]["base"], *(one["other"] for one in first)]
        cells = [_marked(found[pair][measure.key]) for pair in pairs]
        rows.append((measure.title, *(_value(measure.key, v) for v in values), *cells))
    head = (
        "",
        *(SHORT[system] for system in systems),
        *(f"{SHORT[other]} against {SHORT[base]}" for base, other in pairs),
    )
    return Table(head, tuple(rows), caption=f"At {load:g} times the full-step capacity.")


def _value(key: str, value: float) -> str:
    measure = BY_KEY[key]
    if measure.told_in == POINTS:
        return f"{100 * value:.1f} %"
    return f"{value:.3g} {measure.unit}".strip()


def _worse(results: Plain) -> list[Block]:
    """Where an optimised system is behind, and what stays open."""
    base = results["systems"][0]
    worse, unsure = [], []
    for one in results["measured"]:
        if one["base"] != base:
            continue
        for key, found in one["measures"].items():
            name = f"{SHORT[one['other']]} at {one['load']:g}: {BY_KEY[key].title} {_told(found)}"
            if found["verdict"] == "worse":
                worse.append(name)
            elif found["verdict"] == "open" and found["value"] < 0:
                unsure.append(name)
    sentences = [f"Worse, at 5 % over the family: {'; '.join(worse) if worse else 'nothing'}."]
    if unsure:
        sentences.append(f"Behind on the average, and open: {'; '.join(unsure)}.")
    return [
        Paragraph("Where an optimised system is behind the static one."),
        Bullets(tuple(sentences)),
    ]


def _alone_table(alone: Plain) -> Table:
    titles = {
        "cache": "a prompt in the cache against a new one, latency",
        "cache_service": "the same, time in the engine",
        "beside": "idle servers beside against none, latency",
    }
    rows = tuple(
        (
            title,
            f"{1000 * alone[name]['base_s']:.1f}",
            f"{1000 * alone[name]['other_s']:.1f}",
            f"{alone[name]['value']:+.1f} % ({alone[name]['low']:+.1f} to {alone[name]['high']:+.1f})",
        )
        for name, title in titles.items()
    )
    return Table(
        ("measured", "without, ms", "with, ms", "improvement"),
        rows,
        caption=(
            "Pairs of the same prompt and seed on the idle static server. For the text alone the engine"
            f" took {1000 * alone['encode_new_s']:.2f} ms if it was new and"
            f" {1000 * alone['encode_again_s']:.2f} ms from the cache."
        ),
    )


def _simulated(results: Plain) -> list[Block]:
    about = results["simulation"]
    rows = tuple(
        (
            f"{row['load']:g}",
            SHORT[row["system"]],
            *(_marked(row["measures"][key]) for key in SIMULATED_KEYS),
        )
        for row in results["simulated"]
    )
    head = ("load", "system", *(BY_KEY[key].title for key in SIMULATED_KEYS))
    return [
        Paragraph(
            "Simulated, not measured: the live policies in virtual time, with the costs that the"
            f" engines counted in the runs above. {about['replications']} replications of"
            f" {about['seconds']:g} s of arrivals, the same for every system. Loads are shares"
            f" of {about['capacity_per_s']:.2f} pictures a second, the full-step capacity by the same costs"
            " of all runs together. A static system above"
            " its capacity has no steady state, so that what it loses there grows with the length of"
            " the run. Intervals and stars as above, over this table."
        ),
        Table(head, rows, text_columns=2, caption="Improvement against static, simulated."),
    ]


def _factors(results: Plain) -> list[Block]:
    about = results["simulation"]
    rows = tuple(
        (
            f"{row['load']:g}",
            row["factor"],
            *(_marked(row["measures"][key]) for key in FACTOR_KEYS),
        )
        for row in results["factors"]
    )
    return [
        Paragraph(
            f"Simulated, not measured: a server of {about['engines']} engines with none of the"
            " optimisations (every prompt is new, first come first served, an engine drawn at random"
            " among those with a free place, always full service) against the same with one of them,"
            f" and with all. {100 * about['short_share']:g} % of the requests ask for exactly"
            f" {about['short_steps']} steps, the others take what they get. Taking in a job costs"
            f" {1000 * about['new_s']:.1f} ms with a new prompt and {1000 * about['cached_s']:.1f} ms"
            " with one in the cache: measured in the engine. Steps in common batches are part of both"
            " sides, but for the row `common batches`, which tells what that base has over engines"
            " that make one picture at a time. `all together` takes the exits of"
            f" {SHORT[about['best']]}."
        ),
        Table(
            ("load", "factor", *(BY_KEY[key].title for key in FACTOR_KEYS)),
            rows,
            text_columns=2,
            caption="Improvement against none of them, simulated.",
        ),
    ]


def _remarks(results: Plain) -> list[Block]:
    requests = results["seconds"] * results["capacity_per_s"] * max(_loads(results))
    remarks = list(results["problems"])
    if requests < FEW:
        remarks.insert(
            0,
            f"A run has at most about {requests:.0f} requests: its p99 is its slowest one or two, and"
            " carries little; p95 is the steadier figure.",
        )
    rounds = max(turn["round"] for turn in results["turns"])
    remarks.insert(
        0,
        f"{rounds} rounds tell large differences; a difference of shares by a point or two stays open.",
    )
    return [
        Heading("What to keep in mind"),
        Bullets(tuple(remarks)),
        Heading("Commands"),
        Code("\n".join(_some(results["commands"]))),
    ]


def _some(commands: Sequence[str], most: int = 12) -> list[str]:
    left = len(commands) - most
    return list(commands) if left <= 0 else [*commands[:most], f"... and {left} more like these"]
