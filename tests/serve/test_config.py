from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.controllers import Hysteresis, Static
from serve.config import CONFIGS, DEFAULT_CONFIG, Config, ConfigError, load_config, parse_config

HERE = Path("/somewhere/serve.yaml")


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(DEFAULT_CONFIG.read_text())
    return loaded


def changed(key: str, value: Any) -> dict[str, Any]:
    """The default configuration with one dotted key set (None: removed)."""
    whole = content()
    place: Any = whole
    *path, last = key.split(".")
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if value is None:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return whole


def fault(key: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(key, value), HERE)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_configuration_that_ships_is_valid(path: Path) -> None:
    config = load_config(path, environment={})
    assert config.build_ladder().best.variant in config.variants
    assert "\n" not in path.name


def test_default_saves_itself_and_static_does_not() -> None:
    default = load_config(DEFAULT_CONFIG, environment={})
    static = load_config(CONFIGS / "static.yaml", environment={})
    assert isinstance(default.controller.build(), Hysteresis)
    assert isinstance(static.controller.build(), Static)
    assert default.ladder == static.ladder
    assert default.variants == static.variants


@pytest.mark.parametrize(
    ("key", "value", "named", "advice"),
    [
        ("model.colour", "red", "model.colour", "remove it"),
        ("queue", {}, "queue", "remove it"),
        ("model.id", None, "model.id", "add it"),
        ("model.id", "two words", "model.id", "use letters"),
        ("model.sizes", ["64"], "model.sizes", "WIDTHxHEIGHT"),
        ("model.sizes", ["60x64"], "model.sizes", "multiples of 8"),
        ("model.sizes", [], "model.sizes", "correct it"),
        ("variants.full.source", "hub:nobody", "variants.full.source", "hub:OWNER/NAME"),
        ("variants.full.dtype", "int8", "variants.full.dtype", "correct it"),
        ("variants.full.sampler", "best", "variants.full.sampler", "correct it"),
        ("variants.spare", {"source": "x"}, "variants", "add a rung"),
        ("ladder.0.variant", "huge", "ladder", "change the rung"),
        ("ladder.0.steps", 0, "ladder.0.steps", "correct it"),
        ("ladder.0.steps", 101, "ladder", "raise steps_max"),
        ("ladder.0.quality", "low", "ladder", "order the ladder"),
        ("ladder.4.steps", 5, "ladder", "raise steps_max"),
        ("ladder.1.replannable", False, "ladder", "the same"),
        ("controller.enter", [2, 4], "controller", "one of each"),
        ("controller.enter", [2, 4, 8, 16, 32], "controller", "one of each"),
        ("controller.rung", 1, "controller", "drop the key rung"),
        ("controller.kind", "static", "controller", "drop enter"),
        ("controller.kind", "clever", "controller.kind", "correct it"),
        ("dispatcher.max_waiting", 0, "dispatcher.max_waiting", "correct it"),
        ("engines.0.variants", ["full", "small"], "engines", "add it to a pool"),
        ("engines.0.variants", ["full", "small", "turbo", "x"], "engines", "add it there"),
        ("engines.0.device", "tpu", "engines.0.device", "correct it"),
        ("server.port", 70_000, "server.port", "correct it"),
    ],
)
def test_a_wrong_key_is_named_with_advice_in_one_line(
    key: str, value: Any, named: str, advice: str
) -> None:
    told = fault(key, value)
    assert told.startswith(f"{HERE}: {named}")
    assert advice in told
    assert "\n" not in told


def test_thresholds_beyond_the_ladder_are_refused() -> None:
    whole = content()
    whole["controller"] |= {"enter": [1, 2, 3, 4, 5], "leave": [0, 0, 0, 0, 0]}
    with pytest.raises(ConfigError, match="the ladder ends at rung 4"):
        parse_config(whole, HERE)


def test_two_pools_of_one_name_are_refused() -> None:
    whole = content()
    whole["engines"].append(whole["engines"][0])
    with pytest.raises(ConfigError, match="two pools are named 'main'"):
        parse_config(whole, HERE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: [", "not valid YAML near line 1"),
        ("- a list", "must hold keys"),
        ("model: {id: a, id: b}", "'id' is given twice (line 1)"),
        ("", "must hold keys"),
    ],
)
def test_a_file_that_is_no_configuration_says_so(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_and_a_binary_one_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml", environment={})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "binary.yaml", environment={})


def test_the_environment_sets_the_port() -> None:
    assert load_config(DEFAULT_CONFIG, environment={"SLUICE_PORT": "8123"}).server.port == 8123
    assert load_config(DEFAULT_CONFIG, environment={"SLUICE_PORT": ""}).server.port == 8000
    with pytest.raises(ConfigError, match="'http' is not a port"):
        load_config(DEFAULT_CONFIG, environment={"SLUICE_PORT": "http"})
    with pytest.raises(ConfigError, match=r"server\.port"):
        load_config(DEFAULT_CONFIG, environment={"SLUICE_PORT": "99999"})


def test_sources_are_resolved_beside_the_file() -> None:
    whole = changed("variants.full.source", "weights/full")
    whole["variants"]["small"]["source"] = "hub:owner/small"
    config = parse_config(whole, HERE)
    assert config.variants["full"].source == "/somewhere/weights/full"
    assert config.variants["small"].source == "hub:owner/small"
    assert config.variants["turbo"].source.endswith("pipelines/embedded/weights/turbo")


def test_model_ids_are_the_family_and_its_variants() -> None:
    config = load_config(DEFAULT_CONFIG, environment={})
    assert config.model_ids() == {
        "sluice-shapes": None,
        "sluice-shapes/full": "full",
        "sluice-shapes/small": "small",
        "sluice-shapes/turbo": "turbo",
    }


def test_only_a_variant_without_replannable_rungs_has_a_fixed_schedule() -> None:
    config: Config = load_config(DEFAULT_CONFIG, environment={})
    assert config.has_fixed_schedule("turbo")
    assert not config.has_fixed_schedule("full")
