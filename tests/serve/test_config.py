from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.controllers import Hysteresis, Static
from serve.config import CONFIGS, DEFAULT_CONFIG, Config, ConfigError, load_config, parse_config

HERE = Path("/somewhere/serve.yaml")
BUDGET = "early_exit.convergence.loss_budget"


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
    assert isinstance(default.build_policy().controller, Hysteresis)
    assert isinstance(static.build_policy().controller, Static)
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
        ("variants.full.sampler", "lcm", "ladder", "replannable to false"),
        ("variants.full.quantisation", "int4", "variants.full.quantisation", "correct it"),
        ("variants.full.quantisation", "float8", "variants.full.dtype", "bfloat16"),
        ("variants.spare", {"source": "x"}, "variants", "add a rung"),
        ("ladder.0.variant", "huge", "ladder", "change the rung"),
        ("ladder.0.steps", 0, "ladder.0.steps", "correct it"),
        ("ladder.0.steps", 101, "ladder", "raise steps_max"),
        ("ladder.0.quality", "low", "ladder", "order the ladder"),
        ("ladder.4.steps", 5, "ladder", "raise steps_max"),
        ("ladder.1.replannable", False, "ladder", "the same"),
        ("ladder.1.guidance_share", 1.2, "ladder.1.guidance_share", "correct it"),
        ("ladder.4.guidance_share", 0.5, "ladder", "drop its guidance_share"),
        ("ladder.1.score", 1.2, "ladder.1.score", "correct it"),
        ("controller.enter", [2, 4], "controller", "one of each"),
        ("controller.enter", [2, 4, 8, 16, 32], "controller", "one of each"),
        ("controller.rung", 1, "controller", "drop rung"),
        ("controller.leave", None, "controller", "needs leave"),
        ("controller.kind", "static", "controller", "drop enter"),
        ("controller.kind", "clever", "controller.kind", "correct it"),
        ("controller.apply", "soon", "controller.apply", "correct it"),
        ("controller.finish_from", 0.5, "controller", "finish_now"),
        ("early_exit", {"convergence": {"loss_budget": 0}}, BUDGET, "correct it"),
        ("early_exit", {"convergence": {"loss_budget": -1.0}}, BUDGET, "correct it"),
        ("early_exit", {"convergence": {}}, BUDGET, "add it"),
        ("dispatcher.max_waiting", 0, "dispatcher.max_waiting", "correct it"),
        ("engines.0.variants", ["full", "small"], "engines", "add it to a pool"),
        ("engines.0.variants", ["full", "small", "turbo", "x"], "engines", "add it there"),
        ("engines.0.device", "tpu", "engines.0.device", "correct it"),
        ("engines.0.compile", "cuda_graphs", "engines.0", "set device to cuda"),
        ("engines.0.row_buckets", [2, 2, 8], "engines.0.row_buckets", "sort them"),
        ("engines.0.row_buckets", [1, 2, 4], "engines.0.row_buckets", "add 8"),
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


@pytest.mark.parametrize(
    ("pool", "variant", "told"),
    [
        ({"compile": "inductor", "offload": "model"}, {}, "set one of the two to none"),
        ({"overlap": True, "offload": "model"}, {}, "set overlap to false"),
        ({"offload": "layers"}, {"quantisation": "int8"}, "set offload to model or none"),
        (
            {"device": "cpu"},
            {"quantisation": "float8", "dtype": "bfloat16"},
            r"engines\.0\.device: 'full' .* set device to cuda",
        ),
        ({"device": "cuda"}, {"quantisation": "int8"}, r"engines\.0\.compile: .* int8_weights"),
    ],
)
def test_what_excludes_each_other_in_an_engine_is_refused(
    pool: dict[str, Any], variant: dict[str, Any], told: str
) -> None:
    whole = content()
    whole["engines"][0] |= pool
    whole["variants"]["full"] |= variant
    with pytest.raises(ConfigError, match=told):
        parse_config(whole, HERE)


def test_guidance_is_cut_only_where_there_is_some() -> None:
    whole = changed("ladder.1.guidance_share", 0.5)
    assert parse_config(whole, HERE).build_ladder()[1].guidance_share == 0.5
    whole["variants"]["full"]["guidance_scale"] = 1.0
    with pytest.raises(ConfigError, match="give the variant a guidance_scale above 1"):
        parse_config(whole, HERE)


def test_a_distilled_variant_without_guidance_takes_one_row_a_picture() -> None:
    whole = content()
    whole["ladder"] = whole["ladder"][-1:]
    whole["controller"] = {"kind": "static"}
    whole["variants"] = {"turbo": whole["variants"]["turbo"]}
    whole["engines"][0] |= {"variants": ["turbo"], "row_buckets": [4]}
    assert not parse_config(whole, HERE).may_be_guided("turbo")
    whole["variants"]["turbo"]["guidance_scale"] = 2.0
    with pytest.raises(ConfigError, match="add 8"):
        parse_config(whole, HERE)


def test_each_engine_hands_over_among_its_own_variants() -> None:
    whole = changed("controller.apply", "hand_over")
    (pool,) = parse_config(whole, HERE).engines
    rules = parse_config(whole, HERE).exit_rules(pool)
    assert rules.on_lower == "hand_over"
    assert rules.hands_over == {"full": frozenset({"small"}), "small": frozenset({"full"})}
    whole["engines"] = [
        {"name": name, "variants": [name], "max_batch": 2} for name in whole["variants"]
    ]
    with pytest.raises(ConfigError, match="put them into one pool"):
        parse_config(whole, HERE)


def test_finish_now_takes_the_share_to_finish_from() -> None:
    whole = changed("controller.apply", "finish_now")
    whole["controller"]["finish_from"] = 0.8
    config = parse_config(whole, HERE)
    rules = config.exit_rules(config.engines[0])
    assert (rules.on_lower, rules.finish_from) == ("finish", 0.8)


def test_thresholds_beyond_the_ladder_are_refused() -> None:
    whole = content()
    whole["controller"] |= {"enter": [1, 2, 3, 4, 5], "leave": [0, 0, 0, 0, 0]}
    with pytest.raises(ConfigError, match=r"controller: .* last rung of the ladder is 4"):
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
