"""The whole benchmark on a tiny pipeline, and its command line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipelines.benchmarks.__main__ import main
from pipelines.benchmarks.comparison import PAIRS_MIN
from pipelines.benchmarks.engine_command import PARTS, measure
from pipelines.benchmarks.machine import Watch, describe_run
from pipelines.benchmarks.report import Section, write_report
from tests.pipelines.benchmarks.tiny_workload import tiny_workload


def sections_of(folder: Path, *parts: str) -> list[Section]:
    return measure(tiny_workload(folder), Watch(1), pairs=2, seed=1, jobs=400, parts=parts)


@pytest.mark.full
def test_every_part_gives_its_claims_and_figures(folders: dict[str, Path], tmp_path: Path) -> None:
    watch = Watch(1)
    workload = tiny_workload(folders["v_prediction"])
    sections = measure(workload, watch, pairs=2, seed=1, jobs=400, parts=PARTS)
    claims = [claim for section in sections for claim in section.claims]
    assert len(claims) == 2 + 1 + 2 + 3 + 2
    for claim in claims:
        assert claim.figure is not None
        assert math.isfinite(claim.figure)
    titles = [section.title for section in sections]
    assert len(set(titles)) == len(titles) == len(PARTS) + 1
    header = describe_run(["engine"], watch, seed=1, settings=workload.settings())
    write_report(tmp_path / "engine.json", "Trial", header, sections)
    assert all(f"## {title}" in (tmp_path / "engine.md").read_text() for title in titles)


def test_one_job_alone_is_measured_on_both_sides_in_every_pair(folders: dict[str, Path]) -> None:
    (section,) = sections_of(folders["v_prediction"], "alone")
    seconds = section.measurements["seconds_per_picture"]
    assert {name: len(values) for name, values in seconds.items()} == {"engine": 2, "library": 2}
    assert min(seconds["engine"] + seconds["library"]) > 0
    (claim,) = section.claims
    pairs = zip(seconds["engine"], seconds["library"], strict=True)
    assert claim.figure == pytest.approx(sum(a / b for a, b in pairs) / 2)


def test_random_arrivals_are_held_against_batches_and_ceilings(folders: dict[str, Path]) -> None:
    stream, window = sections_of(folders["v_prediction"], "arrivals")
    assert {len(values) for values in stream.measurements.values()} == {2}
    static = [3 / seconds for seconds in stream.measurements["static 3"]]
    pairs = zip(stream.measurements["stream pictures/s"], static, strict=True)
    assert stream.claims[0].figure == pytest.approx(sum(a / b for a, b in pairs) / 2)
    assert [len(at_s) for at_s in window.measurements["arrivals_s"].values()] == [2, 2, 2]
    assert len(window.claims) == 3


def test_shares_of_time_outside_the_networks_are_shares(folders: dict[str, Path]) -> None:
    (section,) = sections_of(folders["v_prediction"], "outside")
    shares = [share for values in section.measurements["shares"].values() for share in values]
    assert len(shares) == 5 * 2
    assert all(0 < share < 1 for share in shares)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--pairs", "0"], "--pairs"), (["--jobs", "120"], "--jobs"), (["--threads", "0"], "threads")],
)
def test_bad_input_ends_with_2_and_a_sentence(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", "--out", str(tmp_path / "x.json"), *arguments]) == 2
    assert word in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_a_median_to_quote_needs_seven_pairs() -> None:
    assert PAIRS_MIN >= 7
