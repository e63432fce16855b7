"""`python -m analysis predict` prints one object, or says in one line what to change."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import predict_command

FIELDS = [
    "mean_wait",
    "mean_response",
    "p50",
    "p95",
    "p99",
    "utilisation",
    "degraded_share",
    "throughput",
    "method",
    "error_estimate",
]


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    predict_command.add_options(parser)
    return predict_command.run(parser.parse_args([*arguments]))


def test_the_object_has_every_field_and_null_for_what_is_not_defined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--model", "mm1", "--params", '{"lam": 0.5, "mu": 1}', "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said) == FIELDS
    assert said["mean_response"] == pytest.approx(2.0)
    assert said["degraded_share"] is None
    run("--model", "ggc", "--params", '{"lam": 0.5, "ca2": 2, "mean": 1, "cs2": 0.5}', "--json")
    assert json.loads(capsys.readouterr().out)["p95"] is None


def test_without_json_it_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run("--model", "mm1", "--params", '{"lam": 0.5, "mu": 1}')
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == FIELDS
    assert lines[1].split() == ["mean_response", "2"]
    assert lines[6].split() == ["degraded_share", "-"]


@pytest.mark.parametrize(
    ("model", "parameters", "says"),
    [
        ("mm1", "{lam: 1}", "--params is not JSON"),
        ("mm1", "[]", "needs a JSON object"),
        ("mm1", '{"lam": 0.5}', "lacks mu"),
        ("mm1", '{"lam": 2, "mu": 1}', r"utilisation 2\.000 is not below 1"),
        ("mm0", "{}", "no model 'mm0'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model: str, parameters: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        run("--model", model, "--params", parameters)
    assert "\n" not in str(refusal.value)


def test_the_models_load_neither_compiler_nor_figures() -> None:
    code = (
        "import sys, analysis.predict_command, analysis.models.catalogue;"
        " sys.exit(any(name in sys.modules for name in ('numba', 'matplotlib', 'scipy.stats')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_closed_form_needs_no_library() -> None:
    code = (
        "import sys; from analysis.__main__ import main;"
        " main(['predict', '--model', 'mm1', '--params', '{\"lam\": 0.5, \"mu\": 1}']);"
        " sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'policies')))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_parameters_nested_without_end_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        run("--model", "mm1", "--params", "[" * 100_000)
