"""What a picture is worth: the ladder under test, and the score of every way a run can end.

All scores are structural similarity to the picture that the full run gives for the same prompt and
seed (SSIM; Wang et al., IEEE Transactions on Image Processing 13, 2004), as the quality study
measured them (`python -m pipelines quality`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from analysis.intervals import Z95
from analysis.records import Record
from policies import Ladder, Rung
from policies.costs import Costs, completion_rate_per_s

LABEL = "high"
"""One label for all rungs: the study's jobs accept every rung, so nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of the quality study: what was run, and its SSIM with a 95 % interval."""

    strategy: str
    variant: str
    steps: int
    guidance_share: float
    exit_after: int | None
    to_steps: int | None
    ssim: float
    low: float
    high: float
    pictures: int


def read_points(path: Path) -> tuple[list[Point], frozenset[str]]:
    """All settings of a study's quality.json, and its variants of a fixed schedule.

    ValueError with one sentence if the file is no such study; OSError if it cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        points = [_point(one) for one in content["points"]]
        fixed = frozenset(str(name) for name in content["fixed_schedules"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no quality study ({error}); make one with `python -m pipelines quality`"
        ) from error
    return points, fixed


def _point(one: dict[str, Any]) -> Point:
    setting, ssim = one["setting"], one["ssim"]
    strategy = "sampler" if setting["sampler"] is not None else setting["strategy"]
    return Point(
        strategy,
        setting["variant"],
        setting["steps"],
        setting["guidance_share"],
        setting["exit_after"],
        setting["to_steps"],
        # The mean of many ones can miss 1 by rounding.
        min(1.0, ssim["value"]),
        ssim["low"],
        ssim["high"],
        one["pictures"],
    )


def rungs_named(names: Iterable[str], points: Sequence[Point], fixed: frozenset[str]) -> Ladder:
    """A ladder of the study's settings "variant@steps", best first, each with its score.

    ValueError for a setting that was not measured.
    """
    measured = {f"{p.variant}@{p.steps}": p for p in points if p.strategy == "steps"}
    found = []
    for name in names:
        if name not in measured:
            raise ValueError(f"{name} was not measured; there are {', '.join(measured)}")
        found.append(_rung(measured[name], fixed))
    return Ladder(tuple(found))


def _rung(point: Point, fixed: frozenset[str]) -> Rung:
    replannable = point.variant not in fixed
    return Rung(point.variant, point.steps, LABEL, replannable, score=point.ssim)


def hull_ladder(
    points: Sequence[Point], fixed: frozenset[str], costs: Costs, max_batch: int
) -> Ladder:
    """The measured numbers of steps that no mixture of others beats, best first.

    These are the corners of the upper concave hull of score against engine time a picture
    (the reciprocal of the completion rate in full batches). A setting below the hull gives less
    than sharing the jobs out over its two neighbours does for the same time, so no policy that
    weighs score against time needs it.
    """
    offers = [
        (1.0 / completion_rate_per_s(costs, _rung(point, fixed), max_batch), point)
        for point in points
        if point.strategy == "steps"
    ]
    offers.sort(key=lambda offer: (offer[0], -offer[1].ssim))
    hull: list[tuple[float, Point]] = []
    for time_s, point in offers:
        if hull and point.ssim <= hull[-1][1].ssim:
            continue  # dearer and no better
        while len(hull) > 1 and _below_chord(hull[-2], hull[-1], (time_s, point)):
            hull.pop()
        hull.append((time_s, point))
    return Ladder(tuple(_rung(point, fixed) for _, point in reversed(hull)))


def _below_chord(
    left: tuple[float, Point], middle: tuple[float, Point], right: tuple[float, Point]
) -> bool:
    slope = (right[1].ssim - left[1].ssim) / (right[0] - left[0])
    return middle[1].ssim <= left[1].ssim + slope * (middle[0] - left[0])


@dataclass(frozen=True, slots=True)
class FinishLaw:
    """The score of a picture whose estimate was decoded after a share of its steps.

    Straight lines between what was measured on the longest plan; 1 after all steps. Below the
    smallest share measured there is no value to give: ValueError.
    """

    shares: tuple[float, ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, points: Sequence[Point]) -> FinishLaw:
        """From the study's "finish" settings; ValueError if there are none."""
        finished = [p for p in points if p.strategy == "finish" and p.exit_after is not None]
        if not finished:
            raise ValueError("the quality study finished no picture early; run it again")
        plan = max(p.steps for p in finished)
        known = {(p.exit_after or 0) / plan: p.ssim for p in finished if p.steps == plan}
        known[1.0] = 1.0
        shares = tuple(sorted(known))
        return cls(shares, tuple(known[share] for share in shares))

    def score(self, share: float) -> float:
        """At this share of the steps."""
        if not self.shares[0] <= share <= 1.0:
            raise ValueError(
                f"no picture was finished after {share:.2f} of its steps, only from"
                f" {self.shares[0]:.2f} on; let finish_from be at least that"
            )
        return float(np.interp(share, self.shares, self.scores))


@dataclass(frozen=True, slots=True)
class PictureLaw:
    """How the score of one rung varies from picture to picture: a beta law of this mean and spread.

    The spread is what the study's interval of the mean implies for single pictures. A cascade's
    discriminator is taken to be perfect: its confidence in a picture is the rank (0 to 1) of the
    picture's score among all that the cheap rung makes. No real one can do better, so this errs in
    favour of the cascade.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, point: Point) -> PictureLaw:
        """The law that gives such a mean and interval."""
        half = (point.high - point.low) / 2
        return cls(point.ssim, half / Z95 * math.sqrt(point.pictures))

    def scores(self, ranks: Sequence[float]) -> list[float]:
        """The scores of pictures of these ranks."""
        spread = self.mean * (1 - self.mean) / self.deviation**2 - 1
        law = stats.beta(self.mean * spread, (1 - self.mean) * spread)
        return [float(score) for score in law.ppf(np.asarray(ranks, dtype=np.float64))]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Scores of delivered pictures.

    A re-planned picture counts as a whole run of the rung that it was lowered to: the study
    measured none below that. One that was finished at once counts as the worse of that and
    `finish` at the share of its steps, but never at less than `finish_from`, where the rule
    begins. A picture made at `cheap_rung` of a cascade counts with its own score.
    """

    rungs: tuple[float, ...]
    finish: FinishLaw
    finish_from: float
    cheap_rung: int | None = None

    def of(self, record: Record, own: float | None) -> float:
        """The score of a picture that was delivered; `own` is what the cheap rung makes of it."""
        rung, run, planned = record.rung_delivered, record.steps_run, record.steps_planned
        if rung is None or run is None or planned is None:
            raise ValueError(f"request {record.index} has no picture to score")
        if own is not None and rung == self.cheap_rung:
            return own
        if record.early_exit != "finish":
            return self.rungs[rung]
        share = min(1.0, max(self.finish_from, run / planned))
        return min(self.rungs[rung], self.finish.score(share))
