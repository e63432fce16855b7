"""From the raw data of a demonstration to its results: predictions, deviations, verdicts.

Everything is computed from the files in the demonstration's folder, so that a report can be built
again without running anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.comparing import Comparison as Modelling
from analysis.comparison.comparing import as_plain
from analysis.comparison.comparing import compare as compare_with_models
from analysis.comparison.evidence import read_evidence
from analysis.comparison.profile import Profile, profile_from_table
from analysis.explanations import TOLERANCE, Explanation, deviation, effects_of, explain
from analysis.intervals import Band, effective_size, wilson
from analysis.plain import finite
from analysis.prediction import LATENCIES, WORK, Figures, TabulatedCosts, World, capacity_per_s
from analysis.runs import DataError, Request, Run, read_requests
from analysis.server_config import ServerSettings, read_settings
from analysis.simulator import Overheads
from analysis.verdicts import (
    Verdict,
    accuracy_kept,
    controlled_p95,
    loads_valid,
    nothing_refused,
    queue_growth,
    same_quality,
    static_queue_grows,
)
from pipelines.costs import CostTable

REPLICATIONS = 40
DRAWS = 10
"""Simulated runs of a prediction, and of each world with something of the run's own."""

META_FILE = "demo.json"
COSTS_FILE = "costs.json"
RESULTS_FILE = "results.json"
CONTROLLERS = ("static", "controlled")
LOW, HIGH = 0.6, 1.5
"""Offered load as a share of the full-step capacity."""


def run_name(controller: str, load: float) -> str:
    """Folder of one run."""
    return f"{controller}-{load:g}"


def unloaded_file(controller: str) -> str:
    """File of the requests that one server answered one at a time."""
    return f"unloaded-{controller}.jsonl"


@dataclass(frozen=True, slots=True)
class Unloaded:
    """One request at a time: medians, in seconds, and each service time."""

    latency_s: float
    service_s: tuple[float, ...]
    overheads: Overheads
    requests: int

    @property
    def overhead_s(self) -> float:
        """HTTP, Ray and the way between the parts: everything but the engine."""
        parts = self.overheads
        return parts.network_s + parts.grant_s + parts.response_s


def unloaded_from(requests: Sequence[Request]) -> Unloaded:
    """Medians over sequential requests; DataError if one was not served."""
    latencies, before, queue, service, after = [], [], [], [], []
    for request in requests:
        spent = (request.latency_s, request.received_s, request.queue_s, request.service_s)
        if request.status != 200 or request.after_s is None or None in spent:
            raise DataError("a request to the idle server was not served; see the server's log")
        latency_s, received_s, queue_s, service_s = (float(part or 0.0) for part in spent)
        latencies.append(latency_s)
        before.append(max(0.0, received_s - request.scheduled_s))
        queue.append(queue_s)
        service.append(service_s)
        after.append(max(0.0, request.after_s))
    if not requests:
        raise DataError("no request was sent to the idle server; run the demo again")
    medians = (float(np.median(part)) for part in (before, queue, after))
    return Unloaded(float(np.median(latencies)), tuple(service), Overheads(*medians), len(requests))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run beside its models."""

    run: Run
    controller: str
    load: float
    found: Modelling
    independent: float
    accuracy: float | None
    accuracy_band: Band | None
    explanations: tuple[Explanation, ...]

    @property
    def measured(self) -> Figures:
        """The run's own figures."""
        return self.found.measured

    @property
    def model(self) -> str:
        """What predicts the run: the queueing model if it has figures, else the simulator."""
        return "simulator" if self.found.queueing is None else "queueing model"

    @property
    def predicted(self) -> Figures:
        """By that model."""
        modelled = self.found.queueing or self.found.a_priori
        return modelled.figures

    @property
    def notes(self) -> tuple[str, ...]:
        """What to be careful with."""
        return self.found.notes


