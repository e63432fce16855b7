"""From the sections of a configuration to policies: the only place where they are built by name.

The server and the analysis read the same file, and what one runs the other predicts. Sections come
as plain mappings, as YAML has them; a key that is left out or None has its default, which stands at
the class that takes it. Nothing is read here: `read_text` brings the JSON that a solver wrote.
All functions raise ValueError with one sentence that says what to change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

from policies.admission import Admission
from policies.controllers import (
    BurstAhead,
    Controller,
    DeadlineAware,
    DecisionTable,
    Hysteresis,
    LoadProportional,
    QualityBudget,
    Static,
)
from policies.exits import APPLIED, ExitRules
from policies.nouns import Ladder, Rung
from policies.orders import EarliestDeadline, FairShare, Fifo, Order, ShortestWork, Tiers
from policies.policy import Policy
from policies.routing import (
    BestQuality,
    Cheapest,
    LeastCompletion,
    RoundRobin,
    Routing,
    ShortestQueue,
    TwoChoices,
    Uniform,
    WithinBudget,
)

Section = Mapping[str, Any]
ReadText = Callable[[str], str]
"""From the name of a file in a section to its content; OSError or ValueError if there is none."""

ControllerKind = Literal[
    "static",
    "threshold",
    "hysteresis",
    "load_proportional",
    "deadline_aware",
    "quality_budget",
    "cost_optimal",
    "burst_ahead",
]
OrderName = Literal["fifo", "deadline", "shortest", "tiers", "fair"]
RoutingName = Literal[
    "random",
    "round_robin",
    "shortest_queue",
    "two_choices",
    "least_completion",
    "cheapest",
    "best_quality",
    "within_budget",
]

TIERS: Mapping[str, float] = {"priority": 0.0, "default": 5.0, "flex": 30.0}
"""Handicaps in seconds of `order: tiers` that names none."""

DRAIN_SHARE = 0.5
"""The share of `target_s` in which deadline_aware has the line drain, if it is not told."""

_PLAIN_ROUTINGS: Mapping[str, Callable[[], Routing]] = {
    "random": Uniform,
    "round_robin": RoundRobin,
    "shortest_queue": ShortestQueue,
    "two_choices": TwoChoices,
    "least_completion": LeastCompletion,
    "cheapest": Cheapest,
    "best_quality": BestQuality,
}


class _Keys(NamedTuple):
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


_PRESSURE = _Keys(("enter", "leave"), ("min_hold_s",))
_OF_KIND: Mapping[str, _Keys] = {
    "static": _Keys((), ("rung",)),
    "threshold": _Keys(("enter",)),
    "hysteresis": _PRESSURE,
    "load_proportional": _Keys(("target_s",), ("hold_s", "deepest")),
    "deadline_aware": _Keys(("target_s",), ("margin_s", "share", "drain_s", "pace", "deepest")),
    "quality_budget": _Keys(("target_score", *_PRESSURE.needed), _PRESSURE.optional),
    "cost_optimal": _Keys(("table",)),
    "burst_ahead": _Keys(("horizon_s", *_PRESSURE.needed), _PRESSURE.optional),
}
_OF_ALL_KINDS = ("kind", "apply", "finish_from")


def policy_from(content: Section, read_text: ReadText) -> Policy:
    """The policy of a whole configuration: its keys `ladder`, `controller` and `dispatcher`.

    The sentence of a ValueError begins with the key that it is about.
    """
    dispatcher = content.get("dispatcher") or {}
    with _told_of("ladder"):
        ladder = ladder_from(content["ladder"])
    with _told_of("controller"):
        controller = controller_from(content["controller"], ladder, read_text)
        exits = exits_from(content["controller"], ladder)
    with _told_of("dispatcher"):
        order, routing = order_from(dispatcher), routing_from(dispatcher)
        admission = admission_from(dispatcher)
    with _told_of("controller"):  # the policy checks that it fits the ladder
        return Policy(ladder, controller, exits, order, routing, admission)


def ladder_from(sections: Sequence[Section]) -> Ladder:
    """The ladder of its rungs, best first."""
    return Ladder(tuple(Rung(**_given(section)) for section in sections))


def controller_from(section: Section, ladder: Ladder, read_text: ReadText) -> Controller:
    """The controller of its `kind`; keys that belong to other kinds are refused."""
    keys = _keys_of_kind(section)
    match section["kind"]:
        case "static":
            return Static(**keys)
        case "threshold":
            return Hysteresis.threshold(tuple(keys["enter"]))
        case "hysteresis":
            return _hysteresis(keys)
        case "load_proportional":
            return LoadProportional(**{"deepest": ladder.last, **keys})
        case "deadline_aware":
            drain_s = DRAIN_SHARE * keys["target_s"]
            return DeadlineAware(**{"deepest": ladder.last, "drain_s": drain_s, **keys})
        case "quality_budget":
            return QualityBudget(_hysteresis(keys), ladder.scores(), keys["target_score"])
        case "burst_ahead":
            return BurstAhead(_hysteresis(keys), keys["horizon_s"])
        case _:
            with _told_of(f"table {keys['table']}"):
                return DecisionTable.from_plain(_plain(keys["table"], read_text))


def exits_from(controller: Section, ladder: Ladder) -> ExitRules:
    """What a lower rung does to running jobs: the keys `apply` and `finish_from`."""
    way = _given(controller).get("apply", "in_flight")
    if way not in APPLIED:
        raise ValueError(f"apply must be one of {', '.join(APPLIED)}, not {way!r}")
    share = _given(controller).get("finish_from")
    if share is not None and way != "finish_now":
        raise ValueError("finish_from belongs to apply: finish_now; drop it or apply that")
    return ExitRules.applied(way, ExitRules().finish_from if share is None else share, ladder)


def order_from(dispatcher: Section) -> Order:
    """The order of the key `order`, with its `tiers`."""
    keys = _given(dispatcher)
    name, tiers = keys.get("order", "fifo"), keys.get("tiers")
    if tiers is not None and name != "tiers":
        raise ValueError("tiers belong to order: tiers; drop them or take that order")
    match name:
        case "fifo":
            return Fifo()
        case "deadline":
            return EarliestDeadline()
        case "shortest":
            return ShortestWork()
        case "tiers":
            return Tiers({**TIERS, **_given(tiers or {})})
        case "fair":
            return FairShare()
    raise ValueError(_unknown("order", name, get_args(OrderName)))


def routing_from(dispatcher: Section) -> Routing:
    """The routing of the key `routing`, with its `price_max`."""
    keys = _given(dispatcher)
    name, price_max = keys.get("routing", "shortest_queue"), keys.get("price_max")
    if name == "within_budget":
        if price_max is None:
            raise ValueError("routing within_budget needs price_max, the most a picture may cost")
        return WithinBudget(price_max)
    if name not in _PLAIN_ROUTINGS:
        raise ValueError(_unknown("routing", name, get_args(RoutingName)))
    if price_max is not None:
        raise ValueError("price_max belongs to routing: within_budget; drop it or take that")
    return _PLAIN_ROUTINGS[name]()


def weighs_prices(routing: Routing) -> bool:
    """Whether a routing must know what a second of an engine costs."""
    return isinstance(routing, Cheapest | WithinBudget)


def admission_from(dispatcher: Section) -> Admission:
    """The bounds on the line: `max_waiting`, `tenant_max`, `refuse_hopeless`."""
    names = ("max_waiting", "tenant_max", "refuse_hopeless")
    return Admission(**{name: dispatcher[name] for name in names if name in _given(dispatcher)})


def hold_s_of(controller: Section) -> float:
    """How long a controller's rung stands at least, in seconds: what its driver's tick goes by."""
    keys = _given(controller)
    return float(keys.get("min_hold_s", keys.get("hold_s", 0.0)))


def _plain(name: str, read_text: ReadText) -> object:
    try:
        return json.loads(read_text(name))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"it cannot be read ({reason}); name a file that a solver wrote") from None
    except ValueError:
        raise ValueError("it is not JSON; name a file that a solver wrote") from None


def _hysteresis(keys: Section) -> Hysteresis:
    optional = {name: keys[name] for name in _PRESSURE.optional if name in keys}
    return Hysteresis(tuple(keys["enter"]), tuple(keys["leave"]), **optional)


def _keys_of_kind(section: Section) -> dict[str, Any]:
    """The keys that the kind of a controller takes, without those of all kinds."""
    kind = section["kind"]
    if kind not in _OF_KIND:
        raise ValueError(_unknown("kind", kind, get_args(ControllerKind)))
    keys = {name: v for name, v in _given(section).items() if name not in _OF_ALL_KINDS}
    needed, optional = _OF_KIND[kind]
    foreign = [name for name in keys if name not in needed + optional]
    if foreign:
        raise ValueError(
            f"kind {kind} takes {', '.join(needed + optional)}; drop {', '.join(foreign)}"
        )
    missing = [name for name in needed if name not in keys]
    if missing:
        raise ValueError(f"kind {kind} needs {', '.join(missing)}; add what is missing")
    return keys


def _given(section: Section) -> dict[str, Any]:
    return {name: value for name, value in section.items() if value is not None}


def _unknown(key: str, value: object, known: Sequence[str]) -> str:
    return f"{key} {value!r} is unknown; use one of {', '.join(known)}"


@contextmanager
def _told_of(key: str) -> Iterator[None]:
    """Put the key that it is about before the sentence of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
