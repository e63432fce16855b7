"""What the race gives: the page (markdown) and the record (JSON) with everything."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis.frontier.dominance import AtShare, Mixture, Outcome
from analysis.frontier.schedules import BURST, DAY, DEADLINES, WARM_UP_S
from analysis.frontier.study import Race, Tallies
from analysis.frontier.verdicts import CALM, SHARES, Comparison, Level, names, verdict
from analysis.intervals import Band, wilson
from analysis.provenance import told
from analysis.records import Interval

SIDES = {
    "ours": "Ours",
    "baseline": "Baselines",
    "hybrid": "Baselines with our order and admission",
}


def page(
    race: Race, comparisons: Sequence[Comparison], made_by: Mapping[str, Any], figure: str
) -> str:
    """The page as markdown; `figure` is the name of the picture beside it."""
    return "\n".join(
        [
            "# Deadline violations against quality",
            "",
            *_head(race, made_by),
            f"![violations against mean score]({figure})",
            "",
            "## What it shows",
            "",
            *[f"- **{one.title}**: {verdict(one)}." for one in comparisons],
            "",
            "## At equal quality",
            "",
            *_levels(comparisons),
            "",
            "## At equal violations",
            "",
            *_gains(comparisons),
            "",
            "## All settings",
            "",
            "Violations in per cent with their 95 % interval over the replications, the mean score of"
            " what was delivered in time, and the mean score of all jobs with violations counting 0."
            " Without a single violation: below the upper end of Wilson's interval.",
            "",
            *_all(race, comparisons),
            "",
        ]
    )


def _head(race: Race, made_by: Mapping[str, Any]) -> Iterator[str]:
    rungs = ", ".join(
        f"{rung} ({score:.4f})"
        for rung, score in zip(race.ladder.rungs, race.ladder.scores(), strict=True)
    )
    classes = " or ".join(f"{factor * race.unloaded_s:.2f} s" for factor in DEADLINES)
    factors = " and ".join(f"{factor:g}" for factor in DEADLINES)
    yield (
        f"{told(dict(made_by))} {race.replications} replications, {made_by['jobs']:,} jobs counted."
        f" Simulated with the measured costs of {made_by['costs']}:"
        f" one engine, batches of up to {race.max_batch}, no time outside it. A full run alone takes"
        f" {race.unloaded_s:.3f} s; capacity is {race.capacity_per_s:.2f} full pictures a second."
    )
    yield ""
    yield (
        f"The ladder with its scores (SSIM to the full picture, as measured by the quality study):"
        f" {rungs}. Every job accepts every rung and has a deadline of {classes} ({factors} times the"
        " unloaded response), half of the jobs each. Late, expired, dropped and refused jobs all"
        " count as violations. The mean score is of what was delivered in time. Jobs of the first"
        f" {WARM_UP_S:g} s of a run are served and not counted."
    )
    yield ""
    yield (
        f"Bursts come at {BURST.factor:g} times the mean rate in {100 * BURST.share:g} % of the time,"
        f" {BURST.mean_s:g} s long in the mean; a day is the whole run, from a trough of"
        f" {DAY.trough_factor:g} to peaks of {DAY.peak_factor:g} times the mean rate."
        " All policies get the same jobs. Baselines run as their papers have them, as far as one"
        " engine allows (the controllers' documentation says what that leaves out); beyond that they are"
        " given the measured ladder, Clockwork any of its rungs, and the cascade a perfect"
        " discriminator. On either side a mixture of two settings counts as well: a fleet in which a"
        " share of the engines runs one and the rest the other."
    )
    yield ""


def _levels(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield (
        "Fewest violations with at least the score of a rung, in per cent. Ratio: ours over the best"
        " baseline's, with the paired bootstrap's 95 % interval. Bound: no policy has fewer, not even one"
        " that knows all arrivals (`analysis/solvers/clairvoyant.py`); told where ours do not have a"
        " third."
    )
    yield ""
    yield _row(
        "schedule",
        "quality of",
        "best baseline",
        "violations",
        "ours",
        "violations",
        "ratio",
        "bound",
        "finding",
    )
    yield _row(*("---" for _ in range(9)))
    for comparison in comparisons:
        calm = comparison.found(CALM)
        for level in comparison.levels:
            if level.finding != CALM:
                name = f"{level.name} ({level.at.quality:.4f})"
                yield _row(comparison.title, name, *_level(level))
        if calm:
            yield _row(comparison.title, names(calm), *[""] * 6, "neither side has a violation")


def _level(level: Level) -> Iterator[str]:
    for side in (level.at.theirs, level.at.ours):
        yield "none reaches it" if side is None else side.name
        yield "" if side is None else _per_cent(side.share)
    at = level.at
    yield (
        ""
        if at.ratio is None or at.band is None
        else f"{at.ratio:.3f} ({at.band.low:.3f} to {at.band.high:.3f})"
    )
    yield "" if level.least is None else _per_cent(level.least)
    yield level.finding


def _gains(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield (
        "Best mean score with at most a share of violations, and by how much ours is higher. Bound: no"
        " policy has a better one."
    )
    yield ""
    yield "| schedule | bound | violations at most | best baseline | score | ours | score | gain |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for comparison in comparisons:
        for share, one, most in zip(SHARES, comparison.shares, comparison.bests, strict=True):
            best = "all have more" if most is None else f"{most:.4f}"
            cells = (best, f"{100 * share:g} %", *_gain(one))
            yield _row(comparison.title, *cells)


def _gain(one: AtShare) -> Iterator[str]:
    for side in (one.theirs, one.ours):
        yield "none" if side is None else side.name
        yield "" if side is None else f"{side.quality:.4f}"
    yield (
        ""
        if one.gain is None or one.band is None
        else f"{one.gain:+.4f} ({one.band.low:+.4f} to {one.band.high:+.4f})"
    )


def _all(race: Race, comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield _row("policy", *(one.title for one in comparisons))
    yield _row(*("---" for _ in range(len(comparisons) + 1)))
    for side, heading in SIDES.items():
        names = [outcome.name for outcome in comparisons[0].outcomes[side]]
        if names:
            yield _row(f"**{heading}**", *("" for _ in comparisons))
        for index, name in enumerate(names):
            yield _row(name, *(_cell(one.outcomes[side][index]) for one in comparisons))


def _cell(outcome: Outcome) -> str:
    share = outcome.share_interval()
    if not outcome.violations.sum():
        said = f"< {100 * wilson(0, int(outcome.jobs.sum())).high:.2f}"
    else:
        said = f"{100 * share.mean:.2f} ± {100 * share.half_width:.2f}"
    quality = "" if math.isnan(outcome.quality) else f"{outcome.quality:.4f}"
    return f"{said}; {quality}; {outcome.worth:.3f}"


def _per_cent(share: float) -> str:
    return f"{100 * share:.2f}"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def record(
    race: Race, tallies: Tallies, comparisons: Sequence[Comparison], made_by: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything as JSON values; counts by replication, so that other questions can be asked."""
    return {
        "version": 1,
        "made_by": dict(made_by),
        "seed": race.seed,
        "replications": race.replications,
        "server": {
            "engines": 1,
            "max_batch": race.max_batch,
            "unloaded_s": race.unloaded_s,
            "capacity_per_s": race.capacity_per_s,
            "ladder": [
                {"rung": str(rung), "score": rung.score, "replannable": rung.replannable}
                for rung in race.ladder.rungs
            ],
        },
        "deadlines_s": [factor * race.unloaded_s for factor in DEADLINES],
        "schedules": [_schedule(one) for one in comparisons],
        "runners": [
            {
                "contender": runner.contender.key,
                "title": runner.contender.title,
                "side": runner.contender.side,
                "knob": runner.contender.knob,
                "setting": runner.setting.label,
                "results": {
                    one.name: _result(runner.name, tallies[index][number])
                    for number, one in enumerate(race.schedules)
                },
            }
            for index, runner in enumerate(race.runners)
        ],
    }


