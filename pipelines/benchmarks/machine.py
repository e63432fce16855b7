"""What a benchmark ran on, and whether the machine had other things to do meanwhile."""

from __future__ import annotations

import os
import platform
import shlex
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from pipelines.benchmarks.comparison import summarise
from pipelines.profiling import describe_commit, describe_machine

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "torchao", "numpy")
CALIBRATION_SIDE = 256  # of the square matrices that are multiplied
CALIBRATION_PRODUCTS = 40
LOOKS = 5
"""Runs of the calibration loop in one look at the machine; their median counts."""

LOAD_QUIET = 0.5
OTHERS_QUIET = 0.03
UNEVEN = 1.15
"""A machine is called busy beyond these: load average at the start, share of all processor time
that other processes took, and 90th percentile over minimum of the calibration loop."""


class Watch:
    """Watches the machine from the first measurement to the last.

    `look` runs a fixed piece of work and keeps its time, so that a slow spell shows. Call it before
    every pair.
    """

    def __init__(self, threads: int | None = None) -> None:
        """`threads` sets torch's for this process (None leaves them)."""
        if threads is not None:
            torch.set_num_threads(threads)
        self.started_at = datetime.now(UTC)
        self.looks_ms: list[float] = []
        self._load = load_average()
        self._processor_s = _processor_times_s()
        generator = torch.Generator("cpu").manual_seed(0)
        self._matrix = torch.randn(CALIBRATION_SIDE, CALIBRATION_SIDE, generator=generator)
        self._multiply_ms()  # the first one starts torch's threads

    def look(self) -> float:
        """Milliseconds that the calibration loop takes now (median of a few)."""
        now_ms = summarise([self._multiply_ms() for _ in range(LOOKS)]).median
        self.looks_ms.append(now_ms)
        return now_ms

    def _multiply_ms(self) -> float:
        started_s = time.perf_counter()
        for _ in range(CALIBRATION_PRODUCTS):
            torch.mm(self._matrix, self._matrix)
        return 1000 * (time.perf_counter() - started_s)

    def facts(self) -> dict[str, Any]:
        """Load averages (1 minute), others' share of the processors, the loop's times, warnings."""
        load_end, others = load_average(), self._others_share()
        unevenness = None
        if self.looks_ms:
            unevenness = summarise(self.looks_ms).high / min(self.looks_ms)
        return {
            "load_average_start": self._load,
            "load_average_end": load_end,
            "others_processor_share": others,
            "calibration_ms": [round(value, 3) for value in self.looks_ms],
            "calibration_unevenness": unevenness,
            "warnings": warnings(self._load, others, unevenness),
        }

    def _others_share(self) -> float | None:
        """Share of all processor time since the start that went to other processes, 0 to 1."""
        now_s = _processor_times_s()
        if self._processor_s is None or now_s is None:
            return None
        busy_s, idle_s, own_s = (
            after - before for after, before in zip(now_s, self._processor_s, strict=True)
        )
        return max(0.0, busy_s - own_s) / max(busy_s + idle_s, 1e-9)


def warnings(
    load_start: float | None, others: float | None, unevenness: float | None
) -> tuple[str, ...]:
    """Sentences that say why the figures should not be trusted; empty on a quiet machine."""
    said: list[str] = []
    if load_start is not None and load_start > LOAD_QUIET:
        said.append(f"The machine was busy: load average {load_start:.2f} at the start.")
    if others is not None and others > OTHERS_QUIET:
        said.append(
            f"The machine was busy: other processes took {others:.0%} of the processors' time."
        )
    if unevenness is not None and unevenness > UNEVEN:
        said.append(
            "The machine was uneven: a fixed piece of work took "
            f"{unevenness:.2f} times its shortest time in the slowest tenth of the looks."
        )
    return tuple(said)


def describe_run(
    arguments: Sequence[str],
    watch: Watch,
    *,
    seed: int,
    device: str = "cpu",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The header of a results file: command, commit, hardware, versions, seed, threads, load.

    `arguments` are those after `python -m pipelines.benchmarks`; call it when all is measured.
    """
    return {
        "command": shlex.join(["python", "-m", "pipelines.benchmarks", *arguments]),
        "commit": describe_commit(),
        "started_at": watch.started_at.isoformat(timespec="seconds"),
        "duration_s": round((datetime.now(UTC) - watch.started_at).total_seconds(), 1),
        "hardware": describe_machine(torch.device(device)),
        "memory_gib": _memory_gib(),
        "versions": {"python": platform.python_version()} | _versions(),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "settings": dict(settings or {}),
        **watch.facts(),
    }


def load_average() -> float | None:
    """Runnable processes, averaged over a minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # optional here, and its absence is told by its not being listed
    return found


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _processor_times_s() -> tuple[float, float, float] | None:
    """Seconds that all processors were busy and idle, and that this process used; Linux only."""
    table = Path("/proc/stat")
    if not table.exists():
        return None
    ticks = [
        int(field) for field in table.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    ]
    per_s = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    busy = sum(ticks[:8]) - idle  # guests' time (fields 9 and 10) is counted in user's already
    own = time.process_time()
    return busy / per_s, idle / per_s, own
