"""What a run's folder tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison.evidence import read_evidence
from analysis.runs import DataError
from analysis.server_config import ServerSettings
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, STARTED_UNIX_S, settings


@pytest.fixture
def static(tmp_path: Path) -> ServerSettings:
    return settings(tmp_path, "static")


@pytest.fixture
def folder(tmp_path: Path, static: ServerSettings) -> Path:
    return write_measured(tmp_path / "run", Truth(static), load=0.6, seconds=10.0, seed=2)


def change(folder: Path, **changes: Any) -> None:
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, **changes}))


def test_the_ways_and_the_start_are_read(folder: Path, static: ServerSettings) -> None:
    found = read_evidence(folder, static)
    assert found.response_s == pytest.approx(OVERHEADS.response_s, abs=1e-6)
    assert found.started_unix_s == STARTED_UNIX_S
    assert (found.arrivals, found.free, found.engines) == ("poisson", True, 1)
    assert len(found.trace.received_s) == len(found.run.requests)
    assert found.starts.arrivals


def test_utilisation_is_the_counted_work_over_the_time_to_the_last_answer(
    folder: Path, static: ServerSettings
) -> None:
    found = read_evidence(folder, static)
    busy_s = sum(sums.total_s for sums in found.window.whole.values())
    assert found.measured.utilisation == pytest.approx(busy_s / found.over_s)
    assert found.over_s == max(request.answered_s or 0.0 for request in found.run.requests)


def test_what_requests_asked_for_reaches_the_replay(folder: Path, static: ServerSettings) -> None:
    change(folder, request={"model": None, "quality": "medium", "steps": None, "deadline_s": 3.0})
    asked = read_evidence(folder, static).trace.asked
    assert asked is not None
    assert (asked.floor, asked.deadline_after_s) == (1, 3.0)


@pytest.mark.parametrize(
    "request_of_all",
    [{"model": "shapes/turbo", "steps": None}, {"model": None, "steps": 4}],
)
def test_a_probe_is_told_from_a_load(
    folder: Path, static: ServerSettings, request_of_all: dict[str, Any]
) -> None:
    change(folder, request=request_of_all)
    assert not read_evidence(folder, static).free


def test_a_run_of_another_server_is_refused(folder: Path, static: ServerSettings) -> None:
    lines = (folder / "requests.jsonl").read_text().replace('"full"', '"other"')
    (folder / "requests.jsonl").write_text(lines)
    with pytest.raises(DataError, match="variant 'other'"):
        read_evidence(folder, static)


def test_a_run_that_served_nobody_is_refused(folder: Path, static: ServerSettings) -> None:
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    refused = [{**line, "status": 429, "serving": None, "answered_s": None} for line in lines]
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in refused))
    with pytest.raises(DataError, match="nothing to compare"):
        read_evidence(folder, static)
