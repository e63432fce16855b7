"""What a model's own files rule out is told before anything starts."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve.config import Config, ConfigError, parse_config
from serve.model_files import AUTOENCODER, INDEX, SCHEDULER
from serve.preflight import check_gpus, check_memory, check_models, check_packages, check_weights
from tests.conftest import TINY_CONFIG

Place = Callable[..., Config]


@pytest.fixture
def place(tiny_config: Path, tmp_path: Path) -> Place:
    """Makes a configuration beside copies of the tiny pipelines: full, small (as full), turbo."""
    for name, like in (("full", "full"), ("small", "full"), ("turbo", "turbo")):
        shutil.copytree(tiny_config.with_name(like), tmp_path / name)

    def made(**sections: Any) -> Config:
        return parse_config({**TINY_CONFIG, **sections}, tmp_path / "server.yaml")

    return made


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def fault(check: Callable[[Config], None], config: Config) -> str:
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def handing_over(place: Place) -> Config:
    """full and small in one engine."""
    variants = TINY_CONFIG["variants"] | {"small": {"source": "small", "steps_max": 900}}
    ladder = [*TINY_CONFIG["ladder"]]
    ladder.insert(2, {"variant": "small", "steps": 6, "quality": "medium"})
    engines = [{**TINY_CONFIG["engines"][0], "variants": list(variants)}]
    controller = TINY_CONFIG["controller"] | {"apply": "hand_over"}
    return place(variants=variants, ladder=ladder, engines=engines, controller=controller)


def test_models_that_do_what_is_wanted_pass(place: Place) -> None:
    for config in (place(), handing_over(place)):
        check_weights(config)
        check_models(config)
        check_packages(config)


def test_more_steps_than_the_model_was_trained_on_are_refused(place: Place, tmp_path: Path) -> None:
    edit(tmp_path / "full" / SCHEDULER, num_train_timesteps=10)
    assert "the rung of 'full' with 12 steps is longer than the 10" in fault(check_models, place())
    edit(tmp_path / "full" / SCHEDULER, num_train_timesteps=500)
    told = fault(check_models, place())
    assert told.startswith("variants.full.steps_max: clients may ask for 900 steps")
    assert "500" in told


def test_more_steps_than_a_model_was_distilled_for_are_refused(
    place: Place, tmp_path: Path
) -> None:
    edit(tmp_path / "turbo" / SCHEDULER, original_inference_steps=3)
    assert "the rung of 'turbo' with 4 steps is longer than the 3" in fault(check_models, place())


def test_a_size_that_the_autoencoder_cannot_make_is_refused(place: Place, tmp_path: Path) -> None:
    edit(tmp_path / "full" / AUTOENCODER, block_out_channels=[8] * 6)
    told = fault(check_models, place())
    assert told.startswith("model.sizes: 16x16 cannot be made by variant 'full'")
    assert "multiples of 32" in told


def test_a_pipeline_of_another_class_is_refused(place: Place, tmp_path: Path) -> None:
    edit(tmp_path / "full" / INDEX, _class_name="FluxPipeline")
    assert "variants.full.source: it is a FluxPipeline" in fault(check_models, place())


def test_a_missing_or_damaged_file_is_told_by_name(place: Place, tmp_path: Path) -> None:
    (tmp_path / "full" / SCHEDULER).write_text("{")
    assert f"{tmp_path / 'full' / SCHEDULER} is damaged" in fault(check_models, place())
    (tmp_path / "full" / SCHEDULER).unlink()
    assert f"has no {SCHEDULER}" in fault(check_models, place())


@pytest.mark.parametrize(
    ("part", "changes", "key"),
    [
        (AUTOENCODER, {"scaling_factor": 0.5}, "scaling_factor"),
        (SCHEDULER, {"beta_end": 0.5}, "beta_end"),
    ],
)
def test_a_hand_over_between_unlike_models_is_refused(
    place: Place, tmp_path: Path, part: str, changes: dict[str, Any], key: str
) -> None:
    edit(tmp_path / "small" / part, **changes)
    told = fault(check_models, handing_over(place))
    assert f"'full' and 'small' differ in {key}" in told
    check_models(place())  # nobody hands over there


def test_pickled_weights_are_read_only_where_that_is_allowed(place: Place, tmp_path: Path) -> None:
    (weights,) = (tmp_path / "full" / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    assert "set pickled_weights to true" in fault(check_weights, place())
    variants = {**TINY_CONFIG["variants"], "full": {"source": "full", "pickled_weights": True}}
    check_weights(place(variants=variants))


def test_a_second_text_encoder_needs_its_weights_too(place: Place, tmp_path: Path) -> None:
    edit(tmp_path / "full" / INDEX, text_encoder_2=["transformers", "CLIPTextModel"])
    told = fault(check_weights, place())
    assert f"{tmp_path / 'full' / 'text_encoder_2'} holds no .safetensors" in told


def test_quantisation_without_its_package_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    variants = {**TINY_CONFIG["variants"], "full": {"source": "full", "quantisation": "int8"}}
    assert "install torchao==0.18.0, or set quantisation" in fault(
        check_packages, place(variants=variants)
    )
    check_packages(place())


def test_what_the_service_needs_counts_against_what_is_in_use(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.preflight.memory_total", lambda: 10_000_000_000)
    monkeypatch.setattr("serve.preflight.memory_used", lambda: 7_000_000_000)
    check_memory(place(), {})
    with pytest.raises(
        ConfigError, match=r"7.0 of 10.0 GB are in use.* about 1.5 more.* above 80%"
    ):
        check_memory(place(), {"RAY_memory_usage_threshold": "0.8"})
    many = [TINY_CONFIG["engines"][0] | {"replicas": 5}]
    with pytest.raises(ConfigError, match=r"about 3\.5 more"):
        check_memory(place(engines=many), {})


ENGINES = TINY_CONFIG["engines"][0]


@pytest.mark.parametrize(
    ("engines", "gpus"),
    [
        ({"device": "cpu", "replicas": 9}, 0.0),
        ({"device": "auto", "replicas": 9}, 0.0),
        ({"device": "cuda", "replicas": 2}, 2.0),
        ({"device": "cuda", "replicas": 4, "gpus": 0.5}, 2.0),
    ],
)
def test_engines_that_fit_the_machine_s_cards_pass(
    place: Place, engines: dict[str, Any], gpus: float
) -> None:
    check_gpus(place(engines=[ENGINES | engines]), gpus)


@pytest.mark.parametrize(
    ("engines", "gpus"),
    [
        ({"device": "cuda"}, 0.0),
        ({"device": "cuda", "replicas": 3}, 2.0),
        ({"device": "auto", "replicas": 3}, 2.0),
    ],
)
def test_more_engines_than_cards_are_told_instead_of_waited_for(
    place: Place, engines: dict[str, Any], gpus: float
) -> None:
    with pytest.raises(ConfigError, match=rf"this machine has {gpus:g}; lower replicas or gpus"):
        check_gpus(place(engines=[ENGINES | engines]), gpus)
