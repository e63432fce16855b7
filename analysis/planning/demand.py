"""What is asked of a plan, and the like engines that it is asked of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import optimize

from analysis.configured_server import configured_server
from analysis.planning.many_engines import saturated_rate_per_s
from analysis.server_config import UNBOUNDED, Pool, ServerSettings
from analysis.simulation_inputs import Overheads, Server
from policies.admission import Admission
from policies.controllers import Hysteresis, Static
from policies.costs import Costs, run_s
from policies.exits import ExitRules, guided_steps
from policies.nouns import ANY_QUALITY, QUALITY_ORDER, Ladder, Rung

Mode = Literal["full", "at_start", "in_flight"]
MODES: tuple[Mode, ...] = ("full", "at_start", "in_flight")
TOLD: Mapping[Mode, str] = {
    "full": "always full service",
    "at_start": "early exit, bound at the start",
    "in_flight": "early exit in flight",
}
FINISH_FROM = 0.8
"""Used by an exit that finishes at once, which no plan chooses."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests per second on average, the 95th percentile of the response, and the mean score.

    `burst` is the peak rate over the mean. Engines are planned for the peak as if it lasted.
    ValueError, one sentence, for what no server can be asked.
    """

    rate_per_s: float
    slo_p95_s: float
    min_score: float | None
    burst: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("--rate", self.rate_per_s), ("--slo-p95", self.slo_p95_s)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value:g} must be a number above 0")
        if not (math.isfinite(self.burst) and self.burst >= 1):
            raise ValueError(f"--burst {self.burst:g} is the peak over the mean rate: at least 1")
        if self.min_score is not None and not 0 <= self.min_score <= 1:
            raise ValueError(
                f"--min-quality {self.min_score:g}: a mean score lies between 0 and 1, and full"
                " service has the most there is; ask for no more than its score"
            )

    @property
    def peak_per_s(self) -> float:
        """The rate that is planned for."""
        return self.rate_per_s * self.burst


@dataclass(frozen=True)
class Setting:
    """A way to run so many engines; without thresholds every picture gets full service."""

    engines: int
    mode: Mode
    thresholds: Hysteresis | None = None


@dataclass(frozen=True)
class Fleet:
    """Like engines with their costs: a configuration, whose number of engines is left open.

    ValueError unless the configuration has one pool of engines that hosts the whole ladder.
    """

    settings: ServerSettings
    costs: Costs
    overheads: Overheads

    def __post_init__(self) -> None:
        if len(self.settings.pools) != 1:
            raise ValueError(
                f"a plan counts like engines, and the configuration has {len(self.settings.pools)}"
                " pools of them; name one with a single pool"
            )
        missing = set(self.ladder.variants) - set(self.pool.variants)
        if missing:
            raise ValueError(
                f"the engines do not host {', '.join(sorted(missing))} of the ladder; a plan needs"
                " like engines with all of it"
            )

    @property
    def pool(self) -> Pool:
        """The engines."""
        return self.settings.pools[0]

    @property
    def ladder(self) -> Ladder:
        """The rungs that may be delivered."""
        return self.settings.ladder

    @property
    def places(self) -> int:
        """Of one engine."""
        return self.pool.max_batch

    @property
    def has_scores(self) -> bool:
        """Whether every rung tells its measured quality."""
        return all(rung.score is not None for rung in self.ladder.rungs)

    @property
    def fixed_s(self) -> float:
        """What passes outside the engines in every response."""
        overheads = self.overheads
        return overheads.network_s + overheads.grant_s + overheads.response_s

    def unloaded_s(self, rung: Rung | None = None) -> float:
        """Response of a picture that is alone; at full service unless a rung is named."""
        return self.fixed_s + run_s(self.costs, rung or self.ladder.best)

    @property
    def full_capacity_per_s(self) -> float:
        """Of one engine at full service before which a line stands, grants under way included."""
        grant_s = self.overheads.grant_s
        return saturated_rate_per_s(self.costs, self.ladder.best, self.places, grant_s)

    def least_engine_s(self, rung: Rung) -> float:
        """No engine makes a picture of this rung in less of its time, whatever runs beside it."""
        variant, batches = rung.variant, range(1, self.places + 1)
        guided = guided_steps(rung.steps, rung.guidance_share)
        total_s = self.costs.encode_s(variant)
        total_s += guided * min(self.costs.step_s(variant, b) / b for b in batches)
        if guided < rung.steps:
            cut_s = min(self.costs.step_s(variant, b, 0) / b for b in batches)
            total_s += (rung.steps - guided) * cut_s
        return total_s + min(self.costs.decode_s(variant, b) / b for b in batches)

    @cached_property
    def _least_s(self) -> tuple[float, ...]:
        return tuple(self.least_engine_s(rung) for rung in self.ladder.rungs)

    def least_mean_engine_s(self, mode: Mode, min_score: float | None) -> float:
        """The least engine time a picture, over all mixtures of rungs with that mean score.

        A linear programme. ValueError if no mixture has it.
        """
        if mode == "full":
            return self._least_s[0]
        if min_score is None:
            return min(self._least_s)
        scores = np.array(self.ladder.scores())
        found = optimize.linprog(
            self._least_s,
            A_ub=[-scores],
            b_ub=[-min_score + 1e-12],
            A_eq=[np.ones(scores.size)],
            b_eq=[1.0],
        )
        if not found.success or found.fun is None:
            raise ValueError(
                f"no rung has a score of {min_score:g}; the best has {scores.max():g}, so ask for"
                " that or less"
            )
        return float(found.fun)

    def least_engines(self, rate_per_s: float, mode: Mode, min_score: float | None) -> int:
        """Fewer cannot do the work, however it is arranged."""
        work = rate_per_s * self.least_mean_engine_s(mode, min_score)
        return max(1, math.ceil(work - 1e-9))

    def cut_at(self, quality: str) -> Fleet:
        """The ladder without the rungs below this label. ValueError as `Ladder.floor_for`."""
        ladder = Ladder(self.ladder.rungs[: self.ladder.floor_for(quality) + 1])
        policy = replace(self.settings.policy, ladder=ladder, controller=Static())
        return replace(self, settings=replace(self.settings, policy=policy))

    def server(self, setting: Setting) -> Server:
        """For the simulator: the configuration's order and routing, and a line without bound."""
        ladder = self.ladder
        way = "at_start" if setting.mode == "full" else setting.mode
        policy = replace(
            self.settings.policy,
            controller=setting.thresholds or Static(),
            exits=ExitRules.applied(way, FINISH_FROM, ladder),
            admission=Admission(UNBOUNDED),
        )
        pools = (replace(self.pool, replicas=setting.engines),)
        settings = replace(
            self.settings,
            policy=policy,
            pools=pools,
            hold_s=setting.thresholds.min_hold_s if setting.thresholds else 0.0,
        )
        return configured_server(settings, {self.pool.name: self.costs}, self.overheads)

    def check(self, demand: Demand) -> None:
        """ValueError, one sentence that says what could be had instead, for the impossible."""
        if demand.min_score is not None and not self.has_scores:
            self.ladder.scores()  # says which rung has none
        if demand.min_score is not None and demand.min_score > max(self.ladder.scores()):
            raise ValueError(
                f"--min-quality {demand.min_score:g} is above the {max(self.ladder.scores()):g} of"
                f" full service ({self.ladder.best}); ask for that or less"
            )
        alone_s = self.unloaded_s()
        if demand.slo_p95_s > alone_s:
            return
        quicker = [r for r in self.ladder.rungs if self.unloaded_s(r) < demand.slo_p95_s]
        instead = "the engines themselves would have to be faster"
        if quicker:
            rung = quicker[0]
            score = "" if rung.score is None else f", score {rung.score:g}"
            instead = (
                f"a ladder that begins at {rung} ({self.unloaded_s(rung):.3g} s alone, quality"
                f" {rung.quality}{score}) could do it"
            )
        raise ValueError(
            f"--slo-p95 {demand.slo_p95_s:g} s cannot be held by any number of engines: a picture"
            f" alone takes {alone_s:.3g} s at full service ({self.ladder.best}); allow more than"
            f" that, or {instead}"
        )


def quality_asked(text: str) -> tuple[str | None, float | None]:
    """`--min-quality`: a label of the ladder, or a mean score. ValueError for anything else."""
    if text in QUALITY_ORDER or text == ANY_QUALITY:
        return text, None
    try:
        return None, float(text)
    except ValueError:
        labels = ", ".join((*QUALITY_ORDER, ANY_QUALITY))
        raise ValueError(
            f"--min-quality {text!r} is neither a mean score from 0 to 1 nor one of {labels}"
        ) from None
