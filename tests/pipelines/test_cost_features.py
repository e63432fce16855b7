"""What a UNet call does, counted without weights, and what a device can do, from its probes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipelines.benchmarks.architectures import SD15
from pipelines.cost_features import (
    CONV_CHANNELS,
    CONV_ROWS,
    CONV_SIDE,
    COPY_BYTES,
    MATMUL_SIDE,
    SMALL_CALLS,
    ModelShape,
    count_work,
    read_config,
    read_shape,
    speed_of,
    speed_probes,
)
from pipelines.cost_samples import DeviceSpeed
from tests.pipelines.tiny_pipelines import make_unet

WEIGHTS = Path(__file__).resolve().parents[2] / "pipelines" / "embedded" / "weights"
LATENT = (8, 6)
TOKENS = 5


def config(**extra: Any) -> dict[str, Any]:
    return dict(make_unet(32, **extra).config)


def test_operations_are_those_that_the_model_runs() -> None:
    unet = make_unet(32)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        unet(torch.zeros(2, 4, *LATENT), torch.zeros(2), torch.zeros(2, TOKENS, 32))
    ran = {str(name): count for name, count in flops.get_flop_counts()["Global"].items()}
    work = count_work(dict(unet.config), LATENT, "float32", TOKENS).at(2)
    assert work.conv_flops == ran["aten.convolution"]
    linear = ran["aten.addmm"] + ran["aten.mm"]
    # Torch counts no fused attention on a CPU: two products, of every position with every key.
    # Three blocks of 16 channels (one down, two up) at the full size, one of 32 in the middle.
    full, half = LATENT[0] * LATENT[1], LATENT[0] * LATENT[1] // 4
    attention = sum(
        blocks * 2 * 4 * positions * keys * channels
        for blocks, positions, channels in ((3, full, 16), (1, half, 32))
        for keys in (positions, TOKENS)
    )
    assert work.matmul_flops == linear + attention


def test_every_count_is_a_fixed_part_and_a_part_for_each_row() -> None:
    counted = count_work(config(), LATENT, "float32", TOKENS)
    one, five = counted.at(1), counted.at(5)
    assert five.calls == one.calls > 50
    assert five.parameter_bytes == one.parameter_bytes
    assert five.conv_flops == 5 * one.conv_flops
    assert five.activation_bytes == pytest.approx(5 * one.activation_bytes, rel=0.01)
    with pytest.raises(ValueError, match="at least 1 row"):
        counted.at(0)


def test_parameters_are_read_once_and_half_numbers_are_half_the_bytes() -> None:
    parameters = sum(parameter.numel() for parameter in make_unet(32).parameters())
    single, half = (
        count_work(config(), LATENT, dtype, TOKENS).at(2) for dtype in ("float32", "bfloat16")
    )
    assert single.parameter_bytes == 4 * parameters
    assert half.parameter_bytes == 2 * parameters
    assert half.activation_bytes == pytest.approx(single.activation_bytes / 2, rel=0.05)
    assert half.conv_flops == single.conv_flops


def test_larger_pictures_are_more_work_for_the_same_parameters() -> None:
    small, large = (count_work(config(), (s, s), "float32", TOKENS).at(1) for s in (8, 16))
    assert large.conv_flops == pytest.approx(4 * small.conv_flops)
    assert large.matmul_flops > 4 * small.matmul_flops  # attention grows with the square
    assert large.parameter_bytes == small.parameter_bytes


def test_sdxl_has_conditions_of_its_own() -> None:
    extra = config(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    with_conditions = count_work(extra, LATENT, "float32", TOKENS).at(1)
    without = count_work(config(), LATENT, "float32", TOKENS).at(1)
    assert with_conditions.matmul_flops > without.matmul_flops


def test_a_model_too_large_for_this_machine_is_counted_all_the_same() -> None:
    work = count_work(dict(SD15.unet), (64, 64), "float32", 77).at(1)
    assert work.parameter_bytes == 4 * 859_520_964


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "FluxTransformer2DModel"}, "predicted for UNet2DConditionModel"),
        ({"addition_embed_type": "image"}, "'image' is not handled"),
        ({"up_block_types": ["UpBlock2D"]}, "makes no UNet"),
    ],
)
def test_configs_that_cannot_be_counted_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        count_work(config() | changes, LATENT, "float32", TOKENS)


def test_a_pipeline_folder_tells_its_shape_without_its_weights(tmp_path: Path) -> None:
    for part in ("unet", "vae", "text_encoder"):
        (tmp_path / part).mkdir()
        source = WEIGHTS / "full" / part / "config.json"
        (tmp_path / part / "config.json").write_text(source.read_text())
    shape = read_shape(tmp_path)
    assert (shape.latent_factor, shape.tokens) == (8, 32)
    assert shape.latent(64, 128) == (16, 8)
    with pytest.raises(ValueError, match="multiples of 8, got 64x60"):
        shape.latent(64, 60)


def test_files_that_are_no_configs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name a folder with its config\.json"):
        read_shape(tmp_path)
    path = tmp_path / "config.json"
    for text, said in (("{", "not JSON"), (json.dumps([1]), "no object of settings")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_config(path)


def test_a_bare_config_has_the_usual_factor_and_text() -> None:
    assert ModelShape({}).latent(512, 768) == (96, 64)
    assert ModelShape({}).tokens == 77


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_probes_give_speeds(dtype: str) -> None:
    probes = speed_probes(torch.device("cpu"), dtype)
    speed = speed_of({name: probe() for name, probe in probes.items()})
    assert speed.call_s < 0.1
    assert speed.bytes_per_s > 1e6


def test_speeds_are_work_over_time() -> None:
    speed = speed_of({"matmul": 2.0, "conv": 4.0, "copy": 0.5, "calls": 6.0})
    assert speed.matmul_flops_per_s == MATMUL_SIDE**3
    assert speed.conv_flops_per_s == 9 * CONV_ROWS * CONV_SIDE**2 * CONV_CHANNELS**2 / 2
    assert speed.bytes_per_s == 4 * COPY_BYTES
    assert speed.call_s == 6.0 / SMALL_CALLS
    with pytest.raises(ValueError, match="positive"):
        DeviceSpeed(1.0, 0.0, 1.0, 1.0)
