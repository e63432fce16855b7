"""``python -m loadgen``: a headless run with one line of result, and the audit of an old run.

Locust runs as a process of its own, by the same locustfile that plain Locust uses: gevent's
patching stays out of this process, and a hanging generator can be ended by its process id.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadgen.arrivals import Arrivals
from loadgen.audit import audit
from loadgen.config import (
    ConfigError,
    RunConfig,
    add_options,
    check_out,
    config_from_options,
    to_flags,
)
from loadgen.exchange import server_problem
from loadgen.plan import Plan, make_plan
from loadgen.records import RUN_FILE, read_requests
from loadgen.server_figures import ServerFigures

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
PROGRESS = "sluice-progress"
# Locust's start and end, and the writing of pictures, beyond the run's own longest time.
SPARE_S = 180.0
# How long a run that is cut short may take to write what it has.
STOP_S = 30.0


class _Parser(argparse.ArgumentParser):
    """Answers a mistake with one sentence instead of the whole usage text."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. See `{self.prog} --help`.")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(prog="python -m loadgen", description="Open-loop load for an images server.")
    commands = top.add_subparsers(dest="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="send a schedule of requests and record every answer")
    run.add_argument("--url", required=True, help="the server, for example http://127.0.0.1:8000")
    run.add_argument("--seed", dest="arrival_seed", help="same as --arrival-seed")
    run.add_argument(
        "--no-server-figures",
        action="store_true",
        help="do not ask the server for its state and costs (costs.jsonl, status.jsonl)",
    )
    add_options(run)
    # After add_options, whose default would otherwise win over --seed's.
    run.set_defaults(arrival_seed="1")
    check = commands.add_parser("audit", help="audit a run's folder again")
    check.add_argument("folder", type=Path, help="folder with run.json and requests.jsonl")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 for a valid run, 1 for an invalid one, 2 for bad input."""
    try:
        options = parser().parse_args(arguments)
        if options.command == "audit":
            return _audit(options.folder)
        if not options.out:
            raise ConfigError("name a folder for the results with --out.")
        config = config_from_options(options, options.url, options.out)
        plan = make_plan(config)
        problem = server_problem(config.url)
        if problem is not None:
            raise ConfigError(problem)
        folder = check_out(config.out)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if threading.current_thread() is threading.main_thread():
        # A terminated run, like one ended by Ctrl-C, still writes what it has.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures = None if options.no_server_figures else ServerFigures(config.url, folder)
    return _run(config, plan, folder, figures)


def _run(config: RunConfig, plan: Plan, folder: Path, figures: ServerFigures | None) -> int:
    console = Console(stderr=True)
    limit_s = float(plan.schedule.times_s[-1]) + config.timeout_s + SPARE_S
    with figures or nullcontext():
        status, tail = _drive_locust(config, len(plan), limit_s, console)
    if not (folder / RUN_FILE).exists():
        said = "\n".join(tail[-5:])
        print(
            f"the load generator ended (status {status}) without results. {said}", file=sys.stderr
        )
        return 1
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    problem = figures and figures.settle(run["started_at"], run["summary"]["served"])
    print(f"{summary_line(run)}  {problem}" if problem else summary_line(run))
    for reason in run["audit"]["reasons"]:
        print(f"  invalid: {reason}")
    return 0 if run["audit"]["valid"] else 1


@contextmanager
def _killed_after(process: subprocess.Popen[str], limit_s: float) -> Iterator[None]:
    timer = threading.Timer(limit_s, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _drive_locust(
    config: RunConfig, total: int, limit_s: float, console: Console
) -> tuple[int, list[str]]:
    """Runs Locust to its end, at most ``limit_s``; returns its status and what it said."""
    # Locust also reads LOCUST_* variables: a stray one must not change a recorded run.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOCUST_")}
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
    command += ["--only-summary", "--loglevel", "WARNING", "--progress-lines"]
    command += [f"--host={config.url}", *to_flags(config)]
    said: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C comes to us, and we pass it on once
    ) as process:
        try:
            with _killed_after(process, limit_s):
                _watch(process, total, console, said)
        except KeyboardInterrupt:
            process.terminate()
            with _killed_after(process, STOP_S):
                _watch(process, total, console, said)
        except BaseException:
            process.kill()
            raise
    return process.returncode, said


def _watch(process: subprocess.Popen[str], total: int, console: Console, said: list[str]) -> None:
    """Shows progress while the process talks; keeps every other line it says."""
    assert process.stdout is not None  # opened as a pipe
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("answered"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sending", total=total)
        for line in process.stdout:
            if line.startswith(PROGRESS):
                progress.update(bar, completed=int(line.split()[2]))
            elif line.strip():
                said.append(line.rstrip())
    process.wait()


def summary_line(run: dict[str, Any]) -> str:
    """One line: what was offered, what came back, how long it took, whether the load was right."""
    summary, latency = run["summary"], run["summary"]["latency_s"]
    shown = "  ".join(
        f"{name} {latency[name]:.3f} s" if latency[name] is not None else f"{name} -"
        for name in ("mean", "p50", "p95", "p99")
    )
    lost = summary["expired"] + summary["timed_out"] + summary["failed"]
    verdict = "valid" if run["audit"]["valid"] else "INVALID"
    return (
        f"{run['arrivals']} {summary['offered_per_s']:.2f}/s  {summary['served']} of "
        f"{summary['requests']} served  {shown}  rejected {summary['rejected']}  "
        f"failed {lost}  audit {verdict}"
    )


def _audit(folder: Path) -> int:
    """Audits the files again, with this version's gates; prints the verdict as JSON."""
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        records = read_requests(folder)
        times_s = np.array([record.scheduled_s for record in records], dtype=np.float64)
        schedule = Arrivals(
            run["arrivals"], times_s, run["rate_per_s"], run["duration_s"], run["seed"]
        )
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename} ({error.strerror}).") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{folder} holds no readable run ({error}).") from error
    verdict = audit(records, schedule)
    print(json.dumps(verdict.as_dict(), indent=2))
    return 0 if verdict.valid else 1
