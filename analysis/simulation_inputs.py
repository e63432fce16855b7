"""What a simulation is given: requests, engines, the time outside them, failures, the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from policies.costs import Costs
from policies.nouns import Ladder
from policies.policy import Policy

POOL = "main"
"""The pool of engines that name none."""


@dataclass(frozen=True, slots=True)
class Template:
    """What the jobs of a load have in common. See `policies.Job` for the fields it shares with it.

    deadline_after_s counts from the arrival at the dispatcher, hang_up_after_s from the scheduled
    time. `encodes` False: the text stands in the engine's cache and costs nothing.
    """

    floor: int
    variant: str | None = None
    steps: int | None = None
    fixed: bool = False
    deadline_after_s: float | None = None
    hang_up_after_s: float | None = None
    encodes: bool = True
    tenant: str = ""
    tier: str = "default"
    objective: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request for one picture, sent at scheduled_s.

    `confidence` (0 to 1) is what a cascade's discriminator would say of its first picture.
    """

    scheduled_s: float
    template: Template
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine; `variants` None means all of the ladder, `pool` names its cost table.

    price_per_s is what a second of it costs, in any one currency.
    """

    engine_id: str
    max_batch: int
    variants: frozenset[str] | None = None
    pool: str = POOL
    price_per_s: float = 0.0

    def hosted(self, ladder: Ladder) -> frozenset[str]:
        """The variants that it runs."""
        return self.variants or frozenset(ladder.variants)


@dataclass(frozen=True, slots=True)
class Overheads:
    """Time that passes outside the engines.

    network_s: from the client to the dispatcher. grant_s: from a decision of the dispatcher to the
    engine, which is also the gap between a finish and the next start there. response_s: from the
    end of decoding (or a refusal) to the client. rung_s: from the decision for a rung until the
    engines know it, None if that is as fast as a grant.
    """

    network_s: float = 0.0
    grant_s: float = 0.0
    response_s: float = 0.0
    rung_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.network_s, self.grant_s, self.response_s, self.rung_s or 0.0) < 0:
            raise ValueError(f"overheads must not be negative, got {self}")

    @property
    def announce_s(self) -> float:
        """What an announced rung takes to reach an engine."""
        return self.grant_s if self.rung_s is None else self.rung_s


@dataclass(frozen=True, slots=True)
class Failure:
    """An engine is gone at at_s with what runs in it, and back at back_s (infinite: never).

    ValueError unless 0 <= at_s < back_s.
    """

    engine_id: str
    at_s: float
    back_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.at_s < self.back_s:
            raise ValueError(
                f"engine {self.engine_id} fails at {self.at_s} s and is back at {self.back_s} s;"
                " give it a time from 0 on, and a later one to come back"
            )


@dataclass(frozen=True, slots=True)
class Server:
    """Everything about the server that the simulation needs.

    `costs` are by pool of engines. An engine hands over to its own variants. hold_s is the
    controller's min_hold_s: while quality is lowered and nothing happens for that long, the
    dispatcher is ticked, as the live driver does. `seed` is of what the policy draws, rate_window_s
    of its rates. `costs_vary` says that the tables draw each cost anew, so that no two boundaries
    can be taken for the same. ValueError for no engines, twins, a pool without costs, or a failure
    of an engine that is not there or has failed already.
    """

    policy: Policy
    costs: Mapping[str, Costs]
    engines: tuple[EngineSpec, ...]
    overheads: Overheads = Overheads()
    hold_s: float = 0.0
    seed: int = 0
    rate_window_s: float = 10.0
    failures: tuple[Failure, ...] = ()
    costs_vary: bool = False

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("a server needs at least one engine")
        names = [engine.engine_id for engine in self.engines]
        if len(set(names)) < len(names):
            raise ValueError("two engines have the same engine_id; give each its own")
        for engine in self.engines:
            if engine.pool not in self.costs:
                raise ValueError(
                    f"engine {engine.engine_id} is of pool {engine.pool!r}, which has no cost table"
                )
        back_s = dict.fromkeys(names, -math.inf)
        for failure in sorted(self.failures, key=lambda one: one.at_s):
            if failure.engine_id not in back_s:
                raise ValueError(f"there is no engine {failure.engine_id!r} that could fail")
            if failure.at_s <= back_s[failure.engine_id]:
                raise ValueError(
                    f"engine {failure.engine_id} fails at {failure.at_s} s while it is down already"
                )
            back_s[failure.engine_id] = failure.back_s
