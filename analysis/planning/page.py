"""The plan in blocks, from its JSON document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.document import Block, Bullets, Heading, Paragraph, Table
from analysis.planning.what_if_page import (
    check_blocks,
    loss_blocks,
    peak_blocks,
    score,
    sweep_blocks,
)
from analysis.provenance import told

Plain = Mapping[str, Any]

TITLES = {
    "full": "always full service",
    "at_start": "early exit at the start",
    "in_flight": "early exit in flight",
}
NEARLY_ALL = 0.95
BROKEN = {
    "work": "the work itself: fewer could not do it in any arrangement",
    "p95": "the response time",
    "quality": "the quality",
    "p95 and quality": "response time and quality together",
}


def blocks(results: Plain) -> list[Block]:
    """Title, what is asked, the answers, and what was computed beside them."""
    shown: list[Block] = [
        Heading("How many engines, and what early exit saves", 1),
        Paragraph(told(dict(results["made_by"]))),
        Paragraph(_asked(results)),
    ]
    if "dispatcher" in results:
        shown += _on_paper(results)
    for plan in results["plans"]:
        shown += _plan(plan, results["engine"]["capacity_per_s"])
    if "sweep" in results:
        shown += sweep_blocks(results)
    if "peaks" in results:
        shown += peak_blocks(results["peaks"])
    if "losses" in results:
        shown += loss_blocks(results)
    if "checks" in results:
        shown += check_blocks(results["checks"])
    return [*shown, Heading("What is assumed"), Bullets(_assumptions(results))]


def _asked(results: Plain) -> str:
    sources, engine = results["sources"], results["engine"]
    asked = f"95 % of the answers within {results['slo_p95_s']:.3g} s"
    least = results["min_score"]
    quality = (
        f"a mean score of {least:g} or more"
        if least is not None
        else f"no rung below the label `{sources['quality']}`"
    )
    burst = results["burst"]
    peak = f", planned for a peak of {burst:g} times the mean rate" if burst > 1 else ""
    return (
        f"Asked: {asked}, {quality}{peak}. An engine of `{sources['config']}` has"
        f" {engine['places']} places and {engine['threads']} thread on {engine['device']}; by the"
        f" costs in `{sources['costs']}` ({sources['costs_machine']}) it serves"
        f" {engine['capacity_per_s']:.3g} pictures/s at full service, and a picture alone takes"
        f" {engine['unloaded_s']:.3g} s."
    )


def _on_paper(results: Plain) -> list[Block]:
    rows = []
    for plan in results["plans"]:
        full = plan["modes"]["full"]["engines_in_all"]
        for name, one in plan["modes"].items():
            saved = 1 - one["engines_in_all"] / full
            figures = one["figures"]
            rows.append(
                (
                    f"{plan['whole']['rate_per_s']:,.0f}",
                    TITLES[name],
                    f"{one['engines_in_all']:,}",
                    "" if name == "full" else f"{saved:.0%}",
                    f"{figures['p95_s']:.3f}",
                    score(figures),
                    f"{figures['degraded_share']:.0%}",
                    f"{plan['shards']}",
                    f"{plan['gateways']:,}",
                    _megabytes(plan["bytes_per_s_at_most"]),
                    _cost(one),
                )
            )
    head = (
        "requests/s",
        "mode",
        "engines",
        "saved",
        "p95 s",
        "score",
        "degraded",
        "dispatchers",
        "gateways (assumed)",
        "at most MB/s",
        "cost an hour",
    )
    dispatcher = results["dispatcher"]
    return [
        Heading("The table on paper"),
        Table(head, tuple(rows), 2),
        Paragraph(
            f"A dispatcher decides {dispatcher['pictures_per_s']:,.0f} pictures/s:"
            f" {dispatcher['events_per_picture']} events of {dispatcher['mean_us']:g} µs each (the"
            f" measured mean with {dispatcher['engines']:,} engines and"
            f" {dispatcher['waiting']:,} waiting, {dispatcher['machine']}; 99 % take at most"
            f" {dispatcher['p99_us']:g} µs) in {dispatcher['decision_share']:.0%} of a core. The"
            " rest of the core is kept for messages and peaks, which is an assumption. No"
            " dispatcher is planned for more engines than were measured."
        ),
    ]


def _plan(plan: Plain, capacity_per_s: float) -> list[Block]:
    demand = plan["demand"]
    rate = demand["rate_per_s"]
    title = f"{rate:,.4g} requests/s"
    if plan.get("shards", 1) > 1:
        whole = plan["whole"]["rate_per_s"]
        title = f"{whole:,.0f} requests/s: each of {plan['shards']} shards, {title}"
    rows = []
    for name, one in plan["modes"].items():
        figures = one["figures"]
        rows.append(
            (
                TITLES[name],
                f"{one['engines']:,}",
                f"{one['bound']:,}",
                _thresholds(one["thresholds"]),
                f"{figures['p50_s']:.3f}",
                _p95(one),
                f"{figures['p99_s']:.3f}",
                f"{figures['degraded_share']:.1%}",
                f"{figures['mean_steps']:.1f}",
                score(figures),
                f"{figures['utilisation']:.0%}",
                f"{one['breaks_at_per_s']:,.4g} ({one['headroom']:+.0%})",
                _cost(one),
                _thousand(one),
                one["method"],
            )
        )
    head = (
        "mode",
        "engines",
        "bound",
        "enter / leave",
        "p50 s",
        "p95 s",
        "p99 s",
        "degraded",
        "steps",
        "score",
        "utilisation",
        "breaks at requests/s",
        "cost an hour",
        "cost of 1,000",
        "method",
    )
    return [Heading(title), Table(head, tuple(rows)), Bullets(_remarks(plan, capacity_per_s))]


def _remarks(plan: Plain, capacity_per_s: float) -> tuple[str, ...]:
    found = []
    full = plan["modes"]["full"]["engines"]
    peak_per_s = plan["demand"]["rate_per_s"] * plan["demand"]["burst"]
    for name, one in plan["modes"].items():
        words = f"{TITLES[name].capitalize()}: what binds is {BROKEN[one['binding']]}"
        if one["fewer"] is not None:
            fewer = one["fewer"]
            words += (
                f"; with one engine fewer p95 would be {fewer['p95_s']:.3g} s"
                f" and the score {score(fewer)}"
            )
        elif name == "full" and (one["engines"] - 1) * capacity_per_s <= peak_per_s:
            words += "; with one engine fewer the line would grow without end"
        if not one["decided"]:
            words += "; the simulation is too short to tell on which side p95 or score lies"
        if name != "full":
            saved = full - one["engines"]
            words += f"; it saves {saved:,} of {full:,} engines"
        if one["figures"]["degraded_share"] > NEARLY_ALL:
            words += (
                "; nearly all are degraded, so at this rate it is a lower rung for all, and its"
                " worth over a fixed one lies in calmer hours"
            )
        if one["at_mean"] is not None:
            mean = one["at_mean"]
            words += (
                f"; at the mean rate p95 is {mean['p95_s']:.3f} s, the score {score(mean)} and"
                f" {mean['degraded_share']:.1%} are degraded"
            )
        found.append(words + ".")
    if plan.get("one_queue_engines") is not None:
        one_queue, whole = plan["one_queue_engines"], plan["modes"]["full"]["engines_in_all"]
        found.append(
            f"One queue before all engines would need {one_queue:,} at full service, the"
            f" {plan['shards']} shards {whole:,}: {whole / one_queue - 1:+.2%}."
        )
    return tuple(found)


def _assumptions(results: Plain) -> tuple[str, ...]:
    sources, overheads = results["sources"], results["overheads"]
    runs = results["replications"]
    shares = results["engine"]["places"]
    items = [
        "Arrivals are Poisson at a steady rate, and every request is a new prompt that accepts any"
        " rung of the ladder. Real streams vary by the hour: plan for the peak (`--burst`).",
        f"Costs are medians profiled without HTTP beside them, on {sources['costs_machine']};"
        f" engines are taken to be {sources['slower']:g} times as slow. A server whose other"
        " processes share the engines' cores is slower: give `--slower`.",
        "Outside the engines a request spends"
        f" {1000 * (overheads['network_s'] + overheads['grant_s'] + overheads['response_s']):.1f}"
        f" ms ({sources['overheads']}), whatever the load.",
        f"Thresholds are those of the configuration's hysteresis, with its hold, from a family in"
        f" proportion to all places ({shares} an engine); the line has no bound, so nobody is refused.",
        "The score is that of the rung delivered; what a re-planned picture keeps of the steps it"
        " had already run is not counted in its favour.",
        "`bound` is the fewest engines that could do the work in any arrangement, from the cost table"
        " and a linear programme over mixtures of rungs. Few engines are simulated step by step;"
        " many at full service are a birth-death chain of evenly filled engines; many with early"
        f" exit are simulated in small, {runs['small_engines']} engines at the same load an engine,"
        " which errs to more engines: the truth lies between the bound and the answer.",
        f"Simulated figures leave out the first {runs['warm_up']:.0%} of each run; a decision takes"
        f" {runs['fewest']} to {runs['most']} replications, a rate along a sweep 1 or 2. All settings"
        " see the same arrivals.",
    ]
    if "dispatcher" in results:
        dispatcher = results["dispatcher"]
        width, height = results["size"]
        items += [
            "Messages between processes are not part of the dispatcher's measured time; a gateway"
            f" is assumed to pass {dispatcher['per_gateway_s']:g} requests/s. Both are to be"
            " measured where it is deployed.",
            f"Bytes are at most those of raw {width}x{height} pixels in base64; a PNG is smaller.",
        ]
    if results["price_per_hour"] is None:
        items.append("No price is known; give `--price-per-hour` for cost.")
    return tuple(items)


def _thresholds(thresholds: Plain | None) -> str:
    if thresholds is None:
        return "none"
    return " / ".join(", ".join(f"{n}" for n in thresholds[name]) for name in ("enter", "leave"))


def _p95(one: Plain) -> str:
    p95_s, band = one["figures"]["p95_s"], one["p95_interval"]
    return f"{p95_s:.3f}" if band is None else f"{p95_s:.3f} ({band[0]:.3f} to {band[1]:.3f})"


def _cost(one: Plain) -> str:
    return "" if one["cost"] is None else f"{one['cost']['per_hour']:,.2f}"


def _thousand(one: Plain) -> str:
    return "" if one["cost"] is None else f"{one['cost']['per_1000_pictures']:,.3g}"


def _megabytes(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:,.3g}"
