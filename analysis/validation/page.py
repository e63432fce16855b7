"""The results of a validation as a page, and as a section of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.document import Block, Bullets, Code, Heading, Paragraph, Picture, Table
from analysis.provenance import told
from analysis.validation.figure import predicted_against_measured
from analysis.validation.verdicts import A_PRIORI, LIMITS, TRACE_DRIVEN

WORDS = {
    "mean_s": "mean",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "degraded_share": "degraded share",
    "mean_steps": "steps",
    "utilisation": "utilisation",
}
LATENCIES = ("mean_s", "p50_s", "p95_s", "p99_s")
SHARES = ("degraded_share", "utilisation")
ROWS = {"queueing": "queueing model", "a_priori": A_PRIORI, "trace_driven": TRACE_DRIVEN}
PERCENT = 100.0


def blocks(results: Mapping[str, Any]) -> list[Block]:
    """Everything that the results say. KeyError for a document of another kind."""
    loads = results["loads"]
    return [
        Heading("Validation: predictions held against the running server", 1),
        Paragraph(_method(results)),
        Heading("Verdicts"),
        Bullets(tuple(summary(results))),
        _verdicts(loads),
        _picture(results),
        Heading("Measured and predicted"),
        _figures(loads),
        Heading("What the residuals are made of"),
        Paragraph(
            "From the prediction to the measurement, one assumption swapped at a time: what each swap"
            " changes in the mean response, in milliseconds. The rows add up."
        ),
        _budget(loads),
        Heading("What was known beforehand"),
        Paragraph(_known(results["profile"])),
        _speeds(results["profile"]),
        *_notes(results),
        Heading("How it was made"),
        Paragraph(_provenance(results)),
        Code("\n".join(results["measured"]["commands"])),
    ]


def _method(results: Mapping[str, Any]) -> str:
    measured = results["measured"]
    return (
        "Every load is Poisson arrivals at a share of the full-step capacity,"
        f" {measured['capacity_per_s']:.2f} pictures a second as the first calibration found it, on"
        f" a server with the configuration `{measured['config']}`: with a static controller, with"
        " rungs applied to whoever starts (at_start), and to jobs already running (in_flight)."
        f" {measured['plan']['requests']} requests were planned a load. The queueing model and the a"
        " priori simulation know the rate, the configuration and a profile measured apart from the"
        " loads; the band of the latter is where 95 % of runs of the same length fall, with their"
        " own arrivals and the changes of speed that the calibrations showed. The trace-driven"
        " replay knows the run's own arrivals and costs besides. Intervals of measured figures are"
        " block bootstraps; the effective sample size is what the correlated latencies of a run are"
        " worth. A figure passes trace-driven within its limit only, a priori within its limit or"
        " with the measured figure inside the band. A star marks a run that is too short for the"
        " claim: half of the measured figure's interval is wider than the limit. That is strict for a"
        " replay, which meets the same arrivals and so shares most of their chance."
    )


def summary(results: Mapping[str, Any]) -> list[str]:
    """A sentence for each method and figure."""
    sentences = []
    for method, limits in LIMITS.items():
        for limit in limits:
            count = results["counts"][method][limit.figure]
            size = f"{limit.limit:.0%}" if limit.relative else f"{PERCENT * limit.limit:g} points"
            text = (
                f"{method[0].upper()}{method[1:]}, {WORDS[limit.figure]} within {size}:"
                f" {count['within']} of {count['verdicts']} loads"
            )
            if method == A_PRIORI:
                text += (
                    f"; inside the finite-run band: {count['inside']}; within the limit or inside"
                    f" the band: {count['passed']}"
                )
            short = count["too_short"]
            text += f"; {short} of the runs too short for the claim." if short else "."
            sentences.append(text)
    return sentences


def _verdicts(loads: Sequence[Mapping[str, Any]]) -> Table:
    head = ["load", "requests (effective)"]
    for method, limits in LIMITS.items():
        head += [f"{method}: {WORDS[limit.figure]}" for limit in limits]
    rows = []
    for one in loads:
        cells = [_title(one), f"{one['requests']} ({one['effective']:.0f})"]
        rows.append((*cells, *(_verdict(verdict) for verdict in one["verdicts"])))
    return Table(
        tuple(head),
        tuple(rows),
        caption="Predicted against measured, and how far beyond the limit a miss is.",
    )


def _verdict(one: Mapping[str, Any]) -> str:
    off = _off(one["off"], one["relative"])
    if one["within"]:
        word = "passed"
    elif one["passed"]:
        word = "passed, in the band"
    else:
        word = f"missed by {_off(one['beyond'], one['relative']).lstrip('+')}"
        word += ", in the band" if one["inside"] else ""
    return f"{off} {word}{' *' if one['too_short'] else ''}"


def _off(value: float, relative: bool) -> str:
    return f"{value:+.1%}" if relative else f"{PERCENT * value:+.1f} points"


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['mode'].replace('_', '-')} {one['share']:g}"


def _figures(loads: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for one in loads:
        found = one["comparison"]
        measured = [_with_band(found["measured"], found["measured_bands"], n) for n in WORDS]
        rows.append((_title(one), "measured", *measured))
        for key, word in ROWS.items():
            modelled = found[key]
            if modelled is None:
                rows.append(("", word, *("-" for _ in WORDS)))
                continue
            cells = [_with_band(modelled["figures"], modelled["bands"], name) for name in WORDS]
            rows.append(("", word, *cells))
    units = dict.fromkeys(LATENCIES, " s")
    head = tuple(f"{word}{units.get(name, '')}" for name, word in WORDS.items())
    return Table(
        ("load", "", *head),
        tuple(rows),
        text_columns=2,
        caption="In brackets: 95 % intervals of what was measured, and where 95 % of single runs lie"
        " by a prediction.",
    )


def _with_band(
    figures: Mapping[str, Any], bands: Mapping[str, Mapping[str, float]], name: str
) -> str:
    value = figures[name]
    if value is None:
        return "-"
    band = bands.get(name)
    if band is None or name not in LATENCIES:
        return _shown(name, value)
    return f"{_shown(name, value)} [{_shown(name, band['low'])}, {_shown(name, band['high'])}]"


def _shown(name: str, value: float) -> str:
    if name in SHARES:
        return f"{value:.1%}"
    return f"{value:.3f}" if name in LATENCIES else f"{value:.2f}"


def _budget(loads: Sequence[Mapping[str, Any]]) -> Table:
    names = list(
        dict.fromkeys(entry["name"] for one in loads for entry in _budget_of(one)["entries"])
    )
    rows = []
    for one in loads:
        budget = _budget_of(one)
        effects: dict[str, float] = {}
        for entry in budget["entries"]:
            effects[entry["name"]] = effects.get(entry["name"], 0.0) + entry["effects"]["mean_s"]
        first, last = (budget["milestones"][place]["figures"]["mean_s"] for place in (0, -1))
        cells = [f"{1000 * effects[name]:+.0f}" if name in effects else "-" for name in names]
        begin = f"{1000 * first:.0f} ({budget['milestones'][0]['name']})"
        rows.append((_title(one), begin, *cells, f"{1000 * last:.0f}"))
    return Table(("load", "predicted", *names, "measured"), tuple(rows))


def _budget_of(one: Mapping[str, Any]) -> Mapping[str, Any]:
    budget: Mapping[str, Any] = one["comparison"]["budget"]
    return budget


def _known(profile: Mapping[str, Any]) -> str:
    def ms(name: str) -> str:
        return f"{1000 * profile[name]:.1f} ms"

    return (
        f"The profile: {profile['source']}. The way of an arrival to the engine takes"
        f" {ms('arrival_lag_s')}, that from a free place to the next start {ms('place_lag_s')}, an"
        f" announced rung {ms('rung_s')}, a picture {ms('response_s')} back to its client and a"
        f" request {ms('network_s')} to the server. All calibrations together are the profile, so"
        " that it has seen the machine's speed change; none of the validated loads is in it."
    )


def _speeds(profile: Mapping[str, Any]) -> Table:
    rows = tuple(
        (name, f"{PERCENT * (level - 1):+.1f}%") for name, level in profile["runs"].items()
    )
    return Table(
        ("run of the profile", "work took longer than in all runs by"), rows, caption="The drift."
    )


def _notes(results: Mapping[str, Any]) -> list[Block]:
    found = [f"{name} was not measured." for name in results["missing"]]
    found += [f"{name} cannot be compared: {why}." for name, why in results["refused"].items()]
    for one in results["loads"]:
        notes = [*one["notes"], *one["comparison"]["notes"]]
        if not one["valid"]:
            notes.insert(0, "the load generator's audit calls the run invalid.")
        if one["comparison"]["queueing"] is None:
            notes.append(
                f"the queueing model has no figures: {one['comparison']['queueing_method']}."
            )
        if notes:
            found.append(f"{_title(one)}: {' '.join(_sentence(note) for note in notes)}")
    return [Heading("Notes"), Bullets(tuple(found))] if found else []


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:].rstrip('.')}."


def _provenance(results: Mapping[str, Any]) -> str:
    measured = results["measured"]
    seeds = ", ".join(f"{_title(one)}: {one['seed']}" for one in results["loads"])
    calibrations = ", ".join(
        f"{name}: {seed}" for name, seed in measured["plan"]["calibrations"].items()
    )
    return (
        f"Measured by {told(measured['made_by'])} The load average was"
        f" {measured['load_average_before']} before. Arrival seeds: {seeds}; {calibrations}."
        f" Computed by {told(results['made_by'])} Commands, in order:"
    )


def _picture(results: Mapping[str, Any]) -> Picture:
    return Picture(
        results["name"],
        predicted_against_measured(results["loads"]),
        "Predictions against what was measured, with the bands in which 95 % of runs lie by the"
        " prediction; grey: the interval of the measured figure.",
    )
