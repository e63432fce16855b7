"""The process that holds Ray: starts the cluster, deploys, waits until a request is answered.

`serve.__main__` starts it as `python -m serve.service` in a session of its own and watches over
it, so that a signal to the terminal's process group does not reach Ray's processes first.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
import types
import urllib.error
import urllib.request
from pathlib import Path

from serve.config import Config, ConfigError, load_config
from serve.processes import STOP_SIGNALS, die_with_parent

READY_PAUSE_S = 0.1
REQUEST_TIMEOUT_S = 600.0  # a large model's first picture on a CPU takes minutes
OBJECT_STORE_BYTES = 256 * 1024 * 1024
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The server is on this machine, whatever proxy the environment names for others."""

EXAMPLE_PROMPT = "a large red circle on the left, blue background"

RAY_ENVIRONMENT = {
    "RAY_worker_niceness": "0",  # Ray's default makes every worker a background process
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # otherwise Ray's ports listen on every interface
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_agent_register_timeout_ms": "120000",  # 30 s are too few where other work takes the cores
    "RAY_kill_worker_timeout_milliseconds": "1000",  # a process that hangs does not end in order
    # Ray's own transport of calls stops whoever answers a process that hangs, for all callers; gRPC
    # does not, and tells of a process that died by its connection.
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy:middlewares",
    "no_grpc_proxy": "127.0.0.1,localhost",  # whatever proxy the environment names for others
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(256 * 1024 * 1024),
}


class StopAsked(BaseException):
    """A stop signal came; not an Exception, so that nothing in between takes it for a fault."""


def start(config: Config) -> None:
    """Start Ray on this machine alone and deploy the service; RuntimeError if that fails."""
    os.environ.update(RAY_ENVIRONMENT)
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    # Ray reads its environment when it is imported.
    import ray

    from serve.app import deploy

    for last in (False, True):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                logging_level=logging.ERROR,
            )
            break
        except Exception as error:  # Ray raises bare ones; a slow machine may need a second try
            ray.shutdown()
            if last:
                raise RuntimeError(f"Ray could not start: {error}") from error
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    deploy(config)


def stop() -> None:
    """End the service and the Ray cluster that `start` started."""
    import ray
    from ray import serve as ray_serve

    # Ray reports every process that is ended here as if it had failed.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    ray_serve.shutdown()
    ray.shutdown()


def wait_until_answered(config: Config, url: str) -> None:
    """Return when a real picture has been served over HTTP; RuntimeError if it is refused."""
    while not _answers(f"{url}/readyz"):
        time.sleep(READY_PAUSE_S)
    body = {"prompt": "a red circle", "model": config.model.id, "steps": 1, "user": "readiness"}
    request = urllib.request.Request(
        f"{url}/v1/images/generations",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    try:
        with DIRECT.open(request, timeout=REQUEST_TIMEOUT_S) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace")
        raise RuntimeError(f"the first picture was refused: {told}") from None


def _answers(url: str) -> bool:
    try:
        with DIRECT.open(url, timeout=REQUEST_TIMEOUT_S):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def ready_line(config: Config, url: str) -> str:
    """The one line that tells the user where the server is and how to ask it."""
    body = json.dumps({"prompt": EXAMPLE_PROMPT})
    return (
        f"Sluice serves {config.model.id} at {url} - try: curl -s {url}/v1/images/generations"
        f" -H 'content-type: application/json' -d '{body}'"
    )


def base_url(config: Config) -> str:
    """Where a client on this machine finds the server."""
    host = config.server.host
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    bracketed = f"[{reachable}]" if ":" in reachable and "[" not in reachable else reachable
    return f"http://{bracketed}:{config.server.port}"


def run(config: Config) -> int:
    """Serve until a stop signal; the exit status."""
    url = base_url(config)
    _listen_for_stop()
    try:
        # They were blocked by the starting process, so that none could be lost before this line.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        start(config)
        _listen_for_stop()  # Ray may have taken some of the signals for itself
        wait_until_answered(config, url)
        print(ready_line(config, url), flush=True)
        while True:
            signal.pause()
    except StopAsked:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stop()
        return 0
    except (RuntimeError, ConfigError) as error:
        print(f"sluice: {_cause(str(error))}", file=sys.stderr, flush=True)
        return 2


def _listen_for_stop() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, _ask_to_stop)


def _ask_to_stop(number: int, frame: types.FrameType | None) -> None:
    raise StopAsked


def _cause(message: str) -> str:
    """The sentence at the end of a remote traceback, where the constructor's own error stands."""
    lines = [line.strip() for line in message.splitlines() if "Error: " in line]
    return lines[-1].split("Error: ", 1)[1] if lines else message.strip().splitlines()[-1]


def main() -> int:
    """Entry point for `serve.__main__`."""
    parser = argparse.ArgumentParser(prog="python -m serve.service")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    try:
        config = load_config(arguments.config)
    except ConfigError as error:
        print(f"sluice: {error}", file=sys.stderr, flush=True)
        return 2
    return run(config)


if __name__ == "__main__":
    sys.exit(main())
