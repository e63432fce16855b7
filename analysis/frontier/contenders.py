"""Everybody in the race: each policy and each baseline, with a knob turned over its range.

A *contender* is one curve: settings of one policy along which it trades violations for quality.
Baselines are run as their papers have them, as far as one server allows (each controller's module
says what it takes over). `hybrid` marks a baseline given our order and admission: it is shown, so
that one sees which part does what, but it is no baseline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policies import (
    Admission,
    BurstAhead,
    Cascade,
    Controller,
    DeadlineAware,
    DecisionTable,
    EarliestDeadline,
    ExitRules,
    Fifo,
    Hysteresis,
    Ladder,
    LoadProportional,
    Policy,
    QualityBudget,
    Split,
    SplitBand,
    Static,
)

Side = Literal["ours", "baseline", "hybrid"]
PlainData = Mapping[str, Any]

MAX_WAITING = 1000
"""The line is bounded by deadlines in this study, so nobody is refused for its length."""

DEADLINE_WISH = 4.0
"""Jobs without a deadline should end within so many unloaded responses; here every job has one."""

SHARE = 0.4
"""The share of its slack that a job may spend while others wait, where that is not the knob."""

DRAIN = 3.0
"""The longest that the line may take to drain for deadline-aware policies, where that is not the
knob: somewhat less than the shorter deadline, since a job must also run."""

PACE = 0.85
"""The rate that the best rung must carry, over the observed rate, where the lowest rung is the knob."""

FINISH_FROM = 0.8
"""From this share of its steps on a run may be finished at once (the ladder tool's advice)."""

KEEP, REPLAN = ExitRules("keep"), ExitRules("replan")
FINISH = ExitRules("finish", finish_from=FINISH_FROM)

OPEN = Admission(MAX_WAITING)
STRICT = Admission(MAX_WAITING, refuse_hopeless=True)


@dataclass(frozen=True, slots=True)
class Setting:
    """One policy, and the value of its contender's knob as a reader would say it."""

    label: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class Contender:
    """One curve. `key` is for files, `title` for readers, `knob` says what the settings turn.

    `judged` marks a cascade, whose cheap pictures are scored one by one.
    """

    key: str
    title: str
    side: Side
    knob: str
    settings: tuple[Setting, ...]
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Solved:
    """What the solvers hand over, by the value of the knob; an empty mapping leaves a curve out."""

    proteus_own: Mapping[str, PlainData]
    proteus: Mapping[str, PlainData]
    cascade: Mapping[str, PlainData]
    optimal: Mapping[str, PlainData]


def baselines(ladder: Ladder, own: Ladder, solved: Solved) -> list[Contender]:
    """The issue's baselines. `own` is the ladder of models that the papers' systems have."""
    deepest = ladder.last
    plain = [
        _baseline("always-full", "always full", "", [_plain("", ladder, Static(0))]),
        _baseline("always-cheapest", "always cheapest", "", [_plain("", ladder, Static(deepest))]),
        _baseline(
            "static",
            "static rung",
            "rung",
            [_plain(str(ladder[rung]), ladder, Static(rung)) for rung in range(1, deepest)],
        ),
        _baseline(
            "random-split",
            "random split",
            "share at full steps, the rest at the cheapest rung",
            [_plain(f"{share:g}", ladder, _two_way(share, deepest)) for share in (0.9, 0.5, 0.1)],
        ),
        _baseline(
            "clockwork",
            "Clockwork",
            "rung",
            [
                Setting(str(ladder[rung]), _ours(ladder, Static(rung), KEEP, STRICT))
                for rung in range(deepest)
            ],
        ),
    ]
    found = [*plain, *_from_papers(ladder, own, solved)]
    return [contender for contender in found if contender.settings]


def _from_papers(ladder: Ladder, own: Ladder, solved: Solved) -> list[Contender]:
    """Those that need a solver."""
    splits = {label: Split.from_plain(data) for label, data in solved.proteus.items()}
    return [
        _baseline(
            "proteus-own",
            "Proteus, models only",
            "headroom",
            [
                _plain(label, own, Split.from_plain(data))
                for label, data in solved.proteus_own.items()
            ],
        ),
        _baseline(
            "proteus",
            "Proteus, our ladder",
            "headroom",
            [_plain(label, ladder, split) for label, split in splits.items()],
        ),
        Contender(
            "diffserve",
            "DiffServe cascade",
            "baseline",
            "headroom",
            tuple(
                _plain(label, ladder, Cascade.from_plain(data, ladder.last, 0))
                for label, data in solved.cascade.items()
            ),
            judged=True,
        ),
        Contender(
            "proteus-strict",
            "Proteus, our ladder, order and admission",
            "hybrid",
            "headroom",
            tuple(
                Setting(label, _ours(ladder, split, KEEP, STRICT))
                for label, split in splits.items()
            ),
        ),
    ]


def _baseline(key: str, title: str, knob: str, settings: Sequence[Setting]) -> Contender:
    return Contender(key, title, "baseline", knob, tuple(settings))


def ours(ladder: Ladder, solved: Solved, unloaded_s: float) -> list[Contender]:
    """Our controllers, alone and together with exits, orders and admissions.

    Times of knobs are multiples of unloaded_s, the response of a full run alone.
    """
    found = [
        *_by_line(ladder, unloaded_s),
        *_by_deadline(ladder, unloaded_s),
        *_by_more(ladder, solved, unloaded_s),
    ]
    return [contender for contender in found if contender.settings]


def _by_line(ladder: Ladder, unloaded_s: float) -> list[Contender]:
    """Controllers that go by the line alone."""
    deepest = ladder.last

    def proportional(target: float) -> LoadProportional:
        return LoadProportional(target * unloaded_s, deepest)

    return [
        _swept(
            "threshold",
            "multi-level thresholds, re-plan, EDF",
            "jobs waiting a rung",
            (1, 2, 4, 8),
            lambda step: _ours(ladder, _threshold(int(step), deepest), REPLAN, OPEN),
        ),
        _swept(
            "hysteresis",
            "hysteresis, re-plan, EDF",
            "jobs waiting a rung",
            (2, 4, 8),
            lambda step: _ours(ladder, _hysteresis(int(step), deepest), REPLAN, OPEN),
        ),
        _swept(
            "proportional-start",
            "load-proportional at start, EDF, refusing",
            "drain time, unloaded responses",
            (0.3, 1.0),
            lambda target: _ours(ladder, proportional(target), KEEP, STRICT),
        ),
        _swept(
            "proportional-replan",
            "load-proportional, re-plan, EDF, refusing",
            "drain time, unloaded responses",
            (0.1, 0.3, 1.0, 2.0),
            lambda target: _ours(ladder, proportional(target), REPLAN, STRICT),
        ),
        _swept(
            "proportional-finish",
            "load-proportional, finish now, EDF, refusing",
            "drain time, unloaded responses",
            (0.3, 1.0),
            lambda target: _ours(ladder, proportional(target), FINISH, STRICT),
        ),
    ]


def _by_deadline(ladder: Ladder, unloaded_s: float) -> list[Contender]:
    """Each job as good as its deadline allows."""

    def deadline_aware(
        share: float = SHARE,
        drain: float = DRAIN,
        lowest: int = ladder.last,
        pace: float = 0.0,
    ) -> DeadlineAware:
        wish_s, drain_s = DEADLINE_WISH * unloaded_s, drain * unloaded_s
        return DeadlineAware(lowest, wish_s, share=share, drain_s=drain_s, pace=pace)

    return [
        _swept(
            "deadline-start",
            "deadline-aware at start, EDF, refusing",
            "share of the slack spent while others wait",
            (0.3, 0.5),
            lambda share: _ours(ladder, deadline_aware(share), KEEP, STRICT),
        ),
        _swept(
            "deadline-replan",
            "deadline-aware, re-plan, EDF, refusing",
            "share of the slack spent while others wait",
            (0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
            lambda share: _ours(ladder, deadline_aware(share), REPLAN, STRICT),
        ),
        _swept(
            "deadline-drain",
            "deadline-aware by its line, re-plan, EDF, refusing",
            "drain time, unloaded responses",
            (1.0, 2.0, 4.0, 5.0),
            lambda drain: _ours(ladder, deadline_aware(drain=drain), REPLAN, STRICT),
        ),
        _swept(
            "deadline-pace",
            "deadline-aware, paced by the rate, re-plan, EDF, refusing",
            "pace",
            (0.7, 0.8, 0.9, 1.0),
            lambda pace: _ours(ladder, deadline_aware(drain=4.0, pace=pace), REPLAN, STRICT),
        ),
        Contender(
            "deadline-depth",
            "deadline-aware, paced, down to a rung, re-plan, EDF, refusing",
            "ours",
            "the lowest rung",
            tuple(
                Setting(
                    str(ladder[rung]),
                    _ours(ladder, deadline_aware(lowest=rung, pace=PACE), REPLAN, STRICT),
                )
                for rung in range(ladder.last)
            ),
        ),
        _swept(
            "deadline-finish",
            "deadline-aware, finish now, EDF, refusing",
            "share of the slack spent while others wait",
            (0.3, 0.5),
            lambda share: _ours(ladder, deadline_aware(share), FINISH, STRICT),
        ),
    ]


def _by_more(ladder: Ladder, solved: Solved, unloaded_s: float) -> list[Contender]:
    """Controllers that go by quality earned, by the trend, and by a solved table."""
    scores = ladder.scores()

    def proportional(target: float) -> LoadProportional:
        return LoadProportional(target * unloaded_s, ladder.last)

    return [
        _swept(
            "budget",
            "quality budget over load-proportional, re-plan, EDF, refusing",
            "mean score to keep",
            tuple(_between(scores, part) for part in (0.3, 0.6, 0.8, 0.9)),
            lambda score: _ours(
                ladder, QualityBudget(proportional(0.1), scores, score), REPLAN, STRICT
            ),
        ),
        _swept(
            "burst-ahead",
            "burst-ahead over load-proportional, re-plan, EDF, refusing",
            "horizon, unloaded responses",
            (0.5, 1.0, 2.0),
            lambda horizon: _ours(
                ladder, BurstAhead(proportional(0.3), horizon * unloaded_s), REPLAN, STRICT
            ),
        ),
        Contender(
            "optimal",
            "cost-optimal table, re-plan, EDF, refusing",
            "ours",
            "price of quality",
            tuple(
                Setting(label, _ours(ladder, DecisionTable.from_plain(data), REPLAN, STRICT))
                for label, data in solved.optimal.items()
            ),
        ),
    ]


def _swept(
    key: str,
    title: str,
    knob: str,
    values: Sequence[float],
    make: Callable[[float], Policy],
) -> Contender:
    settings = tuple(Setting(f"{value:g}", make(value)) for value in values)
    return Contender(key, title, "ours", knob, settings)


def _plain(label: str, ladder: Ladder, controller: Controller) -> Setting:
    """A baseline as it is published: first come, first served, and what has begun is finished."""
    return Setting(label, Policy(ladder, controller, KEEP, Fifo(), admission=OPEN))


def _ours(ladder: Ladder, controller: Controller, exits: ExitRules, admission: Admission) -> Policy:
    return Policy(ladder, controller, exits, EarliestDeadline(), admission=admission)


def _two_way(share: float, deepest: int) -> Split:
    shares = (share, *(0.0,) * (deepest - 1), 1.0 - share)
    return Split((SplitBand(math.inf, shares),))


def _threshold(step: int, deepest: int) -> Hysteresis:
    return Hysteresis.threshold(tuple(step * rung for rung in range(1, deepest + 1)))


def _hysteresis(step: int, deepest: int) -> Hysteresis:
    """Rung r is entered at r * step jobs waiting and left at half of that."""
    enter = tuple(step * rung for rung in range(1, deepest + 1))
    return Hysteresis(enter, tuple(depth // 2 for depth in enter))


def _between(scores: Sequence[float], part: float) -> float:
    """The score that lies this part of the way from the worst to the best."""
    return min(scores) + part * (max(scores) - min(scores))
