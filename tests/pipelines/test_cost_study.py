"""The cost study measures what it says: these architectures, rows, sizes and settings, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pipelines import cost_study
from pipelines.cost_samples import Setting
from pipelines.cost_study import (
    WEIGHTS,
    StudySettings,
    architectures,
    measure_speed,
    run_study,
    with_random_unet,
)
from pipelines.loading import Variant, load_variant
from pipelines.probes import StepRig

SMALL = StudySettings(
    rows=(1, 4), latents=(8, 12), threads=(1,), dtypes=("float32",), repetitions=1
)


@pytest.fixture(scope="module")
def embedded() -> Variant:
    return load_variant("full", WEIGHTS / "full")


@pytest.fixture
def two_architectures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    few = {name: architectures()[name] for name in ("embedded_small", "narrow")}
    monkeypatch.setattr(cost_study, "architectures", lambda: few)
    return list(few)


def test_every_combination_is_measured(two_architectures: list[str]) -> None:
    study = run_study(SMALL, seed=3, command="how")
    found = {(s.architecture, s.rows, s.height, s.width, s.setting) for s in study.samples}
    one = Setting(1, "float32")
    wanted = {
        (name, rows, side, side, one)
        for name in two_architectures
        for rows in (1, 4)
        for side in (8, 12)
    }
    assert found == wanted
    assert len(study.samples) == len(wanted)
    assert all(s.step_s.median_s > 0 and s.work.conv_flops > 0 for s in study.samples)
    assert list(study.architectures) == two_architectures
    assert set(study.speeds) == {one}
    assert (study.seed, study.command, study.device) == (3, "how", "cpu")


def test_calls_that_take_too_long_are_left_out(
    two_architectures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost_study, "GFLOP_MAX", 0.2)
    study = run_study(SMALL)
    assert 0 < len(study.samples) < 8
    assert all(s.work.conv_flops + s.work.matmul_flops <= 0.2e9 for s in study.samples)


def test_the_architectures_are_ten_and_differ() -> None:
    configs = architectures()
    assert len(configs) == 10
    assert {"embedded_full", "embedded_small"} <= set(configs)
    shapes = {
        (
            tuple(config["block_out_channels"]),
            tuple(config["down_block_types"]),
            config["layers_per_block"],
            config["transformer_layers_per_block"],
        )
        for config in configs.values()
    }
    assert len(shapes) == len(configs)


def test_another_unet_steps_in_the_embedded_pipeline(
    embedded: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = architectures()["narrow"]
    variant, again = (with_random_unet(embedded, "narrow", config) for _ in range(2))
    assert tuple(variant.unet.config.block_out_channels) == (32, 48)
    assert embedded.unet.config.block_out_channels[0] == 80
    pairs = zip(variant.unet.parameters(), again.unet.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    shapes: list[tuple[int, ...]] = []
    forward = variant.unet.forward

    def seen(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(sample.shape))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(variant.unet, "forward", seen)
    StepRig(variant, 2, 96, 64).run()
    assert set(shapes) == {(4, 12, 8, 12)}


def test_this_machine_can_be_probed_alone() -> None:
    threads = torch.get_num_threads()
    speed = measure_speed(torch.device("cpu"), Setting(1, "float32"), repetitions=1)
    assert speed.matmul_flops_per_s > 0
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": ()}, "needs rows"),
        ({"rows": (3,)}, "1 or even"),
        ({"rows": (0,)}, "1 or even"),
        ({"latents": (10,)}, "multiples of 4"),
        ({"threads": (0,)}, "at least 1"),
        ({"repetitions": 0}, "at least 1"),
        ({"dtypes": ("float8",)}, "float32, bfloat16, float16, got float8"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudySettings(**wrong)
