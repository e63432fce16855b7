"""Real Locust runs against the stub server: our command line, plain Locust, its web page."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadgen.cli import LOCUSTFILE, main
from loadgen.records import RequestRecord, read_requests
from loadgen.server_figures import pictures_in

pytestmark = pytest.mark.slow


LIMIT_S = 40.0
ROOT = LOCUSTFILE.parent.parent
StartStub = Callable[..., str]


def run_of(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return run


def locust(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Plain Locust, started from a folder that is not the repository."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("locust")), "-f", str(LOCUSTFILE), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Status and output; a run that hangs is killed by its process id and fails the test."""
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        pytest.fail(f"Locust did not end by itself:\n{output}")
    return process.returncode, output


def latencies(records: list[RequestRecord]) -> list[float]:
    return [r.latency_s for r in records if r.latency_s is not None]


def test_the_command_line_sends_everything_and_saves_records_and_pictures(
    start_stub: StartStub, prompts_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["--rate", "20", "--duration", "5", "--seed", "3", "--out", str(out)]
    arguments += ["--prompts", str(prompts_file), "--url", start_stub(service_s=0.05)]
    status = main(["run", *arguments, "--save-pictures"])
    records, run = read_requests(out), run_of(out)
    facts = run["audit"]["facts"]
    assert facts["sent"] == facts["scheduled"] == len(records) == 94
    assert all(r.status == 200 and r.error is None for r in records)
    assert all(r.received_s is not None and r.sent_s is not None for r in records)
    assert min(latencies(records)) >= 0.05
    assert facts["cv_server"] == pytest.approx(facts["cv_scheduled"], abs=0.1)
    assert [r.seed for r in records] == list(range(3, 97))
    assert len({r.prompt for r in records[:20]}) == 20
    assert len(list((out / "pictures").iterdir())) == 94
    told = [json.loads(line) for line in (out / "costs.jsonl").read_text().splitlines()]
    before, after = (pictures_in(told[n]["engines"]) for n in (0, -1))
    assert (before, after) == (0, 94)
    assert told[0]["unix_s"] <= run["started_at"]
    # On a busy machine the lag gate may strike; the verdict and the status must agree anyway.
    assert status == (0 if run["audit"]["valid"] else 1)
    assert "94 of 94 served" in capsys.readouterr().out
    assert main(["audit", str(out)]) == status


def test_plain_headless_locust_counts_a_stall_as_latency_and_goes_on_sending(
    start_stub: StartStub, prompts_file: Path, tmp_path: Path
) -> None:
    # The server stands still from 1 s to 2.5 s after the first request.
    url = start_stub(service_s=0.01, stall_at_s=1.0, stall_s=1.5)
    options = ["--rate", "30", "--duration", "3", "--arrival-seed", "4", "--out", "run"]
    process = locust(
        "--headless", "--host", url, "--prompts", str(prompts_file), *options, cwd=tmp_path
    )
    _, output = end_of(process)
    records = read_requests(tmp_path / "run")
    assert all(r.error is None for r in records), output
    begin_s = min(r.received_s for r in records if r.received_s is not None) + 1.0
    due = [r for r in records if begin_s + 0.1 < r.scheduled_s < begin_s + 1.4]
    assert len(due) > 15
    for record in due:
        assert record.sent_s is not None
        assert record.latency_s is not None
        # Sent while the server stood still, and the wait for it to come back is in the latency.
        assert record.sent_s < begin_s + 1.5
        assert record.latency_s > 0.9 * (begin_s + 1.5 - record.scheduled_s)


def test_an_overloaded_server_does_not_close_the_loop(
    start_stub: StartStub, prompts_file: Path, tmp_path: Path
) -> None:
    # Ten times what the server can do, and it rejects what it cannot hold.
    url = start_stub(service_s=0.25, workers=1, limit=12)
    options = ["--rate", "40", "--duration", "1.5", "--timeout-s", "1", "--out", "run"]
    process = locust(
        "--headless", "--host", url, "--prompts", str(prompts_file), *options, cwd=tmp_path
    )
    end_of(process)
    records, run = read_requests(tmp_path / "run"), run_of(tmp_path / "run")
    assert run["audit"]["facts"]["sent"] == len(records)
    outcomes = {r.error for r in records}
    assert outcomes == {None, "queue_full", "timeout"}
    assert run["summary"]["rejected"] > 20
    assert all(r.answered_s is None for r in records if r.error == "timeout")
    last_s = max(r.answered_s for r in records if r.answered_s is not None)
    assert last_s <= records[-1].scheduled_s + 1.1


def test_the_web_page_offers_the_options_and_a_worker_pair_shares_the_schedule(
    start_stub: StartStub, prompts_file: Path, tmp_path: Path
) -> None:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        page, bus = str(first.getsockname()[1]), str(second.getsockname()[1])
    options = ["--rate", "30", "--duration", "2", "--out", "run", "--save-pictures"]
    options += ["--web-host", "127.0.0.1", "--web-port", page, "--autostart", "--autoquit", "0"]
    options += ["--processes", "2", "--master-port", bus, "--master-bind-port", bus]
    url, prompts = start_stub(), str(prompts_file)
    process = locust("--host", url, "--prompts", prompts, *options, cwd=tmp_path)
    seen = ""
    assert process.stdout is not None
    for line in process.stdout:
        if "Shape test updating to 2 users" in line:
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/", timeout=10) as answer:
                seen = answer.read().decode()
            break
    end_of(process)
    assert "mean_burst_s" in seen
    assert "progress_lines" not in seen
    run = run_of(tmp_path / "run")
    assert run["workers"] == 2
    assert run["audit"]["facts"]["sent"] == run["summary"]["served"] == run["summary"]["requests"]
    pictures = list((tmp_path / "run" / "pictures").iterdir())
    assert len(pictures) == run["summary"]["served"]


def test_a_terminated_run_writes_what_it_has(
    start_stub: StartStub, prompts_file: Path, tmp_path: Path
) -> None:
    options = ["--arrivals", "deterministic", "--rate", "20", "--duration", "600", "--out", "run"]
    options += ["--prompts", str(prompts_file), "--progress-lines", "--only-summary"]
    process = locust("--headless", "--host", start_stub(), *options, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("sluice-progress") and int(line.split()[2]) > 5:
            break
    process.send_signal(signal.SIGTERM)
    status, _ = end_of(process)
    assert status == 1
    run = run_of(tmp_path / "run")
    assert run["summary"]["served"] > 5
    assert run["summary"]["requests"] == 12_000
    assert "not sent" in run["audit"]["reasons"][0]


def test_plain_headless_locust_refuses_bad_options_with_one_sentence(tmp_path: Path) -> None:
    process = locust("--headless", "--host", "http://127.0.0.1:1", "--rate", "3", cwd=tmp_path)
    status, output = end_of(process)
    assert status == 2
    assert "--duration must not be empty." in output
    assert not list(tmp_path.iterdir())
