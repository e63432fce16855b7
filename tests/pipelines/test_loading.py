"""Folders to variants, and one sentence for each thing that can be wrong with a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.loading import LoadError, Variant, load_variant, variants_share_latents
from tests.pipelines.tiny_pipelines import save_pipeline


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["v_prediction"], tmp_path / "copy"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_brings_its_own_sampler_and_sizes(full: Variant) -> None:
    assert (full.sampler, full.fixed_schedule, full.guided) == ("ddim", False, True)
    assert (full.native_size, full.latent_factor, full.size_multiple) == (16, 2, 8)
    assert full.latent_shape(24, 16) == (1, 4, 8, 12)
    assert not full.is_xl


def test_a_distilled_folder_is_known_by_its_sampler(turbo: Variant) -> None:
    assert (turbo.sampler, turbo.fixed_schedule, turbo.guided) == ("lcm", True, False)
    assert (turbo.guidance_scale, turbo.steps) == (1.0, 4)


def test_defaults_can_be_named(folders: dict[str, Path]) -> None:
    variant = load_variant(
        "v",
        folders["v_prediction"],
        dtype="bfloat16",
        sampler="euler",
        steps=3,
        guidance_scale=0.0,
        fixed_schedule=True,
    )
    assert (variant.sampler, variant.steps, variant.guided) == ("euler", 3, False)
    assert variant.unet.dtype == torch.bfloat16
    assert not any(parameter.requires_grad for parameter in variant.unet.parameters())


def test_an_autoencoder_that_overflows_in_half_precision_stays_in_single(copy: Path) -> None:
    change(copy / "vae" / "config.json", force_upcast=True)
    variant = load_variant("half", copy, dtype="float16")
    assert variant.unet.dtype == torch.float16
    assert variant.pipeline.vae.dtype == torch.float32
    with torch.inference_mode():
        assert variant.decoder.decode(torch.zeros(1, 4, 8, 8))[0] is not None


def test_no_safety_checker_is_loaded(full: Variant) -> None:
    assert full.pipeline.safety_checker is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dtype": "int8"}, "dtype must be float32, bfloat16, float16"),
        ({"device": "nowhere"}, "device 'nowhere' is not usable"),
        ({"sampler": "heun"}, "'heun' is unknown; use one of ddim"),
        ({"embeddings_kept": 0}, "at least 1 text"),
        ({"steps": 1001}, r"'v': steps must be between 1 and 1000 with sampler 'ddim', got 1001"),
        ({"steps": 0}, "steps must be between 1 and 1000"),
    ],
)
def test_options_that_cannot_be_are_refused(
    folders: dict[str, Path], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        load_variant("v", folders["v_prediction"], **options)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there is no folder .*none; give a pipeline folder"):
        load_variant("v", tmp_path / "none")


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"no readable model_index\.json"):
        load_variant("v", tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_weights_are_named(copy: Path, part: str) -> None:
    for path in (copy / part).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(LoadError, match=rf"{part} holds no \.safetensors weights"):
        load_variant("v", copy)


def pickle_weights(part: Path, name: str) -> None:
    (path,) = part.glob("*.safetensors")
    torch.save(load_file(path), part / name)
    path.unlink()


def test_pickled_weights_are_read_only_when_they_are_allowed(copy: Path, full: Variant) -> None:
    pickle_weights(copy / "unet", "diffusion_pytorch_model.bin")
    pickle_weights(copy / "text_encoder", "pytorch_model.bin")
    with pytest.raises(LoadError, match=r"unet holds no \.safetensors weights but pickled ones"):
        load_variant("v", copy)
    allowed = load_variant("v", copy, allow_pickled_weights=True)
    for ours, theirs in ((allowed.unet, full.unet), (allowed.pipeline.vae, full.pipeline.vae)):
        expected = theirs.state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())


def test_allowing_pickled_weights_does_not_make_do_without_any(copy: Path) -> None:
    for path in (copy / "vae").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(LoadError, match=r"vae holds no \.safetensors weights; put"):
        load_variant("v", copy, allow_pickled_weights=True)


def test_damaged_weights_are_refused_in_one_sentence(copy: Path) -> None:
    (path,) = (copy / "unet").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LoadError, match="cannot be loaded from") as caught:
        load_variant("v", copy)
    assert "\n" not in str(caught.value)


def test_another_kind_of_pipeline_is_refused(copy: Path) -> None:
    change(copy / "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(LoadError, match=r"is a FluxPipeline; the engine runs StableDiffusion"):
        load_variant("v", copy)


def test_an_own_sampler_that_is_not_stepped_asks_for_a_name(copy: Path) -> None:
    change(copy / "model_index.json", scheduler=["diffusers", "PNDMScheduler"])
    change(copy / "scheduler" / "scheduler_config.json", _class_name="PNDMScheduler")
    with pytest.raises(LoadError, match="own sampler PNDMScheduler is not one"):
        load_variant("v", copy)
    assert load_variant("v", copy, sampler="dpmpp_2m").sampler == "dpmpp_2m"


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("tokenizer/tokenizer_config.json", {"model_max_length": 77}, "model_max_length to 32"),
        ("scheduler/scheduler_config.json", {"thresholding": True}, "dynamic thresholding"),
    ],
)
def test_configs_that_are_not_followed_are_refused(
    copy: Path, file: str, values: dict[str, Any], said: str
) -> None:
    change(copy / file, **values)
    with pytest.raises(LoadError, match=said):
        load_variant("v", copy)


def test_inpainting_models_are_refused(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "p", unet={"in_channels": 9})
    with pytest.raises(LoadError, match="takes 9 channels and gives 4"):
        load_variant("v", folder)


def test_models_with_an_embedded_guidance_scale_are_refused(tmp_path: Path) -> None:
    folder = save_pipeline(tmp_path / "p", unet={"time_cond_proj_dim": 8})
    with pytest.raises(LoadError, match="embedded guidance scale"):
        load_variant("v", folder)


def add_to_weight(folder: Path, name: str, amount: float) -> None:
    (path,) = folder.glob("*.safetensors")
    weights = load_file(path)
    weights[name] = weights[name] + amount
    save_file(weights, path, metadata={"format": "pt"})


def test_variants_with_one_autoencoder_and_one_noise_schedule_share_latents(
    folders: dict[str, Path], copy: Path, full: Variant
) -> None:
    add_to_weight(copy / "unet", "conv_out.bias", 1.0)
    other_model = load_variant("other", copy, sampler="euler", dtype="float32")
    assert variants_share_latents(full, other_model)
    assert variants_share_latents(other_model, full)
    assert variants_share_latents(full, load_variant("e", folders["epsilon"]))  # same random seed


def test_another_autoencoder_does_not_share_latents(copy: Path, full: Variant) -> None:
    change(copy / "vae" / "config.json", scaling_factor=0.5)
    assert not variants_share_latents(full, load_variant("other", copy))


def test_an_autoencoder_with_one_other_number_does_not_share_latents(
    copy: Path, full: Variant
) -> None:
    add_to_weight(copy / "vae", "decoder.conv_out.bias", 1e-6)
    assert not variants_share_latents(full, load_variant("other", copy))


def test_another_noise_schedule_does_not_share_latents(copy: Path, full: Variant) -> None:
    change(copy / "scheduler" / "scheduler_config.json", beta_end=0.016)
    assert not variants_share_latents(full, load_variant("other", copy))


def test_distilled_variants_share_latents_with_nobody(full: Variant, turbo: Variant) -> None:
    assert not variants_share_latents(full, turbo)
    assert not variants_share_latents(turbo, full)
    assert full.autoencoder_digest == turbo.autoencoder_digest
