"""The settings that nothing cheaper matches, and what the figures recommend for early exits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.quality_study.results import BOTH, Point, Pricing, Study

FORMAT_VERSION = 1
RULE = (
    "A setting is efficient if no other that costs at most as much is at least as accurate and"
    " either cheaper or more accurate; accuracy is the share of pictures with the whole prompt"
    " right, mean of the categories. With SSIM: and if no such setting is also at least as similar"
    " to the full pictures. Rungs compete with rungs only."
)
CAREFUL = 0.01
"""Accuracy that a recommended loss budget may cost at most, by its upper 95 % bound."""

SLACK = 0.005
"""How far below a rung's quality a finished picture's may be and still count as no worse: sampling noise."""

Quality = tuple[float, ...]


def efficient(costs: Sequence[float], qualities: Sequence[Quality]) -> list[bool]:
    """Which are not dominated: nothing costs no more, is no worse in any quality, and better in one.

    More is better in every quality. Equals do not dominate each other.
    """
    both = list(zip(costs, qualities, strict=True))
    return [not any(_dominates(other, one) for other in both) for one in both]


def _dominates(other: tuple[float, Quality], one: tuple[float, Quality]) -> bool:
    if other[0] > one[0] or any(a < b for a, b in zip(other[1], one[1], strict=True)):
        return False
    return other != one


def pareto(study: Study, pricing: Pricing) -> dict[str, Any]:
    """What pareto.json holds: the rule, the front, every possible rung, and the recommendations."""
    points, shares = study.points, pricing.shares
    front = efficient(shares, [_accuracy(point) for point in points])
    front_with_ssim = efficient(shares, [_accuracy_and_ssim(point) for point in points])
    entries = [
        _entry(study, point, pricing, index)
        | {"efficient": front[index], "efficient_with_ssim": front_with_ssim[index]}
        for index, point in enumerate(points)
    ]
    return {
        "version": FORMAT_VERSION,
        "rule": RULE,
        "cost": {"unit": f"{pricing.unit} a picture", "source": pricing.source},
        "study": {name: study.meta[name] for name in ("command", "commit", "prompts", "seed")},
        "reference": study.reference.setting.name,
        "front": [one for one in entries if one["efficient"] or one["efficient_with_ssim"]],
        "rungs": _rungs(study, shares, entries),
        "recommendations": {
            "finish_from": finish_from(study),
            "loss_budget": loss_budget(study, shares),
            "hand_over": hand_over(study, shares),
        },
    }


def save(document: dict[str, Any], path: Path) -> None:
    """Write pareto.json."""
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _entry(study: Study, point: Point, pricing: Pricing, index: int) -> dict[str, Any]:
    setting = point.setting
    return {
        "name": setting.name,
        "strategy": setting.strategy,
        "rung": _rung(study, point) if setting.is_rung else None,
        "cost": pricing.values[index],
        "cost_share": pricing.shares[index],
        "accuracy": {name: one.value for name, one in point.accuracy.items()},
        "lost": asdict(point.lost[BOTH]),
        "ssim": point.ssim.value,
        "fid": point.fid,
    }


def _rung(study: Study, point: Point) -> dict[str, Any]:
    setting = point.setting
    return {
        "variant": setting.variant,
        "steps": setting.steps,
        "guidance_share": setting.guidance_share,
        "replannable": setting.variant not in study.fixed_schedules,
    }


def _rungs(
    study: Study, shares: Sequence[float], entries: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Entries of all possible rungs, with their efficiency among rungs."""
    chosen = [index for index, one in enumerate(entries) if one["rung"] is not None]
    costs = [shares[index] for index in chosen]
    flags = efficient(costs, [_accuracy(study.points[index]) for index in chosen])
    with_ssim = efficient(costs, [_accuracy_and_ssim(study.points[index]) for index in chosen])
    return [
        entries[index] | {"efficient": flag, "efficient_with_ssim": ssim_flag}
        for index, flag, ssim_flag in zip(chosen, flags, with_ssim, strict=True)
    ]


