"""What the race says of the issue's claim, schedule by schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.frontier.dominance import (
    RATIO_WANTED,
    AtQuality,
    AtShare,
    Outcome,
    at_quality,
    at_share,
)
from analysis.frontier.study import Race, Tallies
from analysis.solvers.clairvoyant import Trace
from policies import Ladder

SHARES = (0.1, 0.01, 0.001)
"""Shares of violations at which qualities are compared."""

GAP = 0.01
"""Levels of quality lie no further apart than this."""

Finding = Literal[
    "fewer violations",
    "higher quality",
    "no violations on either side",
    "no policy can",
    "behind",
]


CALM: Finding = "no violations on either side"


@dataclass(frozen=True)
class Level:
    """One quality at which the two sides meet, and what is found there.

    `gain` compares qualities at the baselines' violations, and `least` bounds the violations of
    every policy, where theirs at this quality are not beaten as wanted; None elsewhere.
    """

    name: str
    at: AtQuality
    gain: AtShare | None
    least: float | None
    finding: Finding


@dataclass(frozen=True)
class Comparison:
    """One schedule: outcomes of all runners by side, and what follows.

    `bests[i]` bounds the mean score of every policy at the i-th of the shares, None if every one
    must have more violations.
    """

    schedule: str
    title: str
    outcomes: Mapping[str, tuple[Outcome, ...]]
    levels: tuple[Level, ...]
    shares: tuple[AtShare, ...]
    bests: tuple[float | None, ...]

    def found(self, finding: Finding) -> tuple[Level, ...]:
        """The levels with this finding."""
        return tuple(level for level in self.levels if level.finding == finding)

    @property
    def holds(self) -> bool:
        """Whether ours dominate wherever a policy can."""
        return not self.found("behind")


def levels_of(ladder: Ladder) -> list[tuple[str, float]]:
    """Qualities to compare at, with names: the scores of the rungs between the best and the
    cheapest, and evenly between two that are more than GAP apart.

    The best rung's own score is left out: there every picture is a full run, only admission is left
    to choose, and that is Clockwork.
    """
    found: list[tuple[str, float]] = []
    scores = ladder.scores()
    for upper in range(1, ladder.last):
        found.append((str(ladder[upper]), scores[upper]))
        fall = scores[upper] - scores[upper + 1]
        parts = int(fall / GAP) + 1
        for part in range(1, parts):
            share = part / parts
            name = f"{1 - share:.0%} {ladder[upper]}, {share:.0%} {ladder[upper + 1]}"
            found.append((name, scores[upper] - share * fall))
    return found


def compare(race: Race, tallies: Tallies, schedule: int, trace: Trace) -> Comparison:
    """The comparison on one schedule, whose jobs are `trace`."""
    outcomes: dict[str, list[Outcome]] = {"ours": [], "baseline": [], "hybrid": []}
    for index, runner in enumerate(race.runners):
        outcome = Outcome.of(runner.name, tallies[index][schedule])
        outcomes[runner.contender.side].append(outcome)
    ours, theirs = outcomes["ours"], outcomes["baseline"]
    levels = tuple(
        _level(name, ours, theirs, quality, trace, race.seed)
        for name, quality in levels_of(race.ladder)
    )
    shares = tuple(at_share(ours, theirs, share, race.seed) for share in SHARES)
    bests = tuple(trace.best_score(share) for share in SHARES)
    one = race.schedules[schedule]
    sides = {side: tuple(found) for side, found in outcomes.items()}
    return Comparison(one.name, one.title, sides, levels, shares, bests)


def _level(
    name: str,
    ours: Sequence[Outcome],
    theirs: Sequence[Outcome],
    quality: float,
    trace: Trace,
    seed: int,
) -> Level:
    at = at_quality(ours, theirs, quality, seed)
    if at.theirs is None:
        raise ValueError(f"no baseline has a quality of {quality:.4f}; run one of full runs only")
    if at.ratio is not None and at.ratio <= RATIO_WANTED:
        return Level(name, at, None, None, "fewer violations")
    if at.theirs.share == 0 and at.ours is not None and at.ours.share == 0:
        return Level(name, at, None, None, CALM)
    gain = at_share(ours, theirs, at.theirs.share, seed)
    if gain.band is not None and gain.band.low > 0:
        return Level(name, at, gain, None, "higher quality")
    least = trace.least_violations(quality) or 0.0
    beyond = least > RATIO_WANTED * at.theirs.share
    return Level(name, at, gain, least, "no policy can" if beyond else "behind")


def verdict(comparison: Comparison) -> str:
    """One paragraph on a schedule, in the numbers' own words."""
    words = []
    fewer = comparison.found("fewer violations")
    if fewer:
        worst = max(fewer, key=lambda one: one.at.ratio or 0.0)
        words.append(
            f"at {len(fewer)} of {len(comparison.levels)} levels of quality ours have at most"
            f" {_times(worst.at)} of the best baseline's violations (the least so at {worst.name})"
        )
    higher = comparison.found("higher quality")
    if higher:
        words.append(f"at {names(higher)} not a third, but for as many violations a higher quality")
    calm = comparison.found(CALM)
    if calm:
        words.append(f"at {names(calm)} neither side has a violation")
    beyond = comparison.found("no policy can")
    if beyond:
        words.append(
            f"at {names(beyond)} no policy can have a third of them: even one that knew all arrivals"
            f" beforehand would lose {_spread([one.least for one in beyond])} of the jobs, where the"
            f" best baselines lose {_spread([_share(one.at.theirs) for one in beyond])} and ours"
            f" {_spread([_share(one.at.ours) for one in beyond])}"
        )
    words += [_behind(one) for one in comparison.found("behind")]
    word = "ours dominate" if comparison.holds else "ours do not dominate everywhere"
    return f"{word}: {'; '.join(words)}"


def names(levels: Sequence[Level]) -> str:
    """The levels by name, from the first to the last if they are several."""
    if len(levels) < 3:
        return " and ".join(level.name for level in levels)
    return f"{levels[0].name} to {levels[-1].name}"


def _share(side: object) -> float | None:
    return getattr(side, "share", None)


def _spread(shares: Sequence[float | None]) -> str:
    known = [share for share in shares if share is not None]
    if not known:
        return "none that we ran"
    low, high = min(known), max(known)
    return f"{100 * low:.1f} %" if low == high else f"{100 * low:.1f} to {100 * high:.1f} %"


def _times(at: AtQuality) -> str:
    if at.ratio is None or at.band is None:
        return "none"
    return f"{at.ratio:.2f} ({at.band.low:.2f} to {at.band.high:.2f})"


def _behind(level: Level) -> str:
    at = level.at
    theirs = "" if at.theirs is None else f"{at.theirs.name}: {100 * at.theirs.share:.2f} %; "
    if at.ours is None:
        what = f"no setting of ours has the quality of {level.name}"
    elif at.ratio is None:
        what = (
            f"at {level.name} ours lose {100 * at.ours.share:.2f} % of the jobs and a baseline none"
        )
    else:
        what = f"at {level.name} ours have {_times(at)} of the best baseline's violations"
    return f"{what} ({theirs}at least {100 * (level.least or 0.0):.2f} % for every policy)"
