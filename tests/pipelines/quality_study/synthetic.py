"""A study without pictures: settings whose cost and quality are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipelines.quality_study.intervals import Estimate, wilson
from pipelines.quality_study.results import (
    BOTH,
    CATEGORIES,
    Converged,
    CurveStep,
    MeanSteps,
    Point,
    Study,
)
from pipelines.quality_study.settings import Setting

PICTURES = 400
META: dict[str, Any] = {
    "command": "python -m pipelines quality --out somewhere",
    "commit": "abc1234",
    "machine": "an abacus, 2 cores",
    "versions": {"torch": "2.13.0"},
    "seed": 7,
    "prompts": 200,
    "warm_up_prompts": 100,
    "guidance_scale": 2.5,
    "max_batch": 16,
}


def around(value: float, half: float = 0.004) -> Estimate:
    return Estimate(value, value - half, value + half)


def point(
    setting: Setting,
    *,
    lost: float = 0.0,
    ssim: float = 0.99,
    steps: dict[str, MeanSteps] | None = None,
    converged: Converged | None = None,
) -> Point:
    """A point that loses so much accuracy in both categories against 99 %."""
    right = round((0.99 - lost) * PICTURES / 2)
    ran = steps or {setting.variant: MeanSteps(float(setting.steps), 0.0)}
    return Point(
        setting=setting,
        pictures=PICTURES,
        steps=ran,
        ended_in=setting.to_variant or setting.variant,
        accuracy=dict.fromkeys(CATEGORIES, wilson(right, PICTURES // 2)),
        attributes={name: {"shape": 0.99} for name in CATEGORIES},
        right=dict.fromkeys(CATEGORIES, "1" * right + "0" * (PICTURES // 2 - right)),
        lost=dict.fromkeys((*CATEGORIES, BOTH), around(lost)),
        ssim=around(ssim),
        feature_distance=around(0.05),
        fid=210.0,
        kid=0.002,
        converged=converged,
    )


def study(*more: Point) -> Study:
    """full@25, 15, 10, 6 and a fast turbo@2, two of them early exits, and what the test adds."""
    full = Setting("steps", "full", 25)
    points = (
        point(full, ssim=1.0),
        point(replace(full, steps=15), ssim=0.998),
        point(replace(full, steps=10), lost=0.005, ssim=0.996),
        point(replace(full, steps=6), lost=0.02, ssim=0.98),
        point(
            Setting("guidance", "full", 6, guidance_share=0.5),
            lost=0.04,
            ssim=0.97,
            steps={"full": MeanSteps(3.0, 3.0)},
        ),
        point(
            Setting("steps", "turbo", 2),
            lost=0.08,
            ssim=0.94,
            steps={"turbo": MeanSteps(0.0, 2.0)},
        ),
        _finished(10, lost=0.3, ssim=0.9),
        _finished(15, lost=0.03, ssim=0.96),
        _finished(20, lost=0.003, ssim=0.99),
    )
    return Study(
        meta=META,
        fixed_schedules=("turbo",),
        row_gflops={"full": 0.2, "turbo": 0.2},
        drawings={"fid": 200.0, "kid": 0.0001},
        curve=(CurveStep(1, None, 1.2), CurveStep(2, 0.3, 0.4), CurveStep(3, 0.02, 0.0)),
        points=points + more,
    )


def _finished(after: int, *, lost: float, ssim: float) -> Point:
    setting = Setting("finish", "full", 25, exit_after=after)
    return point(setting, lost=lost, ssim=ssim, steps={"full": MeanSteps(float(after), 0.0)})
