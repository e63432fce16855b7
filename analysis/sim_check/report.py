"""The results of the check as a JSON file and as a Markdown page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.intervals import Band
from analysis.provenance import told
from analysis.sim_check.check import (
    DEGRADED_LIMIT,
    MEAN_LIMIT,
    OTHERS,
    OWN,
    OWN_PACE,
    P95_LIMIT,
    Check,
    Comparison,
)

JUDGED = (OTHERS, OWN, OWN_PACE)
"""What went into the replays that are held against the limits."""

BANDED = ("mean_s", "p95_s", "degraded_share")


def write(check: Check, made_by: Mapping[str, Any], out: Path) -> tuple[Path, Path]:
    """Write OUT.json and OUT.md; ValueError if they cannot be written."""
    data, page = out.with_name(f"{out.name}.json"), out.with_name(f"{out.name}.md")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        data.write_text(json.dumps(as_json(check, made_by), indent=1) + "\n", encoding="utf-8")
        page.write_text(as_page(check, made_by), encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{out} cannot be written ({error.strerror}); name another --out"
        ) from None
    return data, page


def as_json(check: Check, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page says, and more, as data."""
    return {
        "made_by": dict(made_by),
        "measured": dict(check.meta),
        "limits": {"mean": MEAN_LIMIT, "p95": P95_LIMIT, "degraded": DEGRADED_LIMIT},
        "within": {what: passed(check.loads, what) for what in judged(check.loads)},
        "announcement_s": check.idle_rung_s,
        "lags": {name: asdict(lags) for name, lags in check.lags.items()},
        "response_s": dict(check.response_s),
        "loads": [_plain(one) for one in check.loads],
        "runs": [_plain(one) for one in check.runs],
        "notes": list(check.notes),
    }


def judged(loads: Sequence[Comparison]) -> list[str]:
    """What is held against the limits; not every policy's replay can follow the engines' speed."""
    return [what for what in JUDGED if all(what in one.simulated for one in loads)]


def passed(loads: Sequence[Comparison], what: str) -> bool:
    """Whether every load is simulated within the limits with these inputs."""
    return all(one.simulated[what].deviation.within for one in loads)


def _plain(one: Comparison) -> dict[str, Any]:
    return {
        "name": one.name,
        "runs": list(one.runs),
        "measured": asdict(one.measured),
        "simulated": {
            what: {
                "figures": asdict(found.figures),
                "bands_95": {name: asdict(found.bands[name]) for name in BANDED},
                "deviation": asdict(found.deviation),
                "within": found.deviation.within,
                "by_chance": one.by_chance(what),
            }
            for what, found in one.simulated.items()
        },
    }


def summary(check: Check) -> list[str]:
    """A sentence for each way to replay that is judged."""
    sentences = []
    for what in judged(check.loads):
        fine = [one.name for one in check.loads if one.simulated[what].deviation.within]
        off = [one.name for one in check.loads if one.name not in fine]
        missed = f"; not {', '.join(off)}" if off else ""
        sentences.append(
            f"with {what}: {len(fine)} of {len(check.loads)} loads within"
            f" {MEAN_LIMIT:.0%} (mean), {P95_LIMIT:.0%} (p95) and"
            f" {100 * DEGRADED_LIMIT:.0f} points (degraded share){missed}"
        )
    return sentences


def as_page(check: Check, made_by: Mapping[str, Any]) -> str:
    """The page."""
    lines = ["# Simulated equals measured", "", *_how(check)]
    lines += ["", "## Verdict", ""]
    lines += [f"- {sentence[0].upper()}{sentence[1:]}." for sentence in summary(check)]
    lines += ["", *_figures(check.loads, "load (both rounds)")]
    lines += ["", "## Run by run", "", *_figures(check.runs, "run")]
    lines += ["", "## What each input changes", "", *_swaps(check.loads)]
    lines += ["", "## The time outside the engines", "", *_outside(check)]
    lines += ["", f"Computed by {told(dict(made_by))}"]
    if check.notes:
        lines += ["", "## Notes of the load generator", ""]
        lines += [f"- {note}" for note in check.notes]
    return "\n".join(lines) + "\n"


