"""What a measured run tells: its requests, what its work cost, and its ways to and from the engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.lags import StartLags, start_lags, stays_of
from analysis.comparison.replays import Trace, trace_of
from analysis.comparison.sums import COSTS_FILE, Window, read_window
from analysis.prediction import Figures, figures_of
from analysis.runs import RUN_FILE, DataError, Run, read_run
from analysis.server_config import ServerSettings
from analysis.simulator import Template

POISSON = "poisson"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run of the load generator, with what the server told beside it.

    response_s is the mean time from the end of decoding to the client. `window` is empty for a run
    whose server did not tell what its work costs. `arrivals` is the kind of its arrival process.
    `free` says that its requests took whatever rung the server gave.
    """

    run: Run
    settings: ServerSettings
    window: Window = field(repr=False)
    trace: Trace = field(repr=False)
    starts: StartLags = field(repr=False)
    response_s: float
    started_unix_s: float
    arrivals: str = POISSON
    free: bool = True

    @property
    def engines(self) -> int:
        """How many the server has."""
        return sum(pool.replicas for pool in self.settings.pools)

    @property
    def over_s(self) -> float:
        """The last answer, seconds from the run's start."""
        return max(
            (r.answered_s for r in self.run.requests if r.answered_s is not None), default=0.0
        )

    @property
    def utilisation(self) -> float:
        """Share of the engines' time in boundaries until the last answer; nan if nobody counted."""
        if not (self.window.known and self.over_s > 0):
            return float("nan")
        busy_s = sum(sums.total_s for sums in self.window.whole.values())
        return busy_s / (self.engines * self.over_s)

    @property
    def measured(self) -> Figures:
        """The run's figures."""
        outcomes, requests = self.run.outcomes, len(self.run.requests)
        return figures_of(outcomes, requests, self.run.rejected, self.settings, self.utilisation)


def read_evidence(folder: Path, settings: ServerSettings) -> Evidence:
    """Everything that the run's folder holds. DataError, one sentence, if it is of no use."""
    run = read_run(folder)
    after_s = [one.after_s for one in run.requests if one.after_s is not None]
    if not after_s or not run.outcomes:
        raise DataError(f"no request of {folder} was served, so there is nothing to compare")
    unknown = {one.variant for one in run.outcomes} - set(settings.ladder.variants)
    if unknown:
        raise DataError(
            f"{folder} was served with variant {min(unknown)!r}, which the configuration's ladder"
            " lacks; name the server's own configuration with --config"
        )
    # Read once more for what the demonstration has no use for; `read_run` has checked the rest.
    content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    request = content.get("request") or {}
    return Evidence(
        run=run,
        settings=settings,
        window=read_window(folder / COSTS_FILE),
        trace=trace_of(run.requests, _asked(request, settings)),
        starts=start_lags(stays_of(run.requests), places_of(settings)),
        response_s=max(0.0, float(np.mean(after_s))),
        started_unix_s=float(content["started_at"]),
        arrivals=str(content.get("arrivals", POISSON)),
        free=request.get("steps") is None and "/" not in str(request.get("model") or ""),
    )


def _asked(request: Mapping[str, Any], settings: ServerSettings) -> Template:
    """What the load generator's requests asked for, as the server takes it."""
    quality = request.get("quality")
    floor = settings.ladder.last if quality is None else settings.ladder.floor_for(str(quality))
    return Template(floor, deadline_after_s=request.get("deadline_s"))


def places_of(settings: ServerSettings) -> int:
    """Places in all engines together."""
    return sum(pool.replicas * pool.max_batch for pool in settings.pools)
