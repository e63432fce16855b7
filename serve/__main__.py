"""`python -m serve`: check everything that can be checked, start the service, leave nothing behind.

This process stays small: it starts `serve.service`, which holds Ray, in a session of its own,
passes stop signals on, and ends whatever is left when that process has ended for any reason.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from serve.config import DEFAULT_CONFIG, PORT_VARIABLE, Config, ConfigError, load_config
from serve.preflight import (
    check_memory,
    check_models,
    check_packages,
    check_port,
    check_threads,
    check_weights,
)
from serve.processes import STOP_SIGNALS, adopt_orphans, end_descendants

EXIT_MISUSE = 2
STOP_PATIENCE_S = 10.0
"""How long the service may take to stop by itself before it is killed."""

LEFTOVER_GRACE_S = 1.0


def main() -> int:
    """Parse, check, run; the exit status."""
    arguments = _parser().parse_args()
    # From here on a stop signal waits until somebody can act on it.
    watched = STOP_SIGNALS | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    if arguments.port is not None:
        os.environ[PORT_VARIABLE] = str(arguments.port)
    try:
        check(load_config(arguments.config))
    except ConfigError as error:
        print(f"sluice: {error}", file=sys.stderr)
        return EXIT_MISUSE
    if signal.sigpending() & STOP_SIGNALS:
        return 0
    adopt_orphans()
    command = [sys.executable, "-m", "serve.service", "--config", str(arguments.config)]
    service = subprocess.Popen([*command, "--parent", str(os.getpid())], start_new_session=True)
    try:
        return _watch(service, watched)
    finally:
        end_descendants(LEFTOVER_GRACE_S)


def check(config: Config) -> None:
    """ConfigError with one sentence for what would keep the service from starting."""
    check_port(config.server.host, config.server.port)
    check_weights(config)
    check_models(config)
    check_packages(config)
    check_threads(config)
    check_memory(config)


def _watch(service: subprocess.Popen[bytes], watched: frozenset[signal.Signals]) -> int:
    """Wait for the service to end, passing stop signals on; its exit status, 0 if told to stop."""
    stop_by_s: float | None = None
    while service.poll() is None:
        if stop_by_s is None:
            received = signal.sigwait(watched)
        else:
            left_s = max(0.0, stop_by_s - time.monotonic())
            info = signal.sigtimedwait(watched, left_s)
            received = signal.SIGKILL if info is None else signal.Signals(info.si_signo)
        if received == signal.SIGKILL:
            service.kill()
            service.wait()
        elif received in STOP_SIGNALS and stop_by_s is None:
            stop_by_s = time.monotonic() + STOP_PATIENCE_S
            service.send_signal(signal.SIGINT)  # Ray takes SIGTERM for a crash and says so
    if stop_by_s is not None:
        return 0
    status = service.returncode
    if status not in (0, EXIT_MISUSE):
        print(f"sluice: the service ended unexpectedly (status {status})", file=sys.stderr)
    return status if status > 0 else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serve", description="Serve a text-to-image model over HTTP."
    )
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="YAML file (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=int, help=f"overrides the file's server.port and {PORT_VARIABLE}"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