@dataclass(frozen=True, slots=True)
class Study:
    """A whole demonstration."""

    folder: Path
    meta: Mapping[str, Any]
    costs: CostTable
    settings: Mapping[str, ServerSettings]
    capacity_per_s: float
    unloaded: Mapping[str, Unloaded]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]

    def comparison(self, controller: str, load: float) -> Comparison:
        """The run of this controller at this load."""
        wanted = (controller, load)
        return next(c for c in self.comparisons if (c.controller, c.load) == wanted)


def read_study(
    folder: Path,
    replications: int = REPLICATIONS,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Study:
    """Compute everything from the folder's raw data. DataError or ValueError in one sentence."""
    meta = _read_meta(folder)
    costs = CostTable.load(folder / COSTS_FILE)
    settings = {name: read_settings(folder / f"{name}.yaml") for name in CONTROLLERS}
    unloaded = {
        name: unloaded_from(read_requests(folder / unloaded_file(name))) for name in CONTROLLERS
    }
    comparisons = []
    for load in (LOW, HIGH):
        for controller in CONTROLLERS:
            on_progress(f"predicting {run_name(controller, load)}")
            profile = profile_from_table(
                costs,
                unloaded[controller].overheads,
                "the cost table profiled before, and the idle server",
            )
            place = folder / run_name(controller, load)
            comparisons.append(
                compare(place, controller, load, settings[controller], profile, replications)
            )
    capacity = capacity_per_s(settings["static"], costs)
    problems = [*meta.get("problems", []), *profile_notes(settings["static"], costs, unloaded)]
    meta = {**meta, "problems": problems}
    study = Study(folder, meta, costs, settings, capacity, unloaded, tuple(comparisons), ())
    return Study(folder, meta, costs, settings, capacity, unloaded, study.comparisons, judge(study))


def world_of(settings: ServerSettings, costs: CostTable, overheads: Overheads) -> World:
    """The server as the models see it; ValueError if the table lacks a variant or a batch."""
    variants = settings.ladder.variants
    return World(settings, TabulatedCosts(costs, variants, settings.max_batch), overheads)


def _read_meta(folder: Path) -> Mapping[str, Any]:
    path = folder / META_FILE
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(
            f"{folder} holds no {META_FILE}; name the folder of a finished demo, such as runs/<time>"
        ) from None
    except ValueError:
        raise DataError(f"{path} is damaged (no JSON); run the demo again") from None
    if not isinstance(meta, dict):
        raise DataError(f"{path} is damaged (no object); run the demo again")
    return meta


def compare(
    folder: Path,
    controller: str,
    load: float,
    settings: ServerSettings,
    profile: Profile,
    replications: int = REPLICATIONS,
) -> Comparison:
    """Set the models beside a run. DataError or ValueError, one sentence, if that cannot be."""
    evidence = read_evidence(folder, settings)
    draws = min(DRAWS, replications)
    found = compare_with_models(evidence, profile, draws=draws, replications=replications)
    run = evidence.run
    quality = run.quality
    bare = Comparison(
        run=run,
        controller=controller,
        load=load,
        found=found,
        independent=effective_size(np.array([one.latency_s for one in run.outcomes])),
        accuracy=None if quality is None else quality.all_right,
        accuracy_band=None if quality is None else wilson(quality.hits, quality.pictures),
        explanations=(),
    )
    told = "simulation" if bare.model == "simulator" else bare.model
    return replace(bare, explanations=tuple(explain(found, bare.predicted, told)))


def profile_notes(
    settings: ServerSettings, costs: CostTable, unloaded: Mapping[str, Unloaded]
) -> list[str]:
    """Says so where the idle server's engine was not as fast as the cost table has it: then the
    loads were not the shares of capacity that they were meant to be."""
    best = settings.ladder.best
    known_s = costs.service_s(best.variant, best.steps)
    told = []
    for name, one in unloaded.items():
        found_s = float(np.median(one.service_s))
        if abs(found_s / known_s - 1) > TOLERANCE:
            told.append(
                f"alone, a picture took {found_s:.3f} s in the {name} server's engine and"
                f" {known_s:.3f} s by the cost table, so something else slowed one of the two and"
                " the loads are not quite the shares of capacity that they are called"
            )
    return told


def judge(study: Study) -> tuple[Verdict, ...]:
    """All claims, in the order in which the report tells them."""
    static_low, controlled_low = (study.comparison(c, LOW).run for c in CONTROLLERS)
    static_high, controlled_high = (study.comparison(c, HIGH).run for c in CONTROLLERS)
    expected_per_s = static_high.rate_per_s - study.capacity_per_s
    return (
        static_queue_grows(static_high, expected_per_s),
        controlled_p95(controlled_high, study.unloaded["static"].latency_s),
        nothing_refused(controlled_high),
        accuracy_kept(static_high, controlled_high),
        same_quality(static_low, controlled_low),
        loads_valid([comparison.run for comparison in study.comparisons]),
        predictions_close(study.comparisons),
    )


def predictions_close(comparisons: Sequence[Comparison]) -> Verdict:
    """Every latency figure within the tolerance of its prediction."""
    off = [
        f"{c.run.name} {name.removesuffix('_s')} {found:+.0%}"
        for c in comparisons
        for name in LATENCIES
        if (found := deviation(getattr(c.measured, name), getattr(c.predicted, name))) is None
        or abs(found) > TOLERANCE
    ]
    told = f"off by more: {', '.join(off)}; the reasons stand with the runs" if off else "all are"
    return Verdict("all predicted latencies are within 10 % of the measured", not off, True, told)


def as_json(study: Study) -> dict[str, Any]:
    """results.json: everything that the report says, as data. Not-a-number becomes null."""
    document = {
        "meta": dict(study.meta),
        "capacity_per_s": study.capacity_per_s,
        "unloaded": {name: _plain(one) for name, one in study.unloaded.items()},
        "runs": [_run_json(comparison) for comparison in study.comparisons],
        "verdicts": [{**_plain(v), "word": v.word} for v in study.verdicts],
    }
    return dict(finite(document))


def _run_json(c: Comparison) -> dict[str, Any]:
    return {
        "name": c.run.name,
        "controller": c.controller,
        "load": c.load,
        "rate_per_s": c.run.rate_per_s,
        "duration_s": c.run.duration_s,
        "seed": c.run.seed,
        "commit": c.run.commit,
        "valid": c.run.valid,
        "reasons": list(c.run.reasons),
        "measured": _plain(c.measured),
        "intervals_95": {name: _plain(band) for name, band in c.found.measured_bands.items()},
        "independent_latencies": c.independent,
        "model": c.model,
        "closed_form": None if c.found.queueing is None else _plain(c.found.queueing),
        "queueing_method": c.found.queueing_method,
        "predicted": _plain(c.predicted),
        "deviation": {
            name: deviation(getattr(c.measured, name), getattr(c.predicted, name))
            for name in (*LATENCIES, *WORK)
        },
        "a_priori": {
            "figures": _plain(c.found.a_priori.figures),
            "bands_95": {name: _plain(band) for name, band in c.found.a_priori.bands.items()},
        },
        "trace_driven": _plain(c.found.trace_driven.figures),
        "causes": {"effects": {name: effects_of(c.found, name) for name in LATENCIES}},
        "comparison": as_plain(c.found),
        "queue_growth_per_s": _plain(queue_growth(c.run)),
        "accuracy": c.accuracy,
        "accuracy_95": None if c.accuracy_band is None else _plain(c.accuracy_band),
        "quality": None if c.run.quality is None else _plain(c.run.quality),
        "explanations": [_plain(one) for one in c.explanations],
        "notes": list(c.notes),
    }


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON values, mappings inside it left as they are."""
    found: dict[str, Any] = {}
    for name in value.__dataclass_fields__:
        inner = getattr(value, name)
        found[name] = _plain(inner) if hasattr(inner, "__dataclass_fields__") else inner
    return found
