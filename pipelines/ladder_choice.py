"""From a Pareto file to the `ladder:` section of a server's configuration. No torch."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from policies.nouns import Ladder, Rung, quality_index

By = Literal["accuracy", "ssim"]
ORDERS: tuple[By, ...] = get_args(By)
LABELS: tuple[tuple[float, str], ...] = ((1.0, "high"), (5.0, "medium"), (math.inf, "low"))
"""Points of accuracy that a rung may lose against the reference, and the label it then has."""

DROP_POINTS = 10.0
RUNGS_MAX = 8
SCORE_DIGITS = 4
"""Decimals of a rung's score: the study's SSIM is no surer than that."""
_AGAIN = "make it with `python -m pipelines quality`"


@dataclass(frozen=True, slots=True)
class Offer:
    """A rung that the study measured.

    `cost_share` is relative to the reference; `lost`, `lost_low` and `lost_high` are points of
    accuracy with their 95 % interval; `ssim` is to the reference's pictures. From `finish_from` of
    its steps on, a running picture of the reference may be decoded at once and is no less accurate
    than this rung's; None where that is not known or never so.
    """

    name: str
    variant: str
    steps: int
    guidance_share: float
    replannable: bool
    cost_share: float
    lost: float
    lost_low: float
    lost_high: float
    ssim: float
    finish_from: float | None


@dataclass(frozen=True)
class Choice:
    """A ladder, and what was measured of each of its rungs. `study` says when and on what."""

    ladder: Ladder
    offers: tuple[Offer, ...]
    study: str


def choose_ladder(path: Path, rungs: int, *, drop: float = DROP_POINTS, by: By = "ssim") -> Choice:
    """Choose `rungs` rungs from pareto.json, the reference first.

    The others are efficient by accuracy, or with `by` "ssim" by accuracy and SSIM together; they
    lose at most `drop` points of accuracy and are spread so that each costs about the same fraction
    of the one above it. ValueError if there are not as many, or the file cannot be used.
    """
    if not 1 <= rungs <= RUNGS_MAX:
        raise ValueError(f"--rungs must be 1 to {RUNGS_MAX}, got {rungs}.")
    reference, offers, study = _read(path, by)
    lower = [one for one in offers if one.lost <= drop and one.cost_share < reference.cost_share]
    chosen = _spread(reference, lower, rungs)
    if chosen is None:
        raise ValueError(
            f"{path} has no ladder of {rungs} rungs that lose at most {drop:g} points; ask for"
            " fewer with --rungs or allow more with --drop."
        )
    return Choice(Ladder(tuple(_rung(one) for one in chosen)), chosen, study)


def _rung(offer: Offer) -> Rung:
    label, score = label_of(offer), score_of(offer)
    return Rung(
        offer.variant, offer.steps, label, offer.replannable, offer.guidance_share, score=score
    )


def label_of(offer: Offer) -> str:
    """The label that the accuracy lost allows."""
    return next(label for points, label in LABELS if offer.lost <= points)


def score_of(offer: Offer) -> float:
    """The rung's score for policies that weigh quality by numbers: SSIM to the full pictures."""
    return round(min(1.0, max(0.0, offer.ssim)), SCORE_DIGITS)


def yaml_of(choice: Choice) -> str:
    """The `ladder:` section for serve's configuration, with what was measured beside each rung."""
    lines = [f"# {choice.study}", "ladder:"]
    for rung, offer in zip(choice.ladder.rungs, choice.offers, strict=True):
        keys = f"variant: {rung.variant}, steps: {rung.steps}, quality: {rung.quality}"
        if rung.guidance_share < 1:
            keys += f", guidance_share: {rung.guidance_share:g}"
        if not rung.replannable:
            keys += ", replannable: false"
        keys += f", score: {rung.score:g}"
        lines.append(
            f"  - {{{keys}}}  # cost {offer.cost_share:.3f}, {offer.lost:.1f} points lost"
            f" ({offer.lost_low:.1f} to {offer.lost_high:.1f}), SSIM {offer.ssim:.3f}"
        )
    return "\n".join([*lines, *_finish_lines(choice)]) + "\n"


def _finish_lines(choice: Choice) -> list[str]:
    first, *others = choice.offers
    own = [one for one in others if one.variant == first.variant]
    known = [(one, one.finish_from) for one in own if one.finish_from is not None]
    if not known:
        return []
    lines = [
        "# With controller.apply: finish_now, a picture is no less accurate than its new rung's if"
    ]
    lines += [f"#   finish_from is {share:g} or more, for {one.name}" for one, share in known]
    missing = [one.name for one in own if one.finish_from is None]
    return lines + [f"#   (no share is late enough for {name})" for name in missing]


def _spread(reference: Offer, lower: Sequence[Offer], rungs: int) -> tuple[Offer, ...] | None:
    """The ladder down to the cheapest rung whose costs fall most evenly, on a logarithmic scale."""
    falling = sorted(lower, key=lambda one: one.cost_share, reverse=True)
    ladders = [
        (reference, *some)
        for some in combinations(falling, rungs - 1)
        if _can_be_ladder((reference, *some))
    ]
    if not ladders:
        return None
    bottom = min(ladder[-1].cost_share for ladder in ladders)
    ideal = math.log(bottom / reference.cost_share) / max(1, rungs - 1)

    def unevenness(ladder: Sequence[Offer]) -> float:
        steps = [math.log(low.cost_share / high.cost_share) for high, low in pairwise(ladder)]
        return sum((step - ideal) ** 2 for step in steps)

    return min((one for one in ladders if one[-1].cost_share == bottom), key=unevenness)


def _can_be_ladder(offers: Sequence[Offer]) -> bool:
    """Whether down the ladder costs fall, no label rises, and within a variant neither steps nor
    guidance rise."""
    for high, low in pairwise(offers):
        if low.cost_share >= high.cost_share:
            return False
        if quality_index(label_of(low)) > quality_index(label_of(high)):
            return False
    above: dict[str, Offer] = {}
    for one in offers:
        over = above.get(one.variant)
        if over is not None and (
            one.steps > over.steps or one.guidance_share > over.guidance_share
        ):
            return False
        above[one.variant] = one
    return True


def _read(path: Path, by: By) -> tuple[Offer, list[Offer], str]:
    """The reference, the efficient rungs, and where they come from."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or 'cannot be read'}; {_AGAIN}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {_AGAIN}.") from error
    flag = "efficient_with_ssim" if by == "ssim" else "efficient"
    try:
        shares = {
            one["rung"]: one["finish_from"] for one in document["recommendations"]["finish_from"]
        }
        offers = {one["name"]: _offer(one, shares) for one in document["rungs"]}
        flagged = [offers[one["name"]] for one in document["rungs"] if one[flag]]
        study = document["study"]
        source = (
            f"Rungs measured at commit {study['commit']} with {study['prompts']} prompts a"
            f" category; cost: {document['cost']['source']}."
        )
        return offers[document["reference"]], flagged, source
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not usable ({error!r}); {_AGAIN}.") from error


def _offer(one: dict[str, Any], finish_from: dict[str, float | None]) -> Offer:
    lost = one["lost"]
    return Offer(
        name=one["name"],
        cost_share=one["cost_share"],
        lost=100 * lost["value"],
        lost_low=100 * lost["low"],
        lost_high=100 * lost["high"],
        ssim=one["ssim"],
        finish_from=finish_from.get(one["name"]),
        **one["rung"],
    )
