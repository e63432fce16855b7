"""What can be known to be wrong before anything is started, each as one sentence."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from serve.config import Config, ConfigError

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
    """ConfigError if a variant's weights are not there (or, for a hub id, not to be had)."""
    for name, variant in config.variants.items():
        if variant.source.startswith("hub:"):
            _check_hub(name, variant.source.removeprefix("hub:"))
        else:
            _check_folder(name, Path(variant.source))


def _check_folder(name: str, folder: Path) -> None:
    key = f"variants.{name}.source"
    if not folder.is_dir():
        raise ConfigError(
            f"{key}: there is no folder {folder}; train or copy the weights to it, or name another"
        )
    if not (folder / "model_index.json").is_file():
        raise ConfigError(
            f"{key}: {folder} has no model_index.json; name the folder of a whole diffusers"
            " pipeline"
        )
    for part in WEIGHED_PARTS:
        if not any((folder / part).glob("*.safetensors")):
            raise ConfigError(
                f"{key}: {folder / part} holds no .safetensors weights; put them there or name"
                " another folder"
            )


def _check_hub(name: str, hub_id: str) -> None:
    # Only here, since most configurations name folders and this takes a while to import.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        hf_hub_download(hub_id, "model_index.json")
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = type(error).__name__
        raise ConfigError(
            f"variants.{name}.source: the model {hub_id} can be had neither from the local cache"
            f" nor from the model hub ({reason}); check the id and the connection, or name a"
            " local folder"
        ) from None


def check_threads(config: Config) -> None:
    """ConfigError if a pool asks one engine for more threads than the machine has cores."""
    cores = os.cpu_count() or 1
    for index, pool in enumerate(config.engines):
        if pool.threads > cores:
            raise ConfigError(
                f"engines.{index}.threads: {pool.threads} threads are more than the machine's"
                f" {cores} cores; lower it"
            )
