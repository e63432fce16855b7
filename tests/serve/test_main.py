"""`python -m serve` as a user meets it: what it says when it cannot start, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from serve.config import load_config
from serve.processes import descendants
from serve.service import base_url, ready_line
from tests.conftest import ROOT, STOP_MAX_S, free_port, launch, start_server


def refused(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What it says on its way out; it must be one sentence, and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "serve", *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def wait_for(holds: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def alive(pids: set[int]) -> set[int]:
    """Those that still run; zombies, which wait only to be counted, do not."""
    living = set()
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
            living.add(pid)
    return living


def test_a_taken_port_is_told_before_anything_starts(tiny_config: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        told = refused("--config", str(tiny_config), "--port", str(port))
    assert f"port {port} on 127.0.0.1 is taken" in told


def test_a_wrong_configuration_is_told_by_file_and_key(tmp_path: Path, tiny_config: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(tiny_config.read_text() + "\nqueue: 5\n")
    told = refused("--config", str(path))
    assert f"{path}: queue: this key is unknown" in told


def test_missing_weights_are_told_by_key_and_folder(tmp_path: Path, tiny_config: Path) -> None:
    path = tmp_path / "lost.yaml"
    path.write_text(tiny_config.read_text())
    told = refused("--config", str(path), "--port", str(free_port()))
    assert f"variants.full.source: there is no folder {tmp_path / 'full'}" in told
    (tmp_path / "full").mkdir()
    assert "model_index.json" in refused("--config", str(path), "--port", str(free_port()))
    (tmp_path / "full" / "model_index.json").write_text("{}")
    assert ".safetensors" in refused("--config", str(path), "--port", str(free_port()))


def test_more_threads_than_cores_are_told(tmp_path: Path, tiny_config: Path) -> None:
    content = yaml.safe_load(tiny_config.read_text())
    content["engines"][0]["threads"] = 10_000
    for name, variant in content["variants"].items():
        variant["source"] = str(tiny_config.with_name(name))
    path = tmp_path / "threads.yaml"
    path.write_text(yaml.safe_dump(content))
    assert "engines.0.threads" in refused("--config", str(path), "--port", str(free_port()))


def test_the_ready_line_names_a_reachable_address(tiny_config: Path) -> None:
    config = load_config(tiny_config, environment={"SLUICE_PORT": "8123"})
    everywhere = config.server.model_copy(update={"host": "0.0.0.0"})
    assert base_url(config.model_copy(update={"server": everywhere})) == "http://127.0.0.1:8123"
    six = config.server.model_copy(update={"host": "::"})
    assert base_url(config.model_copy(update={"server": six})) == "http://[::1]:8123"
    assert "\n" not in ready_line(config, base_url(config))


@pytest.mark.ray
@pytest.mark.parametrize("started", ["service", "ray"])
def test_a_stop_signal_during_the_start_leaves_nothing(
    tiny_config: Path, tmp_path: Path, started: str
) -> None:
    process = launch(tiny_config, tmp_path / "log", "--port", str(free_port()))
    enough = {"service": 1, "ray": 4}[started]
    wait_for(lambda: len(descendants(process.pid)) >= enough)
    family = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_MAX_S) == 0
    assert not alive(family)
    assert process.stdout is not None
    assert process.stdout.read() == ""
    process.stdout.close()


def test_a_memory_monitor_that_would_end_every_process_is_told(tiny_config: Path) -> None:
    told = refused(
        "--config",
        str(tiny_config),
        "--port",
        str(free_port()),
        environment={"RAY_memory_usage_threshold": "0.01"},
    )
    assert told.startswith("sluice: memory: ")
    assert "RAY_memory_usage_threshold" in told


PROXIES = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy"), "http://127.0.0.1:9")
"""As behind a firm's proxy, which does not know this machine's own addresses."""


@pytest.mark.ray
def test_a_server_starts_whatever_proxy_is_named_and_a_signal_to_its_group_stops_it(
    tiny_config: Path, tmp_path: Path
) -> None:
    server = start_server(tiny_config, tmp_path / "log", environment=PROXIES)
    family = descendants(server.process.pid)
    assert len(family) > 5
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.process.wait(STOP_MAX_S) == 0
    assert not alive(family)
    assert server.log.read_text() == ""
    assert server.process.stdout is not None
    server.process.stdout.close()


def test_only_engines_load_torch() -> None:
    modules = "serve.app, serve.gateway, serve.ray_backend, serve.dispatcher, serve.service"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300)
