"""Results files: read, named where absent or damaged, and what each says of its own making."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from analysis.provenance import ROOT

Results: TypeAlias = Mapping[str, Any]
"""The content of a results file."""


@dataclass(frozen=True, slots=True)
class Made:
    """How, when and on what a results file was made; None or empty where it does not say."""

    command: str
    commit: str
    machine: str
    started: datetime | None
    took_s: float | None
    load_average: float | None
    versions: Mapping[str, str]
    seed: str


def read_results(path: Path, command: str) -> Results | None:
    """A results file; None if there is none. ValueError, one sentence, if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # not text and not JSON are both ValueErrors
        raise ValueError(
            f"{told_path(path)} cannot be read ({error}); make it again with `{command}`,"
            " or remove it"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(
            f"{told_path(path)} holds no JSON object; make it again with `{command}`, or remove it"
        )
    return content


def made(results: Results) -> Made:
    """What a results file says of its own making, under the names that it has in any of them.

    ValueError or KeyError if it says nothing, TypeError if what it says is of another kind.
    """
    header = _header(results)
    machine = header.get("machine", header.get("hardware"))
    if isinstance(machine, dict):
        machine = f"{machine['processor']}, {machine['cores']} cores"
    started = header.get("started", header.get("started_at", header.get("began")))
    took_s = header.get("took_s", header.get("duration_s"))
    load = header.get("load_average", header.get("load_average_end"))
    seed = header.get("seed", header.get("seeds", ""))
    if isinstance(seed, dict):
        seed = ", ".join(str(each) for each in seed.values())
    versions = {str(name): str(number) for name, number in header.get("versions", {}).items()}
    if "python" in header:
        versions = {"python": str(header["python"])} | versions
    return Made(
        command=str(header.get("command", "")),
        commit=_short(str(header["commit"])),
        machine=str(machine or ""),
        started=None if started is None else datetime.fromisoformat(started).astimezone(UTC),
        took_s=None if took_s is None else float(took_s),
        load_average=None if load is None else float(load),
        versions=versions,
        seed=str(seed),
    )


def _short(commit: str) -> str:
    name, dash, state = commit.partition("-")
    return name[:13] + dash + state  # 12 digits, and perhaps a + for what was not committed


def _header(results: Results) -> dict[str, Any]:
    for name in ("made_by", "header", "meta", "study"):
        header = results.get(name)
        if isinstance(header, dict):
            return header
    return dict(results)


def told_path(path: Path) -> str:
    """A path as it is called in the project; one outside it by its last two parts."""
    absolute = path.resolve()
    if absolute.is_relative_to(ROOT):
        return str(absolute.relative_to(ROOT))
    return str(Path(*absolute.parts[-2:]))


def told_made(one: Made, target: str) -> str:
    """How a file was made, for the middle of a sentence; `target` where it names no command."""
    parts = [f"`{one.command or target}`", f"at commit {one.commit}"]
    if one.started is not None:
        parts.append(f"on {one.started:%Y-%m-%d %H:%M} UTC")
    if one.took_s is not None:
        parts.append(f"in {one.took_s:,.0f} s")
    if one.machine:
        parts.append(f"on {one.machine}")
    if one.load_average is not None:
        parts.append(f"with a load average of {one.load_average:g} at the end")
    if one.seed:
        parts.append(f"by seed {one.seed}")
    return "made by " + ", ".join(parts)
