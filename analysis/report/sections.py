"""The studies of the report in their order: a file, a function that writes of it, a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from analysis.document import Block, Bullets
from analysis.report.gathering import Results

BENCHMARKS, DEMO = "results", "demo"
"""The folders of results that the command line names."""

FINDINGS_MAX = 3
"""So many sentences of a study go to the abstract."""

_OWN = "analysis.report.studies"


@dataclass(frozen=True, slots=True)
class Study:
    """A section made of a results file.

    `file` lies in `folder`. `module` is loaded when the file is there: its function `prefix` +
    `blocks` writes the section; `findings` and `shortfalls`, if it has them, write sentences for the
    abstract and for the limits. `page` is where everything is, `command` makes the file.
    """

    title: str
    file: str
    module: str
    command: str
    page: str = ""
    prefix: str = ""
    folder: str = BENCHMARKS
    instead_of: str = ""

    def path(self, results: Path, demo: Path) -> Path:
        """The results file."""
        return (demo if self.folder == DEMO else results) / self.file

    def blocks(self, results: Results) -> list[Block]:
        """The section."""
        return list(self._function("blocks")(results))

    def findings(self, results: Results, blocks: Sequence[Block]) -> list[str]:
        """Sentences for the abstract: the first of its list where the module has no function."""
        if self._has("findings"):
            return list(self._function("findings")(results))[:FINDINGS_MAX]
        if self.module.startswith(_OWN):
            return []
        lists = [block for block in blocks if isinstance(block, Bullets)]
        return list(lists[0].items[:FINDINGS_MAX]) if lists else []

    def shortfalls(self, results: Results) -> list[str]:
        """Sentences for the limits."""
        return list(self._function("shortfalls")(results)) if self._has("shortfalls") else []

    def _function(self, name: str) -> Callable[[Results], Any]:
        function: Callable[[Results], Any] = getattr(import_module(self.module), self.prefix + name)
        return function

    def _has(self, name: str) -> bool:
        return hasattr(import_module(self.module), self.prefix + name)


STUDIES = (
    Study(
        "Validation",
        "validation.json",
        f"{_OWN}.validation",
        "make validate-full",
        "validation.md",
    ),
    Study(
        "Validation, short version",
        "validation_short.json",
        f"{_OWN}.validation",
        "make validate",
        "validation_short.md",
        instead_of="validation.json",
    ),
    Study(
        "Demonstration",
        "results.json",
        f"{_OWN}.demo",
        "make demo",
        "report.html",
        folder=DEMO,
    ),
    Study(
        "Improvement",
        "improvement.json",
        "analysis.improvement.page",
        "make improvement",
        "improvement.md",
    ),
    Study("ANOVA of execution time", "anova.json", "analysis.anova.page", "make anova", "anova.md"),
    Study(
        "Unpredictability",
        "unpredictability.json",
        "analysis.unpredictability.page",
        "python -m analysis unpredictability",
        "unpredictability.md",
    ),
    Study(
        "Estimation",
        "estimation.json",
        "analysis.estimation.page",
        "python -m analysis estimate RUN --out analysis/benchmarks/estimation",
        "estimation.md",
    ),
    Study("Planning", "plan.json", f"{_OWN}.planning", "make plan", "plan.md"),
    Study(
        "Violations against quality",
        "frontier.json",
        f"{_OWN}.frontier",
        "make frontier",
        "frontier.md",
    ),
    Study(
        "Quality against cost",
        "quality/pareto.json",
        f"{_OWN}.quality",
        "python -m pipelines quality --prompts 80 --threads 2 --out analysis/benchmarks/quality",
        "quality/quality.md",
    ),
    Study(
        "Costs of a step",
        "costs.json",
        f"{_OWN}.engine",
        "python -m pipelines profile --out analysis/benchmarks/costs.json",
        prefix="cost_",
    ),
    Study(
        "Costs of steps never measured",
        "cost_study.json",
        f"{_OWN}.engine",
        "python -m pipelines cost-study --out analysis/benchmarks/cost_study.json",
        "cost_study.md",
        prefix="transfer_",
    ),
    Study("The step engine", "engine.json", f"{_OWN}.engine", "make bench-engine", "engine.md"),
    Study(
        "The step engine on a card",
        "gpu.json",
        f"{_OWN}.engine",
        "make bench-gpu",
        "gpu.md",
        prefix="gpu_",
    ),
    Study(
        "The simulators against textbook servers",
        "textbook.json",
        f"{_OWN}.textbook",
        "make bench-policies",
        "textbook.md",
    ),
    Study(
        "The dispatcher's time an event",
        "dispatcher.json",
        f"{_OWN}.speeds",
        "make bench-policies",
        "dispatcher.md",
        prefix="dispatcher_",
    ),
    Study(
        "The speed of the policy simulator",
        "simulator.json",
        f"{_OWN}.speeds",
        "make bench-policies",
        "simulator.md",
        prefix="simulator_",
    ),
)
