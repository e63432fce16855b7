"""The forms of a configuration differ where they should and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from analysis.server_config import (
    DEFAULT_CONFIG,
    EMBEDDED_WEIGHTS,
    UNBOUNDED,
    ConfigError,
    is_embedded,
    profile_command,
    read_settings,
    write_modes,
    write_variants,
)
from policies.admission import Admission
from policies.controllers import Hysteresis, LoadProportional, Static
from policies.orders import Tiers
from policies.routing import TwoChoices
from serve.config import load_config
from tests.analysis.synthetic_demo import CONFIG, settings, write_config


def test_the_shipped_configuration_is_read() -> None:
    found = read_settings(DEFAULT_CONFIG)
    assert str(found.ladder.best) == "full@25"
    assert isinstance(found.controller, Hysteresis)
    assert found.controlled
    assert is_embedded(found)
    assert found.batches_of_best() == [found.max_batch]


def test_the_way_to_apply_a_rung_and_its_guidance_are_read(tmp_path: Path) -> None:
    first, *rest = CONFIG["ladder"]
    ladder = [first, {**first, "guidance_share": 0.5}, *rest]
    controller = {**CONFIG["controller"], "apply": "finish_now", "finish_from": 0.8}
    found = read_settings(write_config(tmp_path, ladder=ladder, controller=controller))
    assert [rung.guidance_share for rung in found.ladder.rungs] == [1.0, 0.5, 1.0, 1.0]
    assert (found.rules.on_lower, found.rules.finish_from) == ("finish", 0.8)
    assert read_settings(write_config(tmp_path)).rules.on_lower == "replan"


def test_an_unknown_way_to_apply_a_rung_is_refused(tmp_path: Path) -> None:
    controller = {**CONFIG["controller"], "apply": "soon"}
    with pytest.raises(ConfigError, match="must be one of at_start, in_flight"):
        read_settings(write_config(tmp_path, controller=controller))


def test_the_whole_policy_is_read_as_the_server_reads_it(tmp_path: Path) -> None:
    controller = {"kind": "load_proportional", "target_s": 2.0, "hold_s": 1.5, "deepest": 1}
    dispatcher = {
        "order": "tiers",
        "tiers": {"flex": 60},
        "routing": "two_choices",
        "tenant_max": 3,
        "rate_window_s": 4,
        "seed": 9,
    }
    found = read_settings(write_config(tmp_path, controller=controller, dispatcher=dispatcher))
    assert found.policy.controller == LoadProportional(2.0, 1, 1.5)
    assert found.policy.order == Tiers({"priority": 0.0, "default": 5.0, "flex": 60})
    assert found.policy.routing == TwoChoices()
    assert found.policy.admission == Admission(tenant_max=3)
    assert (found.hold_s, found.rate_window_s, found.seed) == (1.5, 4.0, 9)
    assert found.controlled


@pytest.mark.parametrize("path", sorted(DEFAULT_CONFIG.parent.glob("*.yaml")), ids=lambda p: p.stem)
def test_server_and_models_build_the_same_policy(path: Path) -> None:
    assert read_settings(path).policy == load_config(path, environment={}).build_policy()


def test_prices_are_told_by_the_second(tmp_path: Path) -> None:
    pool = {**CONFIG["engines"][0], "price_per_hour": 7.2}
    (priced,) = read_settings(write_config(tmp_path, engines=[pool])).pools
    assert priced.price_per_s == pytest.approx(0.002)
    assert read_settings(write_config(tmp_path)).pools[0].price_per_s == 0.0


def test_engines_whose_number_changes_are_refused(tmp_path: Path) -> None:
    pool = {**CONFIG["engines"][0], "autoscaling": {"max_replicas": 3, "target_wait_s": 1}}
    with pytest.raises(ConfigError, match="replace autoscaling by replicas"):
        read_settings(write_config(tmp_path, engines=[pool]))


def test_static_neither_refuses_nor_chooses_a_rung(tmp_path: Path) -> None:
    dispatcher = {
        "order": "fair",
        "seed": 3,
        "routing": "within_budget",
        "price_max": 1,
        "tenant_max": 2,
        "refuse_hopeless": True,
    }
    static, controlled = write_variants(write_config(tmp_path, dispatcher=dispatcher), tmp_path)
    kept = {"order": "fair", "seed": 3, "max_waiting": UNBOUNDED}
    assert yaml.safe_load(static.read_text())["dispatcher"] == kept
    assert yaml.safe_load(controlled.read_text())["dispatcher"] == dispatcher


def test_tables_beside_the_configuration_are_found_from_the_new_place(tmp_path: Path) -> None:
    bands = [{"below_per_s": None, "rungs": [[0, 1], [0, 1]]}]
    table = {"version": 1, "kind": "table", "bands": bands}
    (tmp_path / "table.json").write_text(json.dumps(table))
    out = tmp_path / "deeper" / "out"
    out.mkdir(parents=True)
    pool = {**CONFIG["engines"][0], "costs": "costs.json"}
    controller = {"kind": "cost_optimal", "table": "table.json"}
    path = write_config(tmp_path, engines=[pool], controller=controller)
    static, controlled = write_variants(path, out)
    assert read_settings(controlled).policy == read_settings(path).policy
    for written in (static, controlled):
        costs = yaml.safe_load(written.read_text())["engines"][0]["costs"]
        assert costs == str(tmp_path / "costs.json")


def test_static_differs_in_controller_and_bound_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    static_path, controlled_path = write_variants(write_config(tmp_path), out)
    static, controlled = (yaml.safe_load(p.read_text()) for p in (static_path, controlled_path))
    assert static.pop("controller") == {"kind": "static", "rung": 0}
    assert static.pop("dispatcher") == {"max_waiting": UNBOUNDED}
    assert controlled.pop("controller") == CONFIG["controller"]
    assert controlled.pop("dispatcher") == CONFIG["dispatcher"]
    assert static == controlled
    assert isinstance(read_settings(static_path).controller, Static)
    assert not read_settings(static_path).controlled


def test_relative_weights_are_found_from_the_new_place(tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "out"
    out.mkdir(parents=True)
    _, controlled = write_variants(write_config(tmp_path), out)
    assert dict(read_settings(controlled).sources) == {
        "full": "embedded:full",
        "turbo": str(tmp_path / "turbo"),
    }


def test_a_static_configuration_has_nothing_to_compare(tmp_path: Path) -> None:
    path = write_config(tmp_path, controller={"kind": "static", "rung": 0})
    with pytest.raises(ConfigError, match="nothing to compare"):
        write_variants(path, tmp_path)


def test_modes_differ_in_the_way_to_apply_a_rung_only(tmp_path: Path) -> None:
    controller = {**CONFIG["controller"], "apply": "finish_now", "finish_from": 0.5}
    source = write_config(tmp_path, controller=controller)
    paths = write_modes(source, tmp_path, ("static", "configured", "at_start", "in_flight"))
    assert [path.name for path in paths.values()] == [f"{mode}.yaml" for mode in paths]
    written = {mode: yaml.safe_load(path.read_text()) for mode, path in paths.items()}
    found = {mode: one.pop("controller") for mode, one in written.items()}
    assert found["configured"] == controller
    kept = {name: value for name, value in controller.items() if name != "finish_from"}
    assert found["at_start"] == {**kept, "apply": "at_start"}
    assert found["in_flight"] == {**kept, "apply": "in_flight"}
    assert written["at_start"] == written["in_flight"] == written["configured"]
    rules = {mode: read_settings(path).rules.on_lower for mode, path in paths.items()}
    assert (rules["at_start"], rules["in_flight"]) == ("keep", "replan")
    assert not read_settings(paths["static"]).controlled


def test_modes_are_those_that_were_asked_for(tmp_path: Path) -> None:
    path = write_config(tmp_path, controller={"kind": "static", "rung": 0})
    assert list(write_modes(path, tmp_path, ["static"])) == ["static"]
    with pytest.raises(ConfigError, match="nothing to compare"):
        write_modes(path, tmp_path, ["static", "at_start"])
    assert not (tmp_path / "at_start.yaml").exists()


def test_the_profile_measures_what_the_server_runs(tmp_path: Path) -> None:
    pools = [{"name": "main", "variants": ["full", "turbo"], "max_batch": 6, "threads": 2}]
    command = profile_command(settings(tmp_path, "controlled", engines=pools), tmp_path / "c.json")
    assert command[:3] == ["-m", "pipelines", "profile"]
    assert f"full={EMBEDDED_WEIGHTS / 'full'}" in command
    assert f"turbo={tmp_path / 'turbo'}" in command
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options["--batches"] == "1,2,4,6"
    assert options["--threads"] == "2"
    assert options["--sampler"] == "turbo=lcm"
    assert options["--size"] == "64x64"


@pytest.mark.parametrize(
    ("devices", "words"), [(("cpu", "cuda"), "one device"), (("auto", "auto"), "cpu or cuda")]
)
def test_engines_that_one_table_cannot_describe_are_refused(
    tmp_path: Path, devices: tuple[str, str], words: str
) -> None:
    pools = [
        {"name": f"p{i}", "variants": ["full", "turbo"], "device": device}
        for i, device in enumerate(devices)
    ]
    found = settings(tmp_path, "controlled", engines=pools)
    with pytest.raises(ConfigError, match=words):
        profile_command(found, tmp_path / "c.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("a: 1", "no server configuration"),
        ("- 1", "no server configuration"),
        ("", "no server configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_a_sentence(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_settings(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path / "none.yaml")
    wrong = {**CONFIG["controller"], "kind": "psychic"}
    with pytest.raises(ConfigError, match="psychic"):
        read_settings(write_config(tmp_path, controller=wrong))
