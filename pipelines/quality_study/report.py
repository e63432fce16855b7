"""The table: every setting with what it took and how good its pictures were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.quality_study.intervals import Estimate
from pipelines.quality_study.pareto import SLACK
from pipelines.quality_study.results import BOTH, CATEGORIES, Point, Pricing, Study
from pipelines.quality_study.settings import STRATEGIES, Strategy

_HEADINGS: Mapping[Strategy, str] = {
    "steps": "Fixed steps",
    "sampler": "Other samplers",
    "guidance": "Guidance cut off after a share of the steps",
    "replan": "Re-planned on the way: the rest in fewer steps",
    "finish": "Finished at once: the present clean estimate decoded",
    "hand_over": "Handed over to a cheaper variant on the way",
    "converge": "Ended when the clean estimate stands still",
}
_COLUMNS = (
    "setting",
    "steps",
    "guided",
    "rows",
    "cost",
    "saved",
    "one object",
    "two objects",
    "lost, points",
    "SSIM",
    "feature distance",
    "FID",
    "KID x 1000",
)


def report(study: Study, pricing: Pricing, front: Mapping[str, Any]) -> str:
    """quality.md: command, table by strategy, the efficient settings and the recommendations."""
    parts = ["# Quality against cost", _provenance(study, pricing), _legend(study, pricing)]
    priced = list(zip(study.points, pricing.values, pricing.shares, strict=True))
    for strategy in STRATEGIES:
        mine = [one for one in priced if one[0].setting.strategy == strategy]
        if mine:
            rows = [_row(point, value, share, pricing) for point, value, share in mine]
            parts.append(f"## {_HEADINGS[strategy]}\n\n" + _table(_COLUMNS, rows))
    parts.append(_budgets(study))
    parts.append(_front_section(front))
    parts.append(_recommendations(front))
    return "\n\n".join(part for part in parts if part) + "\n"


def _provenance(study: Study, pricing: Pricing) -> str:
    meta = study.meta
    versions = ", ".join(f"{name} {number}" for name, number in meta["versions"].items())
    return (
        f"    {meta['command']}\n\n"
        f"Commit {meta['commit']}, {meta['machine']}, {versions}; seed {meta['seed']},"
        f" {meta['prompts']} unseen prompts a category, guidance scale {meta['guidance_scale']:g},"
        f" at most {meta['max_batch']} jobs in a batch. Cost: {pricing.source}."
    )


def _legend(study: Study, pricing: Pricing) -> str:
    drawings = study.drawings
    return (
        "![accuracy and SSIM against cost](quality.svg)\n\n"
        "All pictures are made by the step engine, and steps, guided steps and rows (evaluations of"
        " the denoising network; guidance takes two a step) are means of what the pictures' facts"
        f" say. Cost in {pricing.unit} a picture; saved: relative to"
        f" {study.reference.setting.name}. One and two objects: percent of pictures with every"
        " attribute of the prompt right, with Wilson's 95 % interval. Lost: points of that accuracy"
        f" lost against {study.reference.setting.name} on the same prompts and seeds, mean of both"
        " categories, with a paired bootstrap's 95 % interval. SSIM and feature distance (relative,"
        " on the judge's features) are to the reference's picture of the same prompt and seed. FID"
        " and KID are on the judge's features against drawings of the same kinds of scenes; other"
        f" such drawings have FID {drawings['fid']:.0f} and KID {1000 * drawings['kid']:.2f}."
    )


def _row(point: Point, value: float, share: float, pricing: Pricing) -> list[str]:
    cost = f"{1000 * value:.1f} ms" if pricing.unit == "s" else f"{value:.2f}"
    return [
        point.setting.name,
        f"{point.steps_run:.1f}",
        f"{point.guided_steps:.1f}",
        f"{point.rows:.1f}",
        cost,
        f"{100 * (1 - share):.0f} %",
        *(_percent(point.accuracy[name]) for name in CATEGORIES),
        _points(point.lost[BOTH]),
        f"{point.ssim.value:.4f}",
        f"{point.feature_distance.value:.3f}",
        f"{point.fid:.0f}",
        f"{1000 * point.kid:.2f}",
    ]


def _budgets(study: Study) -> str:
    rows = []
    for point in study.points:
        kept = point.converged
        if kept is None:
            continue
        loss = "none exited" if kept.loss is None else _range(kept.loss, "{:.3f}")
        rows.append(
            [
                f"{kept.loss_budget:g}",
                loss,
                f"{kept.loss_of_all.value:.3f}",
                f"{100 * kept.exited_share:.0f} %",
                f"{point.steps_run:.1f}",
                f"{kept.threshold:.4f}",
            ]
        )
    if not rows:
        return ""
    head = ("budget", "loss of those that exited", "loss of all", "exited", "steps", "threshold")
    warm_up = len(CATEGORIES) * study.meta["warm_up_prompts"]
    return (
        "## Loss budgets of the convergence exit, and the losses realised\n\n"
        "Loss: distance of the clean latents at the exit to those of the whole run, relative to"
        f" their size. The tuner began with {warm_up} audits of other prompts; a share of the"
        " pictures measured is audited too, and runs to its end.\n\n"
        + _table(head, rows)
        + f"\n\nHow the clean estimate of {study.reference.setting.name} settles: the change in each"
        " step, and the loss of ending there (medians).\n\n" + _curve(study)
    )


def _curve(study: Study) -> str:
    shown = [one for one in study.curve if one.step % 3 == 1 or one.step == len(study.curve)]
    head = ("step", *(str(one.step) for one in shown))
    changes = ["change", *("" if o.change is None else f"{o.change:.3f}" for o in shown)]
    return _table(head, [changes, ["loss", *(f"{one.loss:.3f}" for one in shown)]])


def _front_section(front: Mapping[str, Any]) -> str:
    rows = [
        [
            one["name"],
            f"{one['cost_share']:.3f}",
            _points(Estimate(**one["lost"])),
            f"{one['ssim']:.4f}",
            "yes" if one["efficient"] else "with SSIM only",
        ]
        for one in sorted(front["front"], key=lambda one: -one["cost_share"])
    ]
    head = ("setting", "cost share", "lost, points", "SSIM", "efficient")
    return f"## Efficient settings\n\n{front['rule']}\n\n" + _table(head, rows)


def _recommendations(front: Mapping[str, Any]) -> str:
    advice = front["recommendations"]
    rows = [
        [one["rung"], _share(one["finish_from"]), _share(one["finish_from_with_ssim"])]
        for one in advice["finish_from"]
    ]
    head = ("new rung", "no less accurate from", "nor less like the full picture from")
    budget, passing = advice["loss_budget"], advice["hand_over"]
    safe = "none of those tried" if budget["recommended"] is None else f"{budget['recommended']:g}"
    handed = ", ".join(passing["recommended"]) or "none of those tried"
    return "\n\n".join(
        [
            "## For the controller",
            f"`controller.finish_from`, by the rung that is announced to a picture of"
            f" {front['reference']}: the share of its steps from which on it may be decoded at once."
            f" No less: by at most {100 * SLACK:g} points of accuracy, or {SLACK:g} of SSIM.",
            _table(head, rows),
            f"`early_exit.convergence.loss_budget`, {budget['rule']}: {safe}.",
            f"`controller.apply: hand_over`, {passing['rule']}: {handed}.",
        ]
    )


def _share(share: float | None) -> str:
    return "never" if share is None else f"{share:g}"


def _percent(value: Estimate) -> str:
    return f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def _points(value: Estimate) -> str:
    points = Estimate(*(100 * one for one in (value.value, value.low, value.high)))
    return _range(points, "{:.1f}")


def _range(value: Estimate, form: str) -> str:
    shown = (form.format(one + 0.0) for one in (value.value, value.low, value.high))
    return "{} ({} to {})".format(*shown)


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
