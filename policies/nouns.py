"""The words of the policies: rung, ladder, job, service.

Everything here is an immutable value. Times are seconds on whatever clock the driver uses (wall
clock live, virtual time in the simulator); nothing in this package reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

QUALITY_ORDER: tuple[str, ...] = ("low", "medium", "high", "xhigh", "max")
"""Quality labels in ascending order, as the OpenAI Images API names them."""

ANY_QUALITY = "auto"
"""The quality wish of a client that accepts every rung."""


def quality_index(quality: str) -> int:
    """Position of a label in `QUALITY_ORDER`; ValueError names the labels there are."""
    try:
        return QUALITY_ORDER.index(quality)
    except ValueError:
        raise ValueError(
            f"quality {quality!r} is unknown; use one of {', '.join(QUALITY_ORDER)} or auto"
        ) from None


@dataclass(frozen=True, slots=True)
class Rung:
    """One level of service: a variant run for `steps` denoising steps, sold as `quality`.

    `replannable` is False for few-step distilled variants: their schedule is fixed, so a running
    job is neither re-planned into such a rung nor out of it. `guidance_share` is the share of the
    steps, from the first on, that run with guidance; the rest skip the unconditional half. `score`
    is the measured quality of its pictures from 0 to 1, for policies that weigh quality by numbers.
    """

    variant: str
    steps: int
    quality: str
    replannable: bool = True
    guidance_share: float = 1.0
    score: float | None = None

    def __post_init__(self) -> None:
        if not self.variant:
            raise ValueError("a rung needs the name of its variant")
        if self.steps < 1:
            raise ValueError(f"rung {self.variant}@{self.steps}: steps must be at least 1")
        if not 0.0 <= self.guidance_share <= 1.0:
            raise ValueError(
                f"rung {self.variant}@{self.steps}: guidance_share {self.guidance_share} must lie"
                " between 0 and 1"
            )
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(
                f"rung {self.variant}@{self.steps}: score {self.score} must lie between 0 and 1"
            )
        quality_index(self.quality)

    def __str__(self) -> str:
        guided = f"/guided {100 * self.guidance_share:g} %" if self.guidance_share < 1 else ""
        return f"{self.variant}@{self.steps}{guided}"


@dataclass(frozen=True, slots=True)
class Service:
    """What one job gets: a variant, a pace in steps, and the ladder index that it counts as.

    `steps` is the pace of a whole run. After a re-plan it is the pace of the new rung; the number
    of steps actually visited is kept by the engine. `guidance_share` is as in `Rung`.
    """

    variant: str
    steps: int
    rung: int
    guidance_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs from best quality to cheapest. Index 0 is full service.

    ValueError if it is empty, if a quality label rises further down, or if a rung is not cheaper
    than the one of its variant above it (fewer steps, or as many with a smaller guidance share):
    then "cheaper" and "worse" would not be the same direction.
    """

    rungs: tuple[Rung, ...]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("the ladder is empty; give it at least one rung")
        for upper, lower in pairwise(self.rungs):
            if quality_index(lower.quality) > quality_index(upper.quality):
                raise ValueError(
                    f"rung {lower} is labelled {lower.quality} below {upper} labelled"
                    f" {upper.quality}; order the ladder from best to cheapest"
                )
        last_of: dict[str, Rung] = {}
        for rung in self.rungs:
            above = last_of.get(rung.variant)
            if above is not None and (rung.steps, rung.guidance_share) >= (
                above.steps,
                above.guidance_share,
            ):
                raise ValueError(
                    f"rung {rung} stands below {above}; the steps of one variant, or for as many"
                    " steps its guidance_share, must fall down the ladder"
                )
            last_of[rung.variant] = rung

    def __len__(self) -> int:
        return len(self.rungs)

    def __getitem__(self, index: int) -> Rung:
        return self.rungs[index]

    @property
    def best(self) -> Rung:
        """The rung of full service."""
        return self.rungs[0]

    @property
    def last(self) -> int:
        """Index of the cheapest rung."""
        return len(self.rungs) - 1

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants on the ladder, best first, each once."""
        return tuple(dict.fromkeys(rung.variant for rung in self.rungs))

    def scores(self) -> tuple[float, ...]:
        """The score of every rung; ValueError names the first that has none."""
        found = []
        for rung in self.rungs:
            if rung.score is None:
                raise ValueError(
                    f"rung {rung} has no score; give each rung of the ladder the quality that was"
                    " measured for it, from 0 to 1"
                )
            found.append(rung.score)
        return tuple(found)

    def floor_for(self, quality: str) -> int:
        """Index of the lowest rung whose label is at least `quality` ("auto": the last rung).

        ValueError if the label is unknown or no rung reaches it.
        """
        if quality == ANY_QUALITY:
            return self.last
        wanted = quality_index(quality)
        reaching = [i for i, r in enumerate(self.rungs) if quality_index(r.quality) >= wanted]
        if not reaching:
            raise ValueError(
                f"no rung offers quality {quality!r}; the best offered is {self.best.quality!r}"
            )
        return reaching[-1]

    def rung_for(
        self,
        current: int,
        floor: int,
        variant: str | None = None,
        hosted: Iterable[str] | None = None,
    ) -> int:
        """The rung that a job with this floor gets while the controller stands at `current`.

        Among the rungs not below the floor (of `variant` if one is pinned, of the `hosted`
        variants if given): the first at or below `current`, else the lowest there is. Rises with
        `current`, so more load never raises quality. ValueError if there is no such rung.
        """
        allowed = None if hosted is None else frozenset(hosted)
        best: int | None = None
        for index in range(min(floor, self.last) + 1):
            name = self.rungs[index].variant
            if (variant is None or name == variant) and (allowed is None or name in allowed):
                best = index
                if index >= current:
                    break
        if best is None:
            raise ValueError(self._no_rung(floor, variant))
        return best

    def rung_of(self, variant: str, steps: int) -> int:
        """The rung that `steps` of `variant` count as: the best whose steps they reach.

        Fewer steps than any rung of the variant has count as its last rung. ValueError if the
        variant is not on the ladder.
        """
        own = [i for i, rung in enumerate(self.rungs) if rung.variant == variant]
        if not own:
            raise ValueError(self._no_rung(self.last, variant))
        return next((i for i in own if self.rungs[i].steps <= steps), own[-1])

    def quality_of(self, service: Service) -> str:
        """The label that may honestly be put on this service.

        A client can ask for fewer steps than any rung of the variant has: that is "low".
        """
        rung = self.rungs[service.rung]
        reached = (
            service.variant == rung.variant
            and service.steps >= rung.steps
            and service.guidance_share >= rung.guidance_share
        )
        return rung.quality if reached else QUALITY_ORDER[0]

    def _no_rung(self, floor: int, variant: str | None) -> str:
        if variant is not None and variant not in self.variants:
            return f"variant {variant!r} is not on the ladder; it has {', '.join(self.variants)}"
        return (
            f"no rung of variant {variant or 'any hosted'!r} stands at or above the floor"
            f" {self.rungs[min(floor, self.last)]}; ask for a lower quality or another variant"
        )


@dataclass(frozen=True, slots=True)
class Job:
    """What the policies know of one image to make.

    arrival_s and deadline_s are absolute on the driver's clock. `floor` is the ladder index of the
    lowest acceptable rung. `variant` and `steps` are the client's wishes, if any. `fixed` says
    that the client gave steps and no quality: it gets exactly those and is never lowered. `tier` is
    its priority class. `objective` names how its rung and engine are chosen, if not as usual.
    """

    job_id: str
    arrival_s: float
    floor: int
    variant: str | None = None
    steps: int | None = None
    fixed: bool = False
    deadline_s: float | None = None
    tenant: str = ""
    tier: str = "default"
    objective: str | None = None

    def __post_init__(self) -> None:
        if not self.job_id:
            raise ValueError("a job needs an id that is not empty")
        if self.floor < 0:
            raise ValueError(f"job {self.job_id}: floor {self.floor} must be a ladder index >= 0")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"job {self.job_id}: steps {self.steps} must be at least 1")
        if self.fixed and self.steps is None:
            raise ValueError(f"job {self.job_id}: a fixed job must name its steps")
