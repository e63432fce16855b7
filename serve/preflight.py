"""What can be known to be wrong before anything is started, each as one sentence."""

from __future__ import annotations

import errno
import importlib.util
import os
import socket
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from serve.config import Config, ConfigError
from serve.model_files import INDEX, ModelFacts, differing, read_facts, read_json

MEMORY_THRESHOLD_VARIABLE, MEMORY_THRESHOLD = "RAY_memory_usage_threshold", 0.95
"""The share of the memory above which Ray ends processes, and the variable that changes it."""

CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)

SERVICE_BYTES = 1_000_000_000
ENGINE_BYTES = 500_000_000
"""What Ray, the gateway and the dispatcher take, and an engine beside its weights: measured."""

WEIGHED_PARTS = ("unet", "vae", "text_encoder")
"""The parts of a pipeline folder that hold weights."""


def check_port(host: str, port: int) -> None:
    """ConfigError if the server could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(_port_sentence(host, port, error)) from None


def _port_sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; stop what listens there or choose another PORT"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges; choose a PORT above 1023"
    reason = error.strerror or str(error)
    return f"server.host: cannot listen on {host}:{port} ({reason}); correct host or port"


def check_weights(config: Config) -> None:
    """ConfigError if the weights of a variant in a local folder are not there."""
    for name, variant in config.variants.items():
        if not variant.source.startswith("hub:"):
            _check_folder(config, name, Path(variant.source))


def _check_folder(config: Config, name: str, folder: Path) -> None:
    key = f"variants.{name}.source"
    if not folder.is_dir():
        raise ConfigError(
            f"{key}: there is no folder {folder}; train or copy the weights to it, or name another"
        )
    second = ("text_encoder_2",) if "text_encoder_2" in read_json(config, name, INDEX) else ()
    pickled = config.variants[name].pickled_weights
    for part in WEIGHED_PARTS + second:
        if any((folder / part).glob("*.safetensors")):
            continue
        if not any((folder / part).glob("*.bin")):
            raise ConfigError(
                f"{key}: {folder / part} holds no .safetensors weights; put them there or name"
                " another folder"
            )
        if not pickled:
            raise ConfigError(
                f"{key}: {folder / part} holds pickled weights, which can run code when they are"
                " read; convert them to .safetensors, or set pickled_weights to true if you trust"
                " where they come from"
            )


def check_models(config: Config) -> None:
    """ConfigError if a variant's model cannot do what the configuration wants of it."""
    facts = {name: read_facts(config, name) for name in config.variants}
    for name, model in facts.items():
        _check_steps(config, name, model)
        for size in config.model.sizes:
            if any(int(side) % model.size_multiple for side in size.split("x")):
                raise ConfigError(
                    f"model.sizes: {size} cannot be made by variant {name!r}; both sides must be"
                    f" multiples of {model.size_multiple}"
                )
    if config.controller.apply == "hand_over":
        for pool in config.engines:
            _check_hand_over(config.takers(pool), facts)


def _check_steps(config: Config, name: str, model: ModelFacts) -> None:
    for rung in config.ladder:
        if rung.variant == name and rung.steps > model.steps_max:
            raise ConfigError(
                f"ladder: the rung of {name!r} with {rung.steps} steps is longer than the"
                f" {model.steps_max} noise levels that the model was trained on; lower it"
            )
    if config.steps_max(name) > model.steps_max:
        raise ConfigError(
            f"variants.{name}.steps_max: clients may ask for {config.steps_max(name)} steps, and"
            f" the model was trained on {model.steps_max} noise levels; set it to that or less"
        )


def _check_hand_over(names: list[str], facts: Mapping[str, ModelFacts]) -> None:
    for one, other in combinations(names, 2):
        key = differing(facts[one], facts[other])
        if key is not None:
            raise ConfigError(
                f"controller.apply: hand_over wants variants of one engine to share latents and"
                f" noise levels, and {one!r} and {other!r} differ in {key}; put them into engines"
                " of their own, or apply in_flight"
            )


def check_packages(config: Config) -> None:
    """ConfigError if something is asked for that is not installed."""
    for name, variant in config.variants.items():
        if variant.quantisation != "none" and importlib.util.find_spec("torchao") is None:
            raise ConfigError(
                f"variants.{name}.quantisation: {variant.quantisation} needs the package torchao;"
                " install torchao==0.18.0, or set quantisation to none"
            )


def check_gpus(config: Config, there: float) -> None:
    """ConfigError if engines take more GPUs than are `there`: Serve would wait for them in silence."""
    wanted = 0.0
    for index, pool in enumerate(config.engines):
        if pool.device == "cuda" or (pool.device == "auto" and there > 0):
            scaling = pool.autoscaling
            engines = pool.replicas if scaling is None else scaling.min_replicas
            wanted += engines * pool.gpus
        if wanted > there:
            raise ConfigError(
                f"engines.{index}: the engines up to pool {pool.name!r} take {wanted:g} GPUs and this"
                f" machine has {there:g}; lower replicas or gpus, or set device to cpu"
            )


def check_memory(config: Config, environment: Mapping[str, str] = os.environ) -> None:
    """ConfigError if Ray would end the service's processes for want of memory while they start.

    Counted are Ray's processes, and for each engine at its start torch and its variants' files.
    """
    threshold = float(environment.get(MEMORY_THRESHOLD_VARIABLE, MEMORY_THRESHOLD))
    used, total = memory_used(), memory_total()
    needed = SERVICE_BYTES
    for pool in config.engines:
        scaling = pool.autoscaling
        files = sum(_weights_bytes(config.variants[name].source) for name in pool.variants)
        on_host = files if pool.device == "cpu" else 0
        engines = pool.replicas if scaling is None else scaling.min_replicas
        needed += engines * (ENGINE_BYTES + on_host)
    if used + needed > threshold * total:
        raise ConfigError(
            f"memory: {used / 1e9:.1f} of {total / 1e9:.1f} GB are in use and the service needs about"
            f" {needed / 1e9:.1f} more, while Ray ends processes above {threshold:.0%}; free memory,"
            f" serve fewer or smaller engines, or raise {MEMORY_THRESHOLD_VARIABLE}"
        )


def memory_used() -> int:
    """Bytes of this machine's memory that are in use and could not be freed."""
    amounts = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, amount, *_ = line.replace(":", "").split()
        amounts[name] = int(amount) * 1024
    return amounts["MemTotal"] - amounts["MemAvailable"]


def memory_total() -> int:
    """Bytes of memory that this process and its children may use: the machine's, or the container's."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in map(Path, CONTAINER_LIMITS):
        told = limit.read_text().strip() if limit.exists() else ""
        if told.isdigit():
            total = min(total, int(told))
    return total


def _weights_bytes(source: str) -> int:
    files = [] if source.startswith("hub:") else Path(source).rglob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def check_threads(config: Config) -> None:
    """ConfigError if a pool asks one engine for more threads than the machine has cores."""
    cores = os.cpu_count() or 1
    for index, pool in enumerate(config.engines):
        if pool.threads > cores:
            raise ConfigError(
                f"engines.{index}.threads: {pool.threads} threads are more than the machine's"
                f" {cores} cores; lower it"
            )
