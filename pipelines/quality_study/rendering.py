"""From what was measured to the files of a study."""

from __future__ import annotations

from pathlib import Path

from pipelines.costs import CostTable
from pipelines.quality_study.figure import draw_figure
from pipelines.quality_study.pareto import pareto, save
from pipelines.quality_study.report import report
from pipelines.quality_study.results import Study, price


def render(study: Study, table: CostTable | None, out: Path) -> tuple[Path, ...]:
    """Write quality.json, quality.md, quality.svg and pareto.json into `out`; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    pricing = price(study, table)
    front = pareto(study, pricing)
    paths = [out / name for name in ("quality.json", "quality.md", "quality.svg", "pareto.json")]
    study.save(paths[0])
    paths[1].write_text(report(study, pricing, front), encoding="utf-8")
    draw_figure(study, pricing, paths[2])
    save(front, paths[3])
    return tuple(paths)
