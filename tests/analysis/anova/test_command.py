"""From raw data to the page, and bad input."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.__main__ import main
from analysis.anova import command
from analysis.anova.command import _words, add_options
from analysis.anova.page import blocks
from analysis.document import Picture, Table, to_markdown
from analysis.faults import MeasurementError
from analysis.provenance import ROOT
from tests.analysis.anova.synthetic import LEVELS, SMALL, rows, sum_of_parts, write

ONE_THREAD = LEVELS | {"threads": [1]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("anova")
    raw = write(folder / "raw.jsonl", rows(sum_of_parts, ONE_THREAD), ONE_THREAD)
    out = folder / "results" / "anova"
    assert main(["anova", "--from", str(raw), "--out", str(out)]) == 0
    return json.loads(out.with_suffix(".json").read_text()), out


def test_the_page_is_made_of_the_results_alone(written: tuple[dict[str, Any], Path]) -> None:
    results, out = written
    page = blocks(results)
    assert out.with_suffix(".md").read_text() == to_markdown(page)
    pictures = [block.name for block in page if isinstance(block, Picture)]
    assert pictures == ["anova", "anova_interaction", "anova_residuals", "anova_formula"]
    assert all((out.parent / f"{name}.svg").read_text().startswith("<svg") for name in pictures)


def test_the_page_tells_each_term_or_counts_it_among_the_rest(
    written: tuple[dict[str, Any], Path],
) -> None:
    results, out = written
    text = out.with_suffix(".md").read_text()
    for one in results["anova"]["effects"]:
        assert one["term"] in text
    assert "made_by" in results
    assert results["experiment"]["cells"] == 108


def test_the_printed_formula_gives_the_times(written: tuple[dict[str, Any], Path]) -> None:
    """Whoever computes with the table's numbers gets what the times were made of."""
    results, _ = written
    for one in results["formulas"]["parts"]["settings"]:
        seconds = one["seconds"]
        steps, pictures, kpx = 6, 2, 9.216
        told = (
            seconds["batch"]
            + pictures * (seconds["picture"] + kpx * seconds["picture and 1,000 pixels"])
            + steps
            * (seconds["step (euler)"] + 2 * pictures * kpx * seconds["step, row and 1,000 pixels"])
        )
        cell = {"steps": 6, "batch": 2, "size": "96x96", "sampler": "euler"} | one["setting"]
        assert told == pytest.approx(sum_of_parts(cell), rel=0.05)


def test_two_levels_each_leave_no_level_to_leave_out(tmp_path: Path) -> None:
    levels = SMALL | {"steps": [2, 4], "batch": [1, 2]}
    raw = write(tmp_path / "raw.jsonl", rows(sum_of_parts, levels, blocks=3), levels)
    assert main(["anova", "--from", str(raw), "--out", str(tmp_path / "out")]) == 0
    assert "No factor has three levels" in (tmp_path / "out.md").read_text()


def test_tables_name_their_figures(written: tuple[dict[str, Any], Path]) -> None:
    tables = [block for block in blocks(written[0]) if isinstance(block, Table)]
    (levels,) = (one for one in tables if one.head[0] == "factor")
    assert [row[1] for row in levels.rows if row[1] in LEVELS["size"]] == LEVELS["size"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--seconds-max", "0"], "--seconds-max"),
        (["--seed", "-1"], "--seed"),
        (["--from", "absent.jsonl"], "absent.jsonl"),
        (["--from", "absent.jsonl", "--quick"], "--quick"),
    ],
)
def test_bad_input_ends_with_2_and_a_sentence(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["anova", "--out", str(tmp_path / "x"), *arguments]) == 2
    told = capsys.readouterr().err
    assert word in told
    assert len(told.splitlines()) == 1


def test_a_measurement_that_fails_leaves_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(arguments: list[str], log: Path, what: str) -> None:
        assert arguments[:3] == ["-m", "pipelines.benchmarks", "factorial"]
        log.write_text("no memory\n")
        raise MeasurementError(f"{what} failed (log {log})")

    monkeypatch.setattr(command, "run_python", failing)
    assert main(["anova", "--out", str(tmp_path / "x")]) == 2
    assert "x.log" in capsys.readouterr().err
    assert (tmp_path / "x.log").read_text() == "no memory\n"


def test_the_experiment_is_measured_in_a_process_and_then_analysed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measuring(arguments: list[str], log: Path, what: str) -> None:
        log.write_text("")
        write(Path(arguments[arguments.index("--out") + 1]), rows(sum_of_parts, SMALL), SMALL)

    monkeypatch.setattr(command, "run_python", measuring)
    assert main(["anova", "--out", str(tmp_path / "x"), "--quick"]) == 0
    kept = {path.name for path in tmp_path.iterdir() if path.suffix != ".svg"}
    assert kept == {"x.json", "x.jsonl", "x.md"}


def test_the_command_is_kept_with_paths_inside_the_project() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    inside = ROOT / "analysis" / "benchmarks" / "anova"
    assert _words(parser.parse_args(["--out", str(inside)])) == (
        "python -m analysis anova --out analysis/benchmarks/anova --seconds-max 300 --seed 1"
    )
