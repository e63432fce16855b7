"""Run folders are read as they were written, and damage is told in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.runs import DataError, read_requests, read_run
from tests.analysis.synthetic_demo import OVERHEADS, request, run, world, write_run


def written(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", world(tmp_path, "controlled"), 9.0, 6.0, 3)
    return tmp_path / "run"


def test_a_run_is_read_back(tmp_path: Path) -> None:
    found = read_run(written(tmp_path))
    assert found.valid
    assert len(found.outcomes) == len(found.requests)
    assert (found.rejected, found.lost) == (0, 0)
    assert found.quality is not None
    assert found.quality.hits == pytest.approx(360)
    assert found.quality.by_rung == {"full@25": (400, 0.9)}
    first = found.requests[0]
    assert first.after_s == pytest.approx(OVERHEADS.response_s)
    assert found.status[0].t_s == pytest.approx(0.0, abs=1e-3)


def test_guidance_that_was_cut_is_counted_only_where_there_was_any(tmp_path: Path) -> None:
    folder = written(tmp_path)
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()[:3]]
    told: tuple[dict[str, float], ...] = (
        {"guided_steps": 10},
        {"guided_steps": 0, "guidance_scale": 1.0},
        {},
    )
    for line, facts in zip(lines, told, strict=True):
        serving = {"steps_run": 25, "guidance_scale": 2.5, **facts}
        line["serving"] = {**line["serving"], **serving}
    del lines[2]["serving"]["guided_steps"]  # as runs were written before there was a cut
    path = tmp_path / "three.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [r.cut_steps for r in read_requests(path)] == [15, 0, 0]


def test_waiting_counts_from_receipt_to_start() -> None:
    found = run(
        [
            request(0, scheduled_s=0.0, received_s=0.0, queue_s=0.0),
            request(1, scheduled_s=1.0, received_s=1.0, queue_s=2.0),
            request(2, scheduled_s=2.0, received_s=2.0, queue_s=3.0),
            request(3, scheduled_s=2.5, received_s=2.5, status=429),
            request(4, scheduled_s=6.0, received_s=None, queue_s=None, status=None),
        ]
    )
    assert found.waiting_at([0.5, 1.5, 2.5, 4.0, 5.5, 9.0]).tolist() == [0, 1, 2, 1, 0, 1]


def test_refused_and_lost_requests_are_told_apart() -> None:
    found = run([request(0), request(1, status=429), request(2, status=500, variant=None)])
    assert (len(found.outcomes), found.rejected, found.lost) == (1, 1, 1)


def test_status_and_quality_may_be_missing(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "status.jsonl").unlink()
    (folder / "quality.json").unlink()
    found = read_run(folder)
    assert found.status == ()
    assert found.quality is None


@pytest.mark.parametrize("name", ["run.json", "requests.jsonl", "status.jsonl", "quality.json"])
def test_damage_is_told_with_the_file(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path)
    (folder / name).write_text('{"half": ')
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_run(folder)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path)
    content = json.loads((folder / "run.json").read_text())
    del content["audit"]
    (folder / "run.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="no complete run"):
        read_run(folder)
    (folder / "requests.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="holds no requests"):
        read_requests(folder / "requests.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_run(tmp_path / "nowhere")
