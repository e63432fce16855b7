"""`python -m pipelines profile`: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.costs import CostTable, load_tables


def test_profile_writes_a_table_that_loads(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "costs.json"
    status = main(
        [
            "profile",
            *("--variant", f"full={folders['v_prediction']}", "--sampler", "full=euler"),
            *("--guidance", "full=1"),
            *("--variant", f"turbo={folders['distilled']}"),
            *("--out", str(out), "--batches", "1,2,3", "--repetitions", "1", "--threads", "1"),
        ]
    )
    assert status == 0
    table = CostTable.load(out)
    assert set(table.variants) == {"full", "turbo"}
    assert table.command.startswith("python -m pipelines profile --variant full=")
    assert all(costs.step_fit is not None for costs in table.variants.values())
    assert "turbo" in capsys.readouterr().out
    drawing = out.with_suffix(".svg").read_text()
    assert drawing.startswith("<?xml")
    assert "</svg>" in drawing


@pytest.mark.full
def test_sizes_number_types_and_threads_may_be_repeated(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "costs.json"
    usual = ["profile", "--variant", f"v={folders['v_prediction']}", "--out", str(out)]
    sweep = ["--size", "16x16", "--size", "24x16", "--threads", "1", "--threads", "2"]
    few = ["--batches", "1", "--repetitions", "1", "--dtype", "float32", "--dtype", "bfloat16"]
    assert main([*usual, *sweep, *few]) == 0
    assert len(load_tables(out)) == 8
    chosen = CostTable.load(out, width=24, threads=2, dtype="bfloat16")
    assert (chosen.width, chosen.height) == (24, 16)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--variant", "full=nowhere-to-be-found"], "there is no folder"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--batches", "0"], "batches of at least 1 job"),
        (["--guidance", "v=much"], "the scale must be a number"),
        (["--size", "20x20"], "multiples of 8"),
        (["--dtype", "float64"], "dtype"),
        (["--compile", "wasm"], "compile must be one of"),
        (["--out", "no/such/place.json"], "there is no folder no/such"),
    ],
)
def test_wrong_input_ends_with_one_sentence_and_status_2(
    folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    said: str,
) -> None:
    usual = ["--variant", f"v={folders['v_prediction']}", "--out", str(tmp_path / "costs.json")]
    assert main(["profile", *usual, *more]) == 2
    complaint = capsys.readouterr().err.strip()
    assert said in complaint
    assert complaint.count("\n") == 0


@pytest.mark.parametrize("more", [["--variant", "full"], ["--batches", "one"], ["--size", "64"]])
def test_arguments_of_the_wrong_form_end_with_status_2(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["profile", *more])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
