"""The demonstration's order of work, with every process replaced by the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from analysis import demo
from analysis.demo import STEPS_TOTAL, Plan, measure, read_prompts
from analysis.faults import MeasurementError
from analysis.prediction import capacity_per_s
from analysis.server_config import ConfigError, read_settings
from analysis.study import CONTROLLERS, HIGH, LOW, read_study, unloaded_file
from tests.analysis.synthetic_demo import (
    OVERHEADS,
    cost_table,
    world_of,
    write_config,
    write_run,
    write_unloaded,
)


class Processes:
    """Stands in for every process that the demonstration starts; keeps what was asked of it."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.servers: list[str] = []
        self.config = Path()
        self.judge_fails = False

    def run_python(
        self, arguments: Sequence[str], log: Path, what: str, *, fine: Sequence[int] = (0,)
    ) -> int:
        self.commands.append(arguments)
        options = dict(zip(arguments[3:-1:2], arguments[4::2], strict=False))
        if arguments[1:3] == ["pipelines", "profile"]:
            cost_table().save(Path(options["--out"]))
        elif arguments[1:3] == ["loadgen", "run"]:
            server = world_of(read_settings(self.config), cost_table(), OVERHEADS)
            rate_per_s, seconds = float(options["--rate"]), float(options["--duration"])
            out = Path(options["--out"])
            write_run(out, server, rate_per_s, seconds, int(options["--seed"]), accuracy=None)
        elif self.judge_fails:
            raise MeasurementError("judging the pictures failed (status 2): no weights")
        return 0

    @contextmanager
    def running_server(self, config: Path, port: int, log: Path) -> Iterator[str]:
        self.config = config
        self.servers.append(config.stem)
        yield f"http://127.0.0.1:{port}"

    def ask_one_by_one(self, url: str, prompts: Sequence[str], seed: int, path: Path) -> None:
        write_unloaded(path, world_of(read_settings(self.config), cost_table(), OVERHEADS))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    fakes = Processes()
    for name in ("run_python", "running_server", "ask_one_by_one"):
        monkeypatch.setattr(demo, name, getattr(fakes, name))
    return fakes


def plan(tmp_path: Path, sections: dict[str, object] | None = None, **changes: object) -> Plan:
    """A short demonstration of a configuration with these sections replaced."""
    write_config(tmp_path, **(sections or {}))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red circle\n\na blue square\n")
    values = {
        "out": tmp_path / "out",
        "config": tmp_path / "server.yaml",
        "seconds": 5.0,
        "prompts": prompts,
        "port": 8123,
    }
    return Plan(**(values | changes))


def test_both_servers_get_the_same_arrivals_at_shares_of_the_measured_capacity(
    tmp_path: Path, processes: Processes
) -> None:
    told: list[str] = []
    folder = measure(plan(tmp_path, seed=4), told.append)
    assert len(told) == STEPS_TOTAL
    assert processes.servers == list(CONTROLLERS)
    loads = [c for c in processes.commands if c[1:3] == ["loadgen", "run"]]
    assert len(loads) == 4
    options = [dict(zip(c[3:-1:2], c[4::2], strict=False)) for c in loads]
    capacity = capacity_per_s(read_settings(folder / "static.yaml"), cost_table())
    rates = [float(o["--rate"]) / capacity for o in options]
    assert rates == pytest.approx([LOW, HIGH, LOW, HIGH], rel=1e-5)
    assert [o["--seed"] for o in options] == ["4", "100004", "4", "100004"]
    assert all("--save-pictures" in c for c in loads)


def test_what_was_measured_can_be_studied(tmp_path: Path, processes: Processes) -> None:
    folder = measure(plan(tmp_path))
    study = read_study(folder, replications=2)
    assert study.meta["seconds"] == 5.0
    assert (folder / unloaded_file("controlled")).exists()
    assert len(study.meta["commands"]) == 1 + 2 + 4
    assert "not judged" in study.meta["problems"][0]  # one variant is not the embedded model's


def test_pictures_of_the_embedded_model_are_judged(tmp_path: Path, processes: Processes) -> None:
    variants = {"full": {"source": "embedded:full"}, "turbo": {"source": "embedded:turbo"}}
    processes.judge_fails = True
    folder = measure(plan(tmp_path, {"variants": variants}))
    judge = processes.commands[-1]
    assert judge[:3] == ["-m", "pipelines", "judge"]
    assert [Path(run).name for run in judge[3:]] == [
        "static-0.6",
        "controlled-0.6",
        "static-1.5",
        "controlled-1.5",
    ]
    problems = json.loads((folder / "demo.json").read_text())["problems"]
    assert "no weights" in problems[0]


def test_a_load_that_leaves_nothing_stops_the_demo(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Processes.run_python.__globals__, "write_run", lambda *a, **k: None)
    with pytest.raises(MeasurementError, match="left no results"):
        measure(plan(tmp_path))


def test_bad_input_is_told_before_anything_is_started(tmp_path: Path, processes: Processes) -> None:
    with pytest.raises(ConfigError, match="--seconds must be at least 5"):
        plan(tmp_path, seconds=1.0)
    with pytest.raises(ConfigError, match="--port"):
        plan(tmp_path, port=70_000)
    with pytest.raises(ConfigError, match="--seed"):
        plan(tmp_path, seed=-1)
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    with pytest.raises(ConfigError, match="exists already"):
        measure(plan(tmp_path, out=full))
    with pytest.raises(ConfigError, match="cannot be made"):
        measure(plan(tmp_path, out=full / "file" / "deeper"))
    assert processes.commands == []


def test_prompts_are_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text(" a \n\nb\n")
    assert read_prompts(path) == ["a", "b"]
    path.write_text("\n")
    with pytest.raises(ConfigError, match="no prompts"):
        read_prompts(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompts(tmp_path / "none.txt")
