"""The command line: one sentence and status 2 for bad input, one line for a result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen import cli, server_figures
from loadgen.cli import main, summary_line

StartStub = Callable[..., str]

GOOD = ["run", "--rate", "5", "--duration", "2"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "required: command"),
        (["run"], "required: --url"),
        ([*GOOD, "--url", "nonsense", "--out", "x"], "must look like"),
        ([*GOOD, "--url", "http://127.0.0.1:1"], "with --out"),
        ([*GOOD, "--url", "http://127.0.0.1:1", "--out", "x", "--arrivals", "x"], "invalid choice"),
        ([*GOOD, "--url", "http://127.0.0.1:1", "--out", "x", "--seed", "1.5"], "whole number"),
        (["audit", "/nowhere"], "cannot read /nowhere/run.json"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.strip().splitlines()) == 1


def test_an_unreachable_server_is_one_sentence_and_leaves_no_folder(
    tmp_path: Path, prompts_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    rest = ["--url", "http://127.0.0.1:1", "--out", str(out), "--prompts", str(prompts_file)]
    assert main([*GOOD, *rest]) == 2
    assert "no server answers at http://127.0.0.1:1" in capsys.readouterr().err
    assert not out.exists()


def test_an_unreadable_run_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "requests.jsonl").write_text("", encoding="utf-8")
    assert main(["audit", str(tmp_path)]) == 2
    assert "no readable run" in capsys.readouterr().err


def test_the_summary_is_one_line_with_the_verdict() -> None:
    summary = {
        "requests": 12,
        "offered_per_s": 2.0,
        "served": 8,
        "rejected": 1,
        "expired": 1,
        "timed_out": 1,
        "failed": 1,
        "latency_s": {"mean": 0.5, "p50": 0.4, "p95": 1.25, "p99": None},
    }
    run = {"arrivals": "poisson", "summary": summary, "audit": {"valid": False}}
    line = summary_line(json.loads(json.dumps(run)))
    assert "8 of 12 served" in line
    assert "p95 1.250 s  p99 -  rejected 1  failed 3  audit INVALID" in line


SUMMARY = {
    "requests": 9,
    "offered_per_s": 1.0,
    "served": 9,
    "rejected": 0,
    "expired": 0,
    "timed_out": 0,
    "failed": 0,
    "latency_s": dict.fromkeys(("mean", "p50", "p95", "p99"), 1.0),
}


@pytest.mark.parametrize("asked", [True, False])
def test_costs_that_a_server_does_not_count_are_told_in_the_line_of_a_kept_run(
    start_stub: StartStub,
    prompts_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    asked: bool,
) -> None:
    out = tmp_path / "run"

    def drive(*plan: object) -> tuple[int, list[str]]:
        audit = {"valid": True, "reasons": []}
        run = {"arrivals": "poisson", "started_at": 1e12, "summary": SUMMARY, "audit": audit}
        (out / "run.json").write_text(json.dumps(run), encoding="utf-8")
        return 0, []

    monkeypatch.setattr(cli, "_drive_locust", drive)
    monkeypatch.setattr(server_figures, "SETTLE_PATIENCE_S", 0.0)
    rest = ["--url", start_stub(), "--out", str(out), "--prompts", str(prompts_file)]
    assert main([*GOOD, *rest, *([] if asked else ["--no-server-figures"])]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    told = "the server's costs are incomplete: it counts 0 pictures and 9 were served"
    assert line.endswith(told if asked else "audit valid")
    assert (out / "costs.jsonl").exists() == asked
