"""Gathers the records of all worker processes and writes the run's folder."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from loadgen.audit import Audit, audit
from loadgen.plan import Plan
from loadgen.records import (
    NOT_SENT,
    PICTURES_FOLDER,
    RUN_FILE,
    Answer,
    RequestRecord,
    picture_name,
    read_answer,
    summarise,
    write_requests,
)


def commit() -> str | None:
    """The commit that this code was run from, "-dirty" appended if changed; None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def hardware() -> dict[str, Any]:
    """The generator's machine: processor, cores that this process may use, memory, platform."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    affinity = getattr(os, "sched_getaffinity", None)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "platform": platform.platform(),
    }


def origin(prompts: Path) -> dict[str, Any]:
    """What a run was made with, read before it starts: code, machine, versions, prompts' digest."""
    return {
        "prompts_sha256": hashlib.sha256(prompts.read_bytes()).hexdigest(),
        "commit": commit(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "locust": metadata.version("locust"),
    }


class Collector:
    """One run's results. ``workers`` processes each report records and then that they are done."""

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        start_unix: float,
        workers: int,
        made_with: Mapping[str, Any],
    ) -> None:
        self._folder = folder
        self._made_with = dict(made_with)
        self.plan = plan
        self.start_unix = start_unix
        self.workers = workers
        self._records: dict[int, RequestRecord] = {}
        self._done: set[int] = set()
        self._problems: list[str] = []

    @property
    def pending(self) -> list[int]:
        """Positions of the workers that have not reported that they are done."""
        return [position for position in range(self.workers) if position not in self._done]

    def add(self, entries: Iterable[tuple[RequestRecord, bytes | None]]) -> None:
        """Takes records in, and writes their pictures at once: no request is being sent by now."""
        for record, picture in entries:
            self._records[record.index] = record
            if picture is not None:
                pictures = self._folder / PICTURES_FOLDER
                pictures.mkdir(exist_ok=True)
                (pictures / picture_name(record.index)).write_bytes(picture)

    def done(self, position: int, problem: str | None = None) -> None:
        """Worker ``position`` has nothing more to report; ``problem`` says why it could not run."""
        self._done.add(position)
        if problem is not None:
            self._problems.append(problem)

    def finish(self) -> Audit:
        """Writes requests.jsonl and run.json with the audit; returns the audit."""
        records = [self._records.get(i) or self._not_sent(i) for i in range(len(self.plan))]
        verdict = audit(records, self.plan.schedule)
        silent = len(self.pending)
        if silent:
            self._problems.append(f"{silent} of {self.workers} load processes did not report.")
        if self._problems:
            verdict = Audit(
                False, (*self._problems, *verdict.reasons), verdict.notes, verdict.facts
            )
        write_requests(self._folder, records)
        text = json.dumps(self._run(records, verdict), indent=2, ensure_ascii=False)
        (self._folder / RUN_FILE).write_text(text + "\n", encoding="utf-8")
        return verdict

    def _not_sent(self, index: int) -> RequestRecord:
        scheduled_s = float(self.plan.schedule.times_s[index])
        prompt, seed = self.plan.prompt(index), self.plan.picture_seed(index)
        answer = Answer(index, scheduled_s, error=NOT_SENT)
        return read_answer(answer, None, prompt=prompt, seed=seed, want_picture=False)[0]

    def _run(self, records: list[RequestRecord], verdict: Audit) -> dict[str, Any]:
        schedule, config = self.plan.schedule, self.plan.config
        return {
            "url": config.url,
            "arrivals": schedule.kind,
            "arrival_parameters": dict(schedule.parameters),
            "rate_per_s": schedule.rate_per_s,
            "duration_s": schedule.duration_s,
            "seed": schedule.seed,
            "request": {
                "model": config.model,
                "quality": config.quality,
                "steps": config.steps,
                "deadline_s": config.deadline_s,
            },
            "prompts": Path(config.prompts).name,
            "timeout_s": config.timeout_s,
            "workers": self.workers,
            "started_at": round(self.start_unix, 6),
            **self._made_with,
            "summary": summarise(records, schedule.duration_s),
            "audit": verdict.as_dict(),
        }