def _schedule(one: Comparison) -> dict[str, Any]:
    return {
        "name": one.schedule,
        "title": one.title,
        "quality_bounds": list(one.bests),
        "holds": one.holds,
        "verdict": verdict(one),
        "at_quality": [
            {
                "level": level.name,
                "quality": level.at.quality,
                "theirs": _mixture(level.at.theirs),
                "ours": _mixture(level.at.ours),
                "ratio": level.at.ratio,
                "band": _ends(level.at.band),
                "violations_bound": level.least,
                "finding": level.finding,
            }
            for level in one.levels
        ],
        "at_share": [
            {
                "share": at.share,
                "theirs": _mixture(at.theirs),
                "ours": _mixture(at.ours),
                "gain": at.gain,
                "band": _ends(at.band),
            }
            for at in one.shares
        ],
    }


def _ends(band: Band | None) -> list[float | None] | None:
    """Both ends; None for an end at infinity, where a draw left the baselines no violation."""
    if band is None:
        return None
    return [end if math.isfinite(end) else None for end in (band.low, band.high)]


def _mixture(mixture: Mixture | None) -> dict[str, Any] | None:
    if mixture is None:
        return None
    return {"name": mixture.name, "violations": mixture.share, "quality": mixture.quality}


def _result(name: str, tallies: Sequence[Any]) -> dict[str, Any]:
    outcome = Outcome.of(name, tallies)
    causes = sorted({cause for tally in tallies for cause in tally.lost})
    return {
        "violations": _interval(outcome.share_interval()),
        "quality": _interval(outcome.quality_interval()),
        "quality_violations_0": _interval(outcome.worth_interval()),
        "jobs": [tally.jobs for tally in tallies],
        "lost": {cause: [tally.lost.get(cause, 0) for tally in tallies] for cause in causes},
        "score_sum": [round(tally.score_sum, 6) for tally in tallies],
    }


def _interval(interval: Interval) -> list[float] | None:
    """[mean, half-width of the 95 % interval]; None where nothing was delivered."""
    if math.isnan(interval.mean):
        return None
    return [interval.mean, interval.half_width]


def as_text(content: Mapping[str, Any]) -> str:
    """The record as JSON with one line a result, so that changes can be read."""
    parts = []
    for key, value in content.items():
        if key == "runners":
            lines = ",\n".join(f"  {json.dumps(one, allow_nan=False)}" for one in value)
            parts.append(f' "runners": [\n{lines}\n ]')
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
