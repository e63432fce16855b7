"""The two forms of a configuration differ where they should and nowhere else."""

from __future__ import annotations

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
    write_variants,
)
from policies import Hysteresis, Static
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
