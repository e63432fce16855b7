"""What a result was made with: command, commit, hardware, versions, seed and time."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def commit() -> str:
    """The commit of this tree, "-dirty" appended if it was changed; "unknown" outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def hardware() -> dict[str, Any]:
    """The processor's name, the cores that this process may use, and the memory in GiB."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": name,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gib": round(memory_bytes / 2**30, 1),
    }


def load_average() -> float | None:
    """Runnable processes, averaged over a minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def made_by(
    command: str, started: datetime, *, seed: int | None = None, packages: Sequence[str] = ()
) -> dict[str, Any]:
    """The header of a results file, written when all is measured; `packages` tell their versions."""
    versions = {"python": platform.python_version()}
    versions |= {package: metadata.version(package) for package in packages}
    machine = hardware()
    facts = {
        "command": command,
        "commit": commit(),
        "machine": f"{machine['processor']}, {machine['cores']} cores",
        "versions": versions,
        "started": started.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - started).total_seconds(), 1),
        "load_average": load_average(),
    }
    return facts if seed is None else facts | {"seed": seed}


def told(header: dict[str, Any]) -> str:
    """The header as a line of a Markdown page."""
    versions = ", ".join(f"{name} {version}" for name, version in header["versions"].items())
    seed = f"; seed {header['seed']}" if "seed" in header else ""
    return (
        f"`{header['command']}` at commit {header['commit']}, {header['started']},"
        f" {header['took_s']:g} s, load average {header['load_average']} at the end."
        f" {header['machine']}; {versions}{seed}."
    )