def _how(check: Check) -> list[str]:
    meta = check.meta
    return [
        f"Measured by {told(meta['made_by'])} The load average was"
        f" {meta['load_average_before']:g} before.",
        "",
        f"{meta['seconds']:g} s of Poisson arrivals a run, as shares of the full-step capacity of {meta['capacity_per_s']:.2f}"
        f" pictures a second; seeds {', '.join(str(seed) for seed in meta['seeds'].values())};"
        f" configuration `{meta['config']}`, and the same with a static controller.",
        "",
        "Every run's arrivals, as the server received them, are served again by the simulator with"
        " the configuration's own policy. What steps, newcomers and decodings cost is not profiled"
        " apart but counted by the engine while it serves (`/v1/costs`), so that the work of HTTP on"
        " the same cores is in it, and so is how often a prompt stood in the encoder's cache. The"
        " replay is given these costs, the way of a grant to the engine (from an arrival, and from"
        " the end that freed the place), and the way of a picture back to its client. They come"
        " from the *other* runs, which makes it a prediction but for the arrivals, or from the run"
        " itself, which leaves only the model to blame, and a machine that is not equally fast all"
        " the time; hence the third replay, in which all costs follow the engines' speed as it was"
        " from second to second. Costs are drawn with the mean and the spread"
        " that was counted; figures are means over replays, and ± is half of the range of 95 % of"
        " single replays: as much as one run differs from the next by chance. Where a figure is off by"
        " more than the limit but the measured one lies in that range, the last column says so.",
    ]


def _figures(rows: Sequence[Comparison], head: str) -> list[str]:
    lines = [
        f"| {head} | pictures | | mean s | p95 s | degraded | within |",
        "|---|---:|---|---:|---:|---:|---|",
    ]
    for one in rows:
        measured = one.measured
        lines.append(
            f"| {one.name} | {measured.n:.0f} | measured | {measured.mean_s:.3f} |"
            f" {measured.p95_s:.3f} | {measured.degraded_share:.1%} | |"
        )
        for what in judged([one]):
            lines.append(f"| | | {what} | {_cells(one, what)} |")
    return lines


def _cells(one: Comparison, what: str) -> str:
    found, measured = one.simulated[what], one.measured
    deviation, bands = found.deviation, found.bands
    word = "yes" if deviation.within else "by chance" if one.by_chance(what) else "no"
    mean = f"{deviation.mean:+.1%} ± {_half(bands['mean_s']) / measured.mean_s:.1%}"
    p95 = f"{deviation.p95:+.1%} ± {_half(bands['p95_s']) / measured.p95_s:.1%}"
    points = f"{100 * deviation.degraded:+.1f} ± {100 * _half(bands['degraded_share']):.1f} points"
    return f"{mean} | {p95} | {points} | {word}"


def _half(band: Band) -> float:
    return (band.high - band.low) / 2


def _swaps(loads: Sequence[Comparison]) -> list[str]:
    lines = [
        "Deviations of the simulation when one input of the other runs is changed for the run's own,"
        " then all, then also the engines' speed from second to second.",
        "",
        "| load | replayed with | mean | p95 | degraded, points |",
        "|---|---|---:|---:|---:|",
    ]
    for one in loads:
        for number, (what, found) in enumerate(one.simulated.items()):
            off = found.deviation
            lines.append(
                f"| {'' if number else one.name} | {what} | {off.mean:+.1%} | {off.p95:+.1%} |"
                f" {100 * off.degraded:+.1f} |"
            )
    return lines


def _outside(check: Check) -> list[str]:
    lines = [
        f"An announced rung takes {1000 * check.idle_rung_s:.1f} ms to the engine (an idle server's"
        " way from the receipt of a request to its start there).",
        "",
        "| run | from an arrival to the engine | from a free place to the next start | back to the"
        " client |",
        "|---|---:|---:|---:|",
    ]
    for name, lags in check.lags.items():
        lines.append(
            f"| {name} | {1000 * lags.arrival_s:.1f} ms | {1000 * lags.place_s:.1f} ms |"
            f" {1000 * check.response_s[name]:.1f} ms |"
        )
    return lines
