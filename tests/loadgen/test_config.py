"""Options become a checked configuration, and flags again."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.config import (
    ConfigError,
    RunConfig,
    add_options,
    check_out,
    check_url,
    config_from_options,
    to_flags,
)

URL = "http://127.0.0.1:8000"


def parse(*arguments: str, url: str = URL) -> RunConfig:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return config_from_options(parser.parse_args(arguments), url, "somewhere")


def test_values_arrive_and_what_is_not_given_is_none() -> None:
    config = parse("--rate", "2.5", "--duration", "60", "--steps", "12", "--quality", "high")
    assert (config.rate_per_s, config.duration_s, config.steps) == (2.5, 60.0, 12)
    assert (config.model, config.deadline_s, config.quality) == (None, None, "high")
    assert config.out == "somewhere"


def test_flags_give_the_same_configuration_again() -> None:
    config = parse("--rate", "2", "--duration", "6", "--model=-odd", "--save-pictures")
    assert parse(*to_flags(config)) == config
    bursty = replace(config, arrivals="bursty", deadline_s=1.5, save_pictures=False)
    assert parse(*to_flags(bursty)) == bursty
    diurnal = replace(config, arrivals="diurnal", day_s=120.0)
    assert parse(*to_flags(diurnal)) == diurnal


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rate", "fast", "--duration", "1"], "--rate must be a number"),
        (["--rate", "0", "--duration", "1"], "--rate must be above 0"),
        (["--rate", "nan", "--duration", "1"], "--rate must be above 0"),
        (["--rate", "1"], "--duration must not be empty"),
        (["--duration", "1"], "--rate must not be empty"),
        (["--rate", "1", "--duration", "1", "--day-s", "0"], "--day-s must be above 0"),
        (["--rate", "1", "--duration", "1", "--steps", "2.5"], "whole number"),
        (["--rate", "1", "--duration", "1", "--steps", "0"], "at least 1"),
        (["--rate", "1", "--duration", "1", "--quality", "best"], "--quality must be one of"),
        (["--rate", "1", "--duration", "1", "--timeout-s", ""], "--timeout-s must not be empty"),
    ],
)
def test_a_bad_value_is_told_by_its_flag(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse(*arguments)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://h:bad"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must look like"):
        check_url(url)


def test_a_trailing_slash_is_dropped() -> None:
    assert check_url(URL + "/") == URL


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    folder = check_out(str(tmp_path / "a" / "b"))
    (folder / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="already holds a run"):
        check_out(str(folder))
    with pytest.raises(ConfigError, match="cannot make the folder"):
        check_out(str(folder / "run.json" / "c"))
