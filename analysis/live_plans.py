"""What the experiments on a live server have in common before they start."""

from __future__ import annotations

import socket
from pathlib import Path

from analysis.server_config import ConfigError


def check_plan(seconds: float, seconds_min: float, what: str, seed: int, port: int | None) -> None:
    """ConfigError for a duration (of `what`), a seed or a port that cannot be."""
    if seconds < seconds_min:
        raise ConfigError(
            f"--seconds must be at least {seconds_min:g}, got {seconds:g}: a shorter {what}"
            " shows nothing"
        )
    check_seed_and_port(seed, port)


def check_seed_and_port(seed: int, port: int | None) -> None:
    """ConfigError for a seed or a port that cannot be."""
    if seed < 0:
        raise ConfigError(f"--seed must be 0 or more, got {seed}")
    if port is not None and not 1 <= port <= 65535:
        raise ConfigError(f"--port must lie between 1 and 65535, got {port}")


def new_folder(out: Path, how: str = "") -> Path:
    """An absolute path, for the commands run elsewhere than the user; `how` tells to name another.

    ConfigError if there is something already, or it cannot be made.
    """
    folder = out.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{out} exists already; name a new folder{how}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be made ({error.strerror}); name another folder{how}"
        ) from None
    return folder


def free_port() -> int:
    """A port of this machine's own address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