def finish_from(study: Study) -> list[dict[str, Any]]:
    """For each lower rung of the full variant: from which share on a picture may be finished at once.

    The smallest share measured from which on every setting that finishes is at least as good as the
    rung, within `SLACK`: by accuracy, and by accuracy and SSIM. None where not even the latest is.
    """
    full = study.reference.setting
    finished = [
        (point.setting.exit_after / point.setting.steps, point)
        for point in study.points
        if point.setting.strategy == "finish"
        and point.setting.exit_after is not None
        and point.setting.steps == full.steps
    ]
    finished.sort(key=lambda one: one[0])
    rungs = [
        point
        for point in study.points
        if point.setting.is_rung
        and point.setting.variant == full.variant
        and point.setting.steps < full.steps
    ]
    return [
        {
            "rung": rung.setting.name,
            "finish_from": _earliest(finished, rung, _accuracy),
            "finish_from_with_ssim": _earliest(finished, rung, _accuracy_and_ssim),
        }
        for rung in rungs
    ]


def _earliest(
    finished: Sequence[tuple[float, Point]], rung: Point, quality: Callable[[Point], Quality]
) -> float | None:
    earliest = None
    for share, point in reversed(finished):
        if any(a < b - SLACK for a, b in zip(quality(point), quality(rung), strict=True)):
            break
        earliest = share
    return earliest


def loss_budget(study: Study, shares: Sequence[float]) -> dict[str, Any]:
    """Every budget tried with what came of it, and the largest that is safe (None if none is)."""
    tried = []
    safe = None
    for point, share in zip(study.points, shares, strict=True):
        kept = point.converged
        if kept is None:
            continue
        tried.append(
            {
                "loss_budget": kept.loss_budget,
                "realised": None if kept.loss is None else asdict(kept.loss),
                "exited_share": kept.exited_share,
                "steps_run": point.steps_run,
                "cost_share": share,
                "lost": asdict(point.lost[BOTH]),
                "cheaper_rung": _cheapest_rung_as_good(study, shares, point),
            }
        )
        if point.lost[BOTH].high <= CAREFUL:
            safe = max(safe or 0.0, kept.loss_budget)
    return {
        "recommended": safe,
        "rule": "the largest budget whose accuracy loss is at most"
        f" {100 * CAREFUL:g} point by its upper 95 % bound",
        "tried": tried,
    }


def hand_over(study: Study, shares: Sequence[float]) -> dict[str, Any]:
    """Every hand-over tried; recommended are those that no rung beats in both cost and accuracy."""
    tried = [
        {
            "name": point.setting.name,
            "cost_share": share,
            "lost": asdict(point.lost[BOTH]),
            "cheaper_rung": _cheapest_rung_as_good(study, shares, point),
        }
        for point, share in zip(study.points, shares, strict=True)
        if point.setting.strategy == "hand_over"
    ]
    return {
        "recommended": [one["name"] for one in tried if one["cheaper_rung"] is None],
        "rule": "hand-overs that no rung of the ladder matches in accuracy at the same cost or less",
        "tried": tried,
    }


def _cheapest_rung_as_good(study: Study, shares: Sequence[float], point: Point) -> str | None:
    """The cheapest rung that is no less accurate and costs no more, if there is one."""
    cost = shares[study.points.index(point)]
    as_good = [
        (share, other.setting.name)
        for share, other in zip(shares, study.points, strict=True)
        if other.setting.is_rung and share <= cost and _accuracy(other) >= _accuracy(point)
    ]
    return min(as_good)[1] if as_good else None


def _accuracy(point: Point) -> Quality:
    return (point.mean_accuracy,)


def _accuracy_and_ssim(point: Point) -> Quality:
    return point.mean_accuracy, point.ssim.value
