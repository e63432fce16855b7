"""What the small JSON files of a pipeline say of it, read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve.config import Config, ConfigError

FAMILIES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
"""The pipeline classes that the engine runs."""

SIZE_MULTIPLE = 8
"""The library's own rule for width and height, whatever the autoencoder's factor."""

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
AUTOENCODER = "vae/config.json"

_LATENTS = ("latent_channels", "block_out_channels", "scaling_factor", "shift_factor")
_NOISE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a variant's files say.

    `steps_max` is the most steps it can run, for its noise levels are that many. Both sides of a
    picture must be multiples of `size_multiple`. `latents` and `noise` hold the settings that two
    variants must have alike to hand half-made pictures over.
    """

    steps_max: int
    size_multiple: int
    latents: Mapping[str, Any]
    noise: Mapping[str, Any]


def read_facts(config: Config, name: str) -> ModelFacts:
    """Read a variant's files, from its folder or the model hub; ConfigError if they do not do."""
    family = read_json(config, name, INDEX).get("_class_name")
    if family not in FAMILIES:
        raise ConfigError(
            f"variants.{name}.source: it is a {family}, and the engine runs"
            f" {' and '.join(FAMILIES)}; name another model"
        )
    scheduler, autoencoder = (read_json(config, name, part) for part in (SCHEDULER, AUTOENCODER))
    factor = 2 ** (len(autoencoder.get("block_out_channels", ())) - 1)
    return ModelFacts(
        steps_max=_steps_max(scheduler, config.variants[name].sampler),
        size_multiple=max(SIZE_MULTIPLE, int(factor)),
        latents={key: autoencoder.get(key) for key in _LATENTS},
        noise={key: scheduler[key] for key in _NOISE if key in scheduler},
    )


def differing(one: ModelFacts, other: ModelFacts) -> str | None:
    """The first setting in which two variants' latents or noise levels differ, if any.

    What only one of them states is left to the engine, which knows the library's defaults and
    compares the weights as well.
    """
    for ours, theirs in ((one.latents, other.latents), (one.noise, other.noise)):
        for key, value in ours.items():
            if key in theirs and theirs[key] != value:
                return key
    return None


def read_json(config: Config, name: str, part: str) -> dict[str, Any]:
    """One file of a variant. ConfigError if it cannot be had or holds no JSON object."""
    source = config.variants[name].source
    key = f"variants.{name}.source"
    from_hub = source.startswith("hub:")
    path = _from_hub(key, source.removeprefix("hub:"), part) if from_hub else Path(source) / part
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(
            f"{key}: {source} has no {part}; name the folder of a whole diffusers pipeline"
        ) from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"{key}: {path} is damaged (no JSON object); copy the model anew")
    return content


def _from_hub(key: str, hub_id: str, part: str) -> Path:
    # Only here, since most configurations name folders and this takes a while to import.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(hub_id, part))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ConfigError(
            f"{key}: the model {hub_id} can be had neither from the local cache nor from the model"
            f" hub ({type(error).__name__}); check the id and the connection, or name a local"
            " folder"
        ) from None


def _steps_max(scheduler: Mapping[str, Any], sampler: str | None) -> int:
    levels = int(scheduler.get("num_train_timesteps", 1000))
    distilled = sampler == "lcm" or (
        sampler is None and scheduler.get("_class_name") == "LCMScheduler"
    )
    return int(scheduler.get("original_inference_steps", 50)) if distilled else levels
