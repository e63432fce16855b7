"""Simulated runs are read as measured ones are, by the analysis and by the load generator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.records import Result
from analysis.run_records import write_run
from analysis.runs import TOO_MANY, read_run
from analysis.simulator import Arrival, Overheads, Template, simulate
from loadgen.arrivals import Arrivals, make
from loadgen.records import read_requests, write_requests
from policies.controllers import Hysteresis, Static
from policies.nouns import Ladder, Rung
from tests.analysis.simulated_servers import ANY, AT_START, LADDER, server

MADE_BY = {"commit": "abc1234", "machine": "a machine", "python": "3"}
NETWORK_S = 0.004


def schedule_of(rate_per_s: float = 20.0, duration_s: float = 6.0) -> Arrivals:
    return make("poisson", rate_per_s=rate_per_s, duration_s=duration_s, seed=3)


def simulated(schedule: Arrivals, template: Template = ANY) -> Result:
    control = Hysteresis((2, 5), (0, 2), min_hold_s=0.2)
    overheads = Overheads(NETWORK_S, 0.002, 0.006)
    what = server(control, overheads=overheads, max_waiting=12)
    arrivals = [Arrival(t, template) for t in schedule.times_s.tolist()]
    return simulate(arrivals, what)


def written(folder: Path, result: Result, schedule: Arrivals) -> Path:
    write_run(folder, result, schedule, LADDER, MADE_BY, network_s=NETWORK_S)
    return folder


def test_a_simulated_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    schedule = schedule_of()
    result = simulated(schedule)
    run = read_run(written(tmp_path / "run", result, schedule))
    assert (run.rate_per_s, run.duration_s, run.seed) == (20.0, 6.0, 3)
    assert (run.commit, run.valid) == ("abc1234", True)
    assert len(run.requests) == len(result.records)
    for request, record in zip(run.requests, result.records, strict=True):
        assert request.scheduled_s == pytest.approx(record.scheduled_s, abs=1e-6)
        assert request.received_s == pytest.approx(record.scheduled_s + NETWORK_S, abs=2e-6)
        outcome = request.outcome
        assert outcome is not None
        assert outcome.latency_s == pytest.approx(record.latency_s, abs=2e-6)
        assert (outcome.variant, outcome.steps) == (record.variant, record.steps_run)
        assert request.early_exit == record.early_exit
        assert request.after_s == pytest.approx(
            record.answered_s - (record.finished_s or 0), abs=1e-5
        )
    assert {request.early_exit for request in run.requests} >= {"none", "replan"}


def test_the_counts_of_the_dispatcher_are_told_every_second(tmp_path: Path) -> None:
    schedule = schedule_of()
    result = simulated(schedule)
    status = read_run(written(tmp_path / "run", result, schedule)).status
    assert [point.t_s for point in status] == [float(second) for second in range(len(status))]
    for point in status:
        before = [p for p in result.timeline if p.t_s <= point.t_s][-1]
        assert (point.waiting, point.running, point.rung) == before[1:]


def test_refused_dropped_and_given_up_requests_are_told_as_the_server_tells_them(
    tmp_path: Path,
) -> None:
    schedule = schedule_of(rate_per_s=80.0, duration_s=4.0)
    hurried = replace(ANY, floor=0, deadline_after_s=0.5, hang_up_after_s=0.9)
    result = simulated(schedule, hurried)
    folder = written(tmp_path / "run", result, schedule)
    told = {record.status: record for record in result.records}
    assert told.keys() == {"ok", "rejected", "expired", "cancelled"}
    lines = {record.index: record for record in read_requests(folder)}
    found = {
        status: (lines[record.index].status, lines[record.index].error)
        for status, record in told.items()
    }
    assert found == {
        "ok": (200, None),
        "rejected": (TOO_MANY, "queue_full"),
        "expired": (504, "deadline_exceeded"),
        "cancelled": (None, "timeout"),
    }
    assert lines[told["cancelled"].index].latency_s is None


def test_the_load_generator_reads_and_writes_the_same_lines(tmp_path: Path) -> None:
    schedule = schedule_of()
    folder = written(tmp_path / "run", simulated(schedule), schedule)
    (tmp_path / "again").mkdir()
    write_requests(tmp_path / "again", read_requests(folder))
    name = "requests.jsonl"
    assert (tmp_path / "again" / name).read_text() == (folder / name).read_text()


def test_what_only_a_simulation_knows_stands_with_the_serving(tmp_path: Path) -> None:
    schedule = schedule_of()
    result = simulated(schedule, replace(ANY, tenant="a", tier="flex", deadline_after_s=60.0))
    folder = written(tmp_path / "run", result, schedule)
    line = json.loads((folder / "requests.jsonl").read_text().splitlines()[0])
    serving, record = line["serving"], result.records[0]
    assert (serving["tenant"], serving["tier"], serving["late"]) == ("a", "flex", False)
    assert serving["engine_s"] == pytest.approx(record.engine_s, abs=1e-6)
    assert (serving["quality_admitted"], serving["quality_delivered"]) == (
        LADDER[record.rung_admitted or 0].quality,
        LADDER[record.rung_delivered or 0].quality,
    )


def test_steps_without_guidance_are_counted(tmp_path: Path) -> None:
    cut = Ladder((Rung("full", 25, "high"), Rung("full", 25, "medium", guidance_share=0.6)))
    result = simulate([Arrival(0.0, Template(1))], server(Static(1), ladder=cut, rules=AT_START))
    write_run(tmp_path / "run", result, schedule_of(), cut, MADE_BY)
    (request,) = read_run(tmp_path / "run").requests
    assert request.cut_steps == 10


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    schedule = schedule_of()
    result = simulated(schedule)
    written(tmp_path / "run", result, schedule)
    with pytest.raises(ValueError, match="name a new folder"):
        written(tmp_path / "run", result, schedule)
