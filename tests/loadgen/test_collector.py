"""The collector writes a run's folder whole, whatever the load processes reported."""

from __future__ import annotations

import json
from pathlib import Path

from loadgen.collector import Collector, origin
from loadgen.config import RunConfig
from loadgen.plan import Plan, make_plan
from loadgen.records import Answer, read_answer, read_requests

BODY = json.dumps({"data": [{"b64_json": "aGVsbG8=", "serving": {"service_ms": 100.0}}]}).encode()


def plan_for(prompts: Path) -> Plan:
    config = RunConfig(
        url="http://127.0.0.1:8000",
        out="out",
        arrivals="poisson",
        rate_per_s=20.0,
        duration_s=3.0,
        seed=5,
        times_file=None,
        burst_factor=5.0,
        burst_share=0.1,
        mean_burst_s=5.0,
        prompts=str(prompts),
        save_pictures=True,
        model=None,
        quality="high",
        steps=None,
        deadline_s=None,
        timeout_s=300.0,
    )
    return make_plan(config)


def add(collector: Collector, indices: range) -> None:
    for index in indices:
        at_s = float(collector.plan.schedule.times_s[index])
        answer = Answer(index, at_s, at_s, at_s + 0.1, at_s, 200)
        prompt, seed = collector.plan.prompt(index), collector.plan.picture_seed(index)
        collector.add([read_answer(answer, BODY, prompt=prompt, seed=seed, want_picture=True)])


def test_a_whole_run_is_written_with_pictures_and_facts(tmp_path: Path, prompts_file: Path) -> None:
    plan = plan_for(prompts_file)
    collector = Collector(tmp_path, plan, 1000.0, 2, origin(prompts_file))
    add(collector, range(len(plan)))
    collector.done(1)
    assert collector.pending == [0]
    collector.done(0)
    verdict = collector.finish()
    assert verdict.valid, verdict.reasons
    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert run["audit"]["valid"] is True
    assert (run["arrivals"], run["rate_per_s"], run["seed"]) == ("poisson", 20.0, 5)
    assert run["request"]["quality"] == "high"
    assert run["started_at"] == 1000.0
    assert run["hardware"]["cores"] >= 1
    assert run["summary"]["served"] == len(plan)
    records = read_requests(tmp_path)
    assert [record.index for record in records] == list(range(len(plan)))
    assert all((tmp_path / "pictures" / str(r.image)).read_bytes() == b"hello" for r in records)


def test_requests_without_a_report_are_lines_too_and_make_the_run_invalid(
    tmp_path: Path, prompts_file: Path
) -> None:
    plan = plan_for(prompts_file)
    collector = Collector(tmp_path, plan, 1000.0, 2, origin(prompts_file))
    add(collector, range(10))
    collector.done(0)
    verdict = collector.finish()
    assert not verdict.valid
    assert verdict.reasons[0] == "1 of 2 load processes did not report."
    records = read_requests(tmp_path)
    assert len(records) == len(plan)
    assert records[-1].error == "not_sent"


def test_a_process_that_could_not_start_gives_its_reason(
    tmp_path: Path, prompts_file: Path
) -> None:
    collector = Collector(tmp_path, plan_for(prompts_file), 1000.0, 1, {})
    collector.done(0, "a load process could not start: no prompts")
    assert "could not start" in collector.finish().reasons[0]
