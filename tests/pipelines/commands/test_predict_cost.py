"""`python -m pipelines predict-cost`: an estimate with its interval, or one sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.__main__ import main
from pipelines.profiling import describe_machine
from tests.pipelines.synthetic_study import study

WEIGHTS = Path(__file__).resolve().parents[3] / "pipelines" / "embedded" / "weights"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of this very machine, so that its speeds are taken from there."""
    path = tmp_path_factory.mktemp("study") / "study.json"
    here = describe_machine(torch.device("cpu"))
    replace(study(architectures=4), machine=here).save(path, {})
    return path


def interval_ms(said: str) -> tuple[float, float, float]:
    found = re.search(r"takes (\S+) ms, 90% interval (\S+) to (\S+) ms", said)
    assert found, said
    middle, low, high = (float(figure) for figure in found.groups())
    return low, middle, high


def test_a_variant_gets_an_estimate_with_an_interval(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["predict-cost", "--study", str(written), "--size", "64x64"]
    full = ["--variant", f"full={WEIGHTS / 'full'}"]
    found = []
    for more in (["--batch", "1"], ["--batch", "4"], ["--batch", "4", "--no-guidance"]):
        assert main([*usual, *full, *more]) == 0
        said = capsys.readouterr().out
        assert said.startswith("full: one step of")
        assert "speeds from the study" in said
        found.append(interval_ms(said))
    one, four, unguided = found
    assert all(low < middle < high for low, middle, high in found)
    assert one[1] < unguided[1] < four[1]


def test_a_bare_config_will_do_and_other_settings_are_probed(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = WEIGHTS / "small" / "unet" / "config.json"
    bare = ["--unet-config", str(config), "--latent-factor", "4", "--tokens", "32"]
    usual = ["predict-cost", "--study", str(written), "--size", "64x64", "--batch", "2"]
    assert main([*usual, *bare, "--threads", "2", "--dtype", "bfloat16"]) == 0
    said = capsys.readouterr().out
    assert "speeds measured now" in said
    assert interval_ms(said)[1] > 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--batch", "0"], "--batch must be at least 1"),
        (["--size", "60x64"], "multiples of 8"),
        (["--dtype", "int4"], "--dtype must be one of"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--study", "nowhere.json"], "python -m pipelines cost-study"),
        (["--variant", "v=nowhere"], "name a folder"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_status_2(
    written: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    usual = ["predict-cost", "--study", str(written), "--size", "64x64", "--batch", "1"]
    assert main([*usual, "--variant", f"full={WEIGHTS / 'full'}", *more]) == 2
    complaint = capsys.readouterr().err.strip()
    assert said in complaint
    assert complaint.count("\n") == 0
