"""What a discriminator thinks of pictures, and what they and their full versions are worth.

The quality study keeps for every picture whether it was right, but no discriminator's opinion:
none is built in. So confidences are modelled: those of right and of wrong pictures come from two
Beta laws that mirror each other, Beta(a, b) and Beta(b, a) with a + b = SPREAD, and a is set so
that a right picture is given more confidence than a wrong one with probability `auc`, the area
under the discriminator's ROC curve. At 0.5 it knows nothing, near 1 it is always right. This is an
assumption, not a measurement; how much a cascade is worth depends on it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from analysis.service_times import Array
from policies.nouns import Rung

SPREAD = 6.0
"""a + b of the two laws: at 0.5 both are Beta(3, 3), a broad hill."""

AUC_MAX = 0.995

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


@dataclass(frozen=True)
class Judged:
    """Pictures of the cheap rung: confidence, own score, and the score of each if made again.

    Scores are from 0 to 1; where right and wrong is all that is known, they are 1 and 0.
    ValueError if there is no picture or the lengths differ.
    """

    confidence: Array
    cheap: Array
    full: Array

    def __post_init__(self) -> None:
        if not self.confidence.size or not (
            self.confidence.shape == self.cheap.shape == self.full.shape
        ):
            raise ValueError("give as many confidences as cheap and full scores, at least one")

    def redone_share(self, threshold: float) -> float:
        """Share of pictures that are made again: those below the threshold."""
        return float((self.confidence < threshold).mean())

    def mean_score(self, threshold: float) -> float:
        """Mean score of what is delivered."""
        return float(np.where(self.confidence < threshold, self.full, self.cheap).mean())

    def kept_score(self, threshold: float) -> float:
        """Mean score of the cheap pictures that are kept; nan if none is."""
        kept = self.confidence >= threshold
        return float(self.cheap[kept].mean()) if kept.any() else float("nan")


def draw_confidences(n: int, share_right: float, auc: float, seed: int) -> Array:
    """`n` confidences of pictures of which this share is right; see `draw_judged`."""
    return draw_judged(n, share_right, auc, seed).confidence


def draw_judged(
    n: int, share_right: float, auc: float, seed: int, full_score: float = 1.0
) -> Judged:
    """`n` pictures, each right (score 1) with probability `share_right`, and their confidences.

    Made again, each is worth `full_score`, whatever the cheap one was. ValueError for a share or
    score outside 0 to 1, or an `auc` outside 0.5 to AUC_MAX.
    """
    for name, value in (("share_right", share_right), ("full_score", full_score)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value} must lie between 0 and 1")
    if n < 1:
        raise ValueError(f"n {n} must be at least 1")
    rng = np.random.default_rng([seed, 17])
    right = rng.random(n) < share_right
    confidence = confidences_of(right, auc, rng)
    return Judged(confidence, right.astype(np.float64), np.full(n, full_score))


def confidences_of(right: NDArray[np.bool_], auc: float, rng: np.random.Generator) -> Array:
    """A confidence for each picture, by the two laws."""
    a = beta_of(auc)
    b = SPREAD - a
    return np.where(right, rng.beta(a, b, right.size), rng.beta(b, a, right.size))


def beta_of(auc: float) -> float:
    """The `a` of the right pictures' law; ValueError for an auc outside 0.5 to AUC_MAX."""
    if not 0.5 <= auc <= AUC_MAX:
        raise ValueError(f"auc {auc} must lie between 0.5 and {AUC_MAX}")
    if auc == 0.5:
        return SPREAD / 2
    return float(optimize.brentq(lambda a: _auc(a) - auc, SPREAD / 2, SPREAD * 0.9999))


def _auc(a: float) -> float:
    """P(a right picture's confidence exceeds a wrong one's), over the wrong one's quantiles."""
    wrong = special.betaincinv(SPREAD - a, a, (_NODES + 1) / 2)
    return float(_WEIGHTS / 2 @ special.betaincc(a, SPREAD - a, wrong))


def measured_pictures(path: Path, cheap: Rung, full: Rung, auc: float, seed: int) -> Judged:
    """The quality study's pictures at two rungs, prompt by prompt, with modelled confidences.

    A redone picture is what the full rung made of the same prompt and seed. ValueError if the file
    cannot be used or one of the rungs was not measured.
    """
    try:
        points = json.loads(path.read_text(encoding="utf-8"))["points"]
        of_cheap, of_full = (_right(points, rung) for rung in (cheap, full))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror or 'cannot be read'}; make it with `python -m pipelines"
            " quality`"
        ) from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no quality study ({error!r})") from error
    if of_cheap.size != of_full.size or not of_full.size:
        missing = cheap if of_cheap.size < of_full.size else full
        raise ValueError(
            f"{path} has {of_cheap.size} pictures of {cheap} and {of_full.size} of {full}; measure"
            f" {missing} or name another rung"
        )
    rng = np.random.default_rng([seed, 17])
    confidence = confidences_of(of_cheap, auc, rng)
    return Judged(confidence, of_cheap.astype(np.float64), of_full.astype(np.float64))


def _right(points: list[dict[str, object]], rung: Rung) -> NDArray[np.bool_]:
    """Which pictures of a rung were right, of all categories; none if it was not measured."""
    wanted = {
        "variant": rung.variant,
        "steps": rung.steps,
        "guidance_share": rung.guidance_share,
        "sampler": None,
        "exit_after": None,
        "to_variant": None,
        "loss_budget": None,
    }
    for point in points:
        setting, right = point["setting"], point["right"]
        if not isinstance(setting, dict) or not isinstance(right, dict):
            raise TypeError("a point without setting and right")
        if all(setting[name] == value for name, value in wanted.items()):
            flags = "".join(str(right[category]) for category in sorted(right))
            return np.array([flag == "1" for flag in flags])
    return np.zeros(0, dtype=np.bool_)
