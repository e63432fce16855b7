"""The architectures must be the published ones, or a benchmark of them tells nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from pipelines.benchmarks.architectures import (
    SD15,
    SDXL,
    TINY,
    Architecture,
    library,
    save_random_pipeline,
    unet_flops,
)
from pipelines.loading import load_variant


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "unet", "texts"),
    [
        (SD15, 859_520_964, (123_060_480,)),
        (SDXL, 2_567_463_684, (123_060_480, 694_659_840)),
    ],
    ids=["sd15", "sdxl"],
)
def test_parameter_counts_are_the_published_models(
    architecture: Architecture, unet: int, texts: tuple[int, ...]
) -> None:
    kinds = (CLIPTextModel, CLIPTextModelWithProjection)
    with torch.device("meta"):
        assert parameters(library.UNet2DConditionModel(**architecture.unet)) == unet
        assert parameters(library.AutoencoderKL(**architecture.vae)) == 83_653_863
        made = [
            kind(CLIPTextConfig(**settings))
            for kind, settings in zip(kinds, architecture.texts, strict=False)
        ]
    assert tuple(parameters(network) for network in made) == texts


def operations_by_layers(architecture: Architecture, size: int) -> int:
    """One row's operations from the shapes that every layer sees: two per multiply-add."""
    count = 0

    def note(module: Any, given: tuple[torch.Tensor, ...], named: Any, made: torch.Tensor) -> None:
        nonlocal count
        if isinstance(module, torch.nn.Conv2d):
            count += 2 * made.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            count += 2 * made.numel() * module.in_features
        elif isinstance(module, Attention):  # queries times keys, and weights times values
            keys = named.get("encoder_hidden_states")
            keys = given[0] if keys is None else keys
            count += 4 * given[0].shape[1] * keys.shape[1] * module.inner_dim

    with torch.device("meta"), torch.inference_mode():
        unet = library.UNet2DConditionModel(**architecture.unet).eval()
        for module in unet.modules():
            module.register_forward_hook(note, with_kwargs=True)
        width = architecture.texts[-1]["projection_dim"]
        unet(
            torch.empty(1, 4, size // 8, size // 8),
            torch.empty(1),
            encoder_hidden_states=torch.empty(1, 77, architecture.unet["cross_attention_dim"]),
            added_cond_kwargs={"text_embeds": torch.empty(1, width), "time_ids": torch.empty(1, 6)},
        )
    return count


@pytest.mark.parametrize(
    ("architecture", "size"), [(SD15, 512), (SDXL, 1024)], ids=["sd15", "sdxl"]
)
def test_operations_are_those_of_all_layers(architecture: Architecture, size: int) -> None:
    counted = unet_flops(architecture, 1, size, size)
    assert counted == pytest.approx(operations_by_layers(architecture, size), rel=1e-3)


def test_operations_grow_with_the_rows() -> None:
    (tiny, _) = TINY.values()
    assert unet_flops(tiny, 6, 64, 64) == 3 * unet_flops(tiny, 2, 64, 64)


@pytest.mark.parametrize("name", TINY)
def test_a_random_pipeline_can_be_loaded_and_drawn_with(name: str, tmp_path: Path) -> None:
    folder = save_random_pipeline(
        TINY[name], tmp_path / name, dtype=torch.bfloat16, device="cpu", seed=3
    )
    variant = load_variant("full", folder, dtype="bfloat16")
    assert (variant.native_size, variant.latent_factor, variant.sampler) == (64, 8, "euler")
    assert (variant.is_xl, variant.encoder.tokens_max) == (TINY[name].is_xl, 77)
    assert {p.dtype for p in variant.unet.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32
    variant.encoder.check_length("a large red circle at the left and a small blue square")


def test_a_seed_gives_the_same_weights_again(tmp_path: Path) -> None:
    def weights(folder: Path, seed: int) -> torch.Tensor:
        save_random_pipeline(TINY["tiny15"], folder, dtype=torch.float32, device="cpu", seed=seed)
        return torch.cat([p.flatten() for p in load_variant("v", folder).unet.parameters()])

    first = weights(tmp_path / "a", 1)
    assert torch.equal(first, weights(tmp_path / "b", 1))
    assert not torch.equal(first, weights(tmp_path / "c", 2))
