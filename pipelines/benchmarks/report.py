"""Results as files: one JSON with every number, and a short page that says which claims hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.benchmarks.comparison import Interval, Summary

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure with its goal. `figure` None: not measured, and `note` says why."""

    name: str
    figure: float | None
    goal: float
    at_most: bool
    interval: Interval | None = None
    unit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """ "holds", "fails" or "not measured", by the figure alone."""
        if self.figure is None:
            return "not measured"
        return "holds" if self._meets(self.figure) else "fails"

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval lies on the figure's side of the goal."""
        if self.figure is None or self.interval is None:
            return False
        ends = (self.interval.low, self.interval.high)
        return all(self._meets(end) == self._meets(self.figure) for end in ends)

    def _meets(self, value: float) -> bool:
        return value <= self.goal if self.at_most else value >= self.goal


def claim_of(
    name: str, summary: Summary, goal: float, *, at_most: bool, unit: str = "", note: str = ""
) -> Claim:
    """A claim about a sample's median."""
    return Claim(name, summary.median, goal, at_most, summary.interval, unit, note)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows for the page; numbers are formatted by whoever makes the rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One subject: what was done, in a few sentences, its claims, a table, and the raw numbers."""

    title: str
    text: str
    claims: tuple[Claim, ...] = ()
    table: Table | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)


def write_report(
    path: Path, title: str, header: Mapping[str, Any], sections: Sequence[Section]
) -> None:
    """Write `path` (JSON) and beside it the page, with the suffix .md."""
    content = {
        "format": FORMAT,
        "title": title,
        "header": header,
        "claims": [_as_data(claim) for section in sections for claim in section.claims],
        "sections": {
            section.title: {"text": section.text, "measurements": section.measurements}
            for section in sections
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(_page(title, header, sections), encoding="utf-8")


def figure_text(summary: Summary, digits: int = 3, scale: float = 1.0) -> str:
    """Median and interval, such as "1.02 (1.01 to 1.04)"; `scale` changes the unit."""
    values = (summary.median, summary.interval.low, summary.interval.high)
    middle, low, high = (f"{scale * value:.{digits}g}" for value in values)
    return f"{middle} ({low} to {high})"


def _as_data(claim: Claim) -> dict[str, Any]:
    data = asdict(claim)
    if claim.interval is not None:
        ends = (claim.interval.low, claim.interval.high)
        data["interval"] = [end if abs(end) != float("inf") else None for end in ends]
    return data | {"verdict": claim.verdict, "is_sure": claim.is_sure}


def _page(title: str, header: Mapping[str, Any], sections: Sequence[Section]) -> str:
    lines = [f"# {title}", "", *_header_lines(header), ""]
    claims = [claim for section in sections for claim in section.claims]
    if claims:
        lines += ["| claim | figure (95 % interval) | goal | |", "| --- | --- | --- | --- |"]
        lines += [_claim_line(claim) for claim in claims]
        lines.append("")
    for section in sections:
        lines += [f"## {section.title}", "", section.text, ""]
        if section.table is not None:
            lines += _table_lines(section.table)
            lines.append("")
    return "\n".join(lines)


def _header_lines(header: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
    lines = [
        f"`{header['command']}` at commit {header['commit']}, {header['started_at']}, "
        f"{header['duration_s']:.0f} s.",
        "",
        f"{header['hardware']}, {header['memory_gib']} GiB; {versions}. Seed {header['seed']}, "
        f"{header['threads']} threads. Load average {header['load_average_start']} at the start, "
        f"{header['load_average_end']} at the end.",
    ]
    if header["others_processor_share"] is not None:
        lines[-1] += (
            f" Other processes took {header['others_processor_share']:.1%} of the processors."
        )
    for warning in header["warnings"]:
        lines += ["", f"**{warning}**"]
    if header["settings"]:
        told = ", ".join(f"{name} {value}" for name, value in header["settings"].items())
        lines += ["", f"Settings: {told}."]
    return lines


def _claim_line(claim: Claim) -> str:
    sign = "at most" if claim.at_most else "at least"
    goal = f"{sign} {claim.goal:g} {claim.unit}".strip()
    if claim.figure is None:
        return f"| {claim.name} | {claim.note} | {goal} | not measured |"
    figure = f"{claim.figure:.3g}"
    if claim.interval is not None:
        figure += f" ({claim.interval.low:.3g} to {claim.interval.high:.3g})"
    doubt = "" if claim.interval is None or claim.is_sure else " (the interval reaches across)"
    told = f"{figure} {claim.unit}".strip()
    return f"| {claim.name} | {told} | {goal} | {claim.verdict}{doubt} |"


def _table_lines(table: Table) -> list[str]:
    head = "| " + " | ".join(table.columns) + " |"
    rule = "| " + " | ".join("---" for _ in table.columns) + " |"
    return [head, rule, *("| " + " | ".join(row) + " |" for row in table.rows)]
