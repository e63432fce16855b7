"""The experiment from its command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.benchmarks import factorial_command
from pipelines.benchmarks.__main__ import main
from pipelines.benchmarks.factorial_design import Design


@pytest.mark.slow
def test_the_embedded_model_is_measured_in_complete_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Design(
        steps=(1, 2), batch=(1,), size=((64, 64),), threads=(1,), dtype=("float32", "bfloat16")
    )
    monkeypatch.setattr(factorial_command, "QUICK", tiny)
    out = tmp_path / "raw.jsonl"
    assert main(["factorial", "--quick", "--seconds-max", "1", "--out", str(out)]) == 0
    first, *lines, last = (json.loads(line) for line in out.read_text().splitlines())
    assert first["design"]["levels"]["variant"] == ["full", "small"]
    assert last["end"]["blocks"] == 2
    assert last["end"]["seed"] == first["design"]["seed"] == 1
    assert len(lines) == 2 * len(tiny)
    for line in lines:
        assert line["seconds"] > line["step_s"] > 0
        assert line["decode_s"] > 0
    cells = [
        tuple(line[name] for name in ("variant", "dtype", "steps", "sampler")) for line in lines
    ]
    assert sorted(cells[:16]) == sorted(cells[16:])
    assert cells[:16] != cells[16:]


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--seconds-max", "0"], "--seconds-max"), (["--seed", "-1"], "--seed")]
)
def test_bad_input_ends_with_2_and_a_sentence(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["factorial", "--out", str(tmp_path / "raw.jsonl"), *arguments]) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "raw.jsonl").exists()


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factorial_command, "Bench", lambda *arguments: None)
    (tmp_path / "file").write_text("")
    assert main(["factorial", "--out", str(tmp_path / "file" / "raw.jsonl")]) == 2
    assert "--out" in capsys.readouterr().err


def test_paths_are_kept_relative_to_the_project() -> None:
    inside = str(factorial_command.ROOT / "analysis" / "raw.jsonl")
    assert factorial_command._recorded(["--out", inside]) == ["--out", "analysis/raw.jsonl"]
