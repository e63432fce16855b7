"""The card's benchmark, end to end on tiny architectures, and what it says without a card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.benchmarks import gpu_speed
from pipelines.benchmarks.architectures import SD15, SDXL
from pipelines.benchmarks.gpu_contestants import NetworkSeconds
from pipelines.benchmarks.gpu_report import SizeFigures, claims_of, section_of
from pipelines.benchmarks.report import Claim

NO_CARD = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    gpu_speed.add_to(parser.add_subparsers(required=True))
    options = parser.parse_args(["gpu", *arguments])
    return int(options.command(options))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@NO_CARD
def test_without_a_card_the_file_names_what_was_not_measured(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert call("--out", str(out)) == 0
    content = read(out)
    assert len(content["claims"]) == 5
    assert {claim["verdict"] for claim in content["claims"]} == {"not measured"}
    assert all("no CUDA device" in claim["note"] for claim in content["claims"])
    told = content["sections"]["Goals"]["text"]
    assert all(word in told for word in ("SD 1.5", "SDXL", "float8", "1024x1024", "matrix peak"))
    assert "no CUDA device" in out.with_suffix(".md").read_text(encoding="utf-8")
    assert {"commit", "command", "hardware", "versions", "seed"} <= set(content["header"])


@pytest.mark.full
def test_the_whole_course_runs_on_tiny_architectures(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    arguments = ["--tiny", "--pairs", "2", "--batch", "2", "--architecture", "tinyxl"]
    for name in ("channels-last", "int8-weights", "float8"):
        arguments += ["--configuration", name]
    assert call(*arguments, "--out", str(out)) == 0
    content = read(out)
    own, larger = (content["sections"][f"tiny SDXL, {size}x{size}"] for size in (64, 128))
    figures = own["measurements"]["figures"]
    expected = {"matrix", "library pictures/s", "library serial pictures/s"}
    expected |= {
        f"{name} step {count}" for name in ("library", "channels-last") for count in (1, 2)
    }
    expected |= {"int8-weights step 2"}
    for name in ("channels-last", "int8-weights"):
        expected |= {f"{name} pictures/s", f"{name} outside"}
    if not torch.cuda.is_available():
        assert (
            "needs a CUDA device of compute capability" in own["measurements"]["failed"]["float8"]
        )
        assert set(figures) == expected
    assert set(figures) >= expected
    assert all(len(values) == 2 and min(values) > 0 for values in figures.values())
    assert all(0 < share < 1 for share in figures["channels-last outside"])
    assert not any("pictures/s" in name for name in larger["measurements"]["figures"])
    assert {claim["verdict"] for claim in content["claims"]} == {"not measured"}


def test_what_fails_at_its_trial_is_left_out_with_its_reason() -> None:
    trials = gpu_speed._Trials()

    def fail() -> float:
        raise torch.OutOfMemoryError("no more\nmemory")

    assert not trials.add("bf16 step 16", fail)
    assert trials.add("bf16 step 8", lambda: 0.25)
    assert trials.failed == {"bf16 step 16": "no more"}
    assert {name: one() for name, one in trials.contestants.items()} == {
        "bf16 step 8": {"bf16 step 8": 0.25}
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pairs", "0"), "at least 1"),
        (("--tiny", "--architecture", "sdxl"), "with --tiny there are tiny15, tinyxl"),
        (("--architecture", "tinyxl"), "without --tiny there are sd15, sdxl"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        call(*arguments, "--out", str(tmp_path / "gpu.json"))


def figures_of(architecture: Any, **values: list[float]) -> SizeFigures:
    size = architecture.unet["sample_size"] * 8
    named = {name.replace("__", "-").replace("_", " "): list(v) for name, v in values.items()}
    named = {name.replace("pictures", "pictures/s"): v for name, v in named.items()}
    return SizeFigures(architecture, size, True, named, {})


def test_goals_are_held_against_the_best_configuration_of_each_kind() -> None:
    xl = figures_of(
        SDXL,
        bf16_pictures=[1.4, 1.5],
        cuda__graphs_pictures=[1.7, 1.9],
        cuda__graphs_outside=[0.02, 0.04],
        float8_pictures=[2.0, 2.2],
        int8_pictures=[1.0, 1.0],
    )
    sd = figures_of(
        SD15,
        inductor_pictures=[20.0, 22.0],
        inductor_outside=[0.06, 0.08],
        library_serial_pictures=[8.0, 11.0],
    )
    claims = {claim.name: claim for claim in claims_of([xl, sd], 8, "not asked for")}
    told = [(name, claim.figure, claim.verdict) for name, claim in claims.items()]
    assert told == [
        ("SDXL 1024x1024, bf16, 8 jobs at once (cuda-graphs)", pytest.approx(1.8), "holds"),
        ("SDXL 1024x1024, quantised, 8 jobs at once (float8)", pytest.approx(2.1), "fails"),
        (
            "SD 1.5 512x512, bf16, 8 jobs at once: engine / library one after the other (inductor)",
            pytest.approx(2.25),
            "holds",
        ),
        (
            "SD 1.5 512x512, bf16, 8 jobs at once: share outside the networks (inductor)",
            pytest.approx(0.07),
            "fails",
        ),
        (
            "SDXL 1024x1024, bf16, 8 jobs at once: share outside the networks (cuda-graphs)",
            pytest.approx(0.03),
            "holds",
        ),
    ]


def test_a_kind_that_could_not_be_measured_says_so() -> None:
    xl = figures_of(SDXL, bf16_pictures=[1.4, 1.5])
    claims: list[Claim] = list(claims_of([xl], 8, "not asked for"))
    assert [claim.figure is None for claim in claims] == [False, True, True, True, True]
    assert claims[1].note == "no configuration of that kind could be measured"
    assert claims[2].note == "not asked for"


def test_the_share_of_the_peak_counts_guided_rows() -> None:
    figures = figures_of(SD15, bf16_step_4=[0.1, 0.1])
    figures.figures["matrix"] = [4 * 0.803e14, 4 * 0.803e14]
    share = figures.peak_share("bf16", 4)
    assert share is not None
    assert share.median == pytest.approx(8 * 0.803e12 / 0.1 / (4 * 0.803e14), rel=0.01)
    table = section_of(figures, 4).table
    assert table is not None
    assert table.rows[0][:2] == ("bf16", "100 (100 to 100)")


def test_network_seconds_count_calls_and_begin_anew() -> None:
    clock = NetworkSeconds(torch.device("cpu"))
    product = clock.timed(torch.mm)
    matrix = torch.ones(256, 256)
    assert torch.equal(product(matrix, matrix), 256 * matrix)
    assert clock.take_s() > 0
    assert clock.take_s() == 0
