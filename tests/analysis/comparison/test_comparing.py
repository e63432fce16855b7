"""A run beside its models: predicted, replayed, and the difference shared out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from analysis.comparison.budget import Entry
from analysis.comparison.comparing import (
    A_PRIORI,
    MEASURED,
    QUEUEING,
    TOLD,
    TRACE_DRIVEN,
    UNEXPLAINED,
    Comparison,
    as_plain,
    compare,
)
from analysis.comparison.ensembles import BUDGETED
from analysis.comparison.evidence import read_evidence
from analysis.comparison.profile import profile_from_table
from analysis.comparison.worlds import COSTS, PACE, RESPONSE, WAYS
from analysis.runs import DataError
from analysis.server_config import ServerSettings
from policies.controllers import Split, SplitBand
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings

LOAD, SECONDS, SEED = 0.6, 25.0, 5
PROFILE = profile_from_table(cost_table(), OVERHEADS)
TIMED = ("mean_s", "p50_s", "p95_s")

Compared = Callable[..., Comparison]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    return settings(tmp_path_factory.mktemp("server"), "static")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    def one(truth: Truth, load: float = LOAD, **how: object) -> Comparison:
        folder = tmp_path_factory.mktemp("runs") / "run"
        write_measured(folder, truth, load=load, seconds=SECONDS, seed=SEED, **how)  # type: ignore[arg-type]
        evidence = read_evidence(folder, truth.settings)
        return compare(evidence, PROFILE, draws=2, replications=4)

    return one


@pytest.fixture(scope="module")
def honest(compared: Compared, static: ServerSettings) -> Comparison:
    """The server is as the profile says."""
    return compared(Truth(static))


def entry(comparison: Comparison, name: str) -> Entry:
    return next(one for one in comparison.budget.entries if one.name == name)


def figure(comparison: Comparison, milestone: str, name: str) -> float:
    found = {one.name: one.figures for one in comparison.budget.milestones}
    return found[milestone][name]


def test_a_run_of_the_known_server_is_replayed_to_the_millisecond(honest: Comparison) -> None:
    for name in TIMED:
        assert getattr(honest.trace_driven.figures, name) == pytest.approx(
            getattr(honest.measured, name), abs=0.002
        )
        assert abs(entry(honest, UNEXPLAINED).effects[name]) < 0.002
        for cause in (COSTS, PACE, WAYS, RESPONSE):
            assert abs(entry(honest, cause).effects[name]) < 0.005, cause


def test_a_run_of_the_known_server_is_predicted_within_its_band(honest: Comparison) -> None:
    assert honest.a_priori.figures.mean_s == pytest.approx(honest.measured.mean_s, rel=0.1)
    band = honest.a_priori.bands["mean_s"]
    assert band.low < honest.a_priori.figures.mean_s < band.high
    assert honest.a_priori_arrivals_only["mean_s"] == band  # a table tells no changes of speed


def test_entries_add_up_from_the_queueing_model_to_the_measurement(honest: Comparison) -> None:
    for name in BUDGETED:
        if name != "utilisation":  # the file of costs here is not what this run did
            whole = figure(honest, MEASURED, name) - figure(honest, QUEUEING, name)
            parts = sum(one.effects[name] for one in honest.budget.entries)
            assert parts == pytest.approx(whole, abs=1e-9), name


def test_every_segment_adds_up_between_its_milestones(honest: Comparison) -> None:
    names = [one.name for one in honest.budget.milestones]
    assert names == [QUEUEING, A_PRIORI, TRACE_DRIVEN, MEASURED]
    for (before, after), segment in zip(pairwise(names), honest.budget.segments, strict=True):
        for name in BUDGETED:
            mine = [one for one in honest.budget.entries if one.segment == segment]
            whole = figure(honest, after, name) - figure(honest, before, name)
            assert sum(one.effects[name] for one in mine) == pytest.approx(whole, abs=1e-9)


def test_milestones_are_the_figures_of_the_table(honest: Comparison) -> None:
    assert honest.queueing is not None
    for name in BUDGETED:
        for milestone, figures in (
            (QUEUEING, honest.queueing.figures),
            (A_PRIORI, honest.a_priori.figures),
            (TRACE_DRIVEN, honest.trace_driven.figures),
            (MEASURED, honest.measured),
        ):
            assert figure(honest, milestone, name) == getattr(figures, name)


def test_a_controlled_server_is_compared_too(
    compared: Compared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = settings(tmp_path_factory.mktemp("server"), "controlled")
    found = compared(Truth(server), load=1.2)
    assert found.queueing is not None
    assert "bind in flight" in found.queueing_method
    assert found.trace_driven.figures.degraded_share == pytest.approx(
        found.measured.degraded_share, abs=0.01
    )
    for name in BUDGETED:
        whole = figure(found, MEASURED, name) - figure(found, QUEUEING, name)
        assert sum(one.effects[name] for one in found.budget.entries) == pytest.approx(whole)


def test_overload_has_no_queueing_model_but_is_predicted(
    compared: Compared, static: ServerSettings
) -> None:
    found = compared(Truth(static), load=1.5)
    assert found.queueing is None
    assert "the queue grows by" in found.queueing_method
    assert found.budget.milestones[0].name == A_PRIORI
    assert found.trace_driven.figures.mean_s == pytest.approx(found.measured.mean_s, rel=0.01)


def test_a_run_without_costs_is_replayed_with_the_profile_s_and_says_so(
    compared: Compared, static: ServerSettings, honest: Comparison
) -> None:
    found = compared(Truth(static), costs=False)
    assert any("has no costs.jsonl" in note for note in found.notes)
    assert not any("has no costs.jsonl" in note for note in honest.notes)
    assert math.isnan(found.measured.utilisation)
    assert COSTS not in [one.name for one in found.budget.entries]
    assert found.trace_driven.figures.mean_s == pytest.approx(found.measured.mean_s, abs=0.002)


def test_a_controller_that_cannot_be_told_the_time_is_replayed_at_a_steady_speed(
    compared: Compared, static: ServerSettings
) -> None:
    split = Split((SplitBand(math.inf, (1.0, 0.0, 0.0)),))
    policy = replace(static.policy, controller=split)
    found = compared(Truth(replace(static, policy=policy, controlled=True)))
    assert any("speed is taken as steady" in note for note in found.notes)
    assert PACE not in [one.name for one in found.budget.entries]
    assert found.queueing is None
    assert "no controller of the kind Split" in found.queueing_method


def test_plain_data_is_json_without_what_is_no_number(
    compared: Compared, static: ServerSettings
) -> None:
    plain = as_plain(compared(Truth(static), costs=False))
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert again["measured"]["utilisation"] is None
    assert set(again["a_priori"]) == {"figures", "bands", "method"}
    assert again["a_priori"]["bands"]["mean_s"].keys() == {"low", "high"}
    assert again["budget"]["entries"][0].keys() == {
        "segment",
        "name",
        "effects",
        "standard_errors",
        "order_dependence",
    }


def test_progress_is_told_as_often_as_announced(tmp_path: Path, static: ServerSettings) -> None:
    write_measured(tmp_path / "run", Truth(static), load=LOAD, seconds=8.0, seed=1)
    told: list[str] = []
    evidence = read_evidence(tmp_path / "run", static)
    compare(evidence, PROFILE, draws=2, replications=2, tell=told.append)
    assert len(told) == TOLD


def test_a_run_that_asked_for_its_own_steps_is_refused(
    tmp_path: Path, static: ServerSettings
) -> None:
    folder = write_measured(tmp_path / "run", Truth(static), load=LOAD, seconds=8.0, seed=1)
    run = json.loads((folder / "run.json").read_text())
    run["request"]["steps"] = 10
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(DataError, match="without --steps"):
        compare(read_evidence(folder, static), PROFILE)


def test_chance_needs_two_draws(tmp_path: Path, static: ServerSettings) -> None:
    folder = write_measured(tmp_path / "run", Truth(static), load=LOAD, seconds=8.0, seed=1)
    with pytest.raises(ValueError, match="at least 2 draws"):
        compare(read_evidence(folder, static), PROFILE, draws=1)


def test_a_short_run_says_what_it_cannot_tell(honest: Comparison) -> None:
    assert any("few for a p99" in note for note in honest.notes)
