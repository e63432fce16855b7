"""The files of a study: the table says everything, the figure needs no colour, and both repeat."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.quality_study.figure import MARKERS, draw_figure
from pipelines.quality_study.pareto import pareto
from pipelines.quality_study.rendering import render
from pipelines.quality_study.report import report
from pipelines.quality_study.results import Study, price
from pipelines.quality_study.settings import STRATEGIES
from tests.pipelines.quality_study.synthetic import study
from tests.pipelines.quality_study.test_results import CONVERGED, HANDED_OVER, NOBODY, table

MEASURED = study(CONVERGED, NOBODY, HANDED_OVER)


def text(measured: Study = MEASURED) -> str:
    pricing = price(measured)
    return report(measured, pricing, pareto(measured, pricing))


def test_the_command_stands_above_the_tables() -> None:
    said = text()
    assert said.index("python -m pipelines quality --out somewhere") < said.index("| setting |")
    for fact in ("abc1234", "an abacus, 2 cores", "torch 2.13.0", "seed 7", "200 unseen prompts"):
        assert fact in said


def test_every_setting_has_a_row_with_what_was_measured() -> None:
    said = text()
    for one in MEASURED.points:
        assert f"| {one.setting.name} | {one.steps_run:.1f} | " in said
    assert "| full@25 | 25.0 | 25.0 | 50.0 | 10.00 | 0 % | 99.0 (" in said


def test_the_tables_have_as_many_cells_as_heads() -> None:
    widths = [line.count("|") for line in text().splitlines() if line.startswith("|")]
    blocks = re.split(r"\n\n", text())
    for block in (one for one in blocks if one.startswith("|")):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert widths


def test_realised_losses_stand_beside_their_budgets() -> None:
    said = text()
    assert "| 0.05 | 0.040 (0.030 to 0.050) | 0.030 | 90 % | 25.0 | 0.0120 |" in said
    assert "| 0.01 | none exited | 0.000 | 0 % | 25.0 | 0.0000 |" in said


def test_it_shows_how_the_estimate_settles() -> None:
    assert (
        "| step | 1 | 3 |\n| --- | --- | --- |\n| change |  | 0.020 |\n| loss | 1.200 | 0.000 |"
        in text()
    )


def test_seconds_are_shown_where_a_table_prices_them() -> None:
    priced = price(MEASURED, table("full", "turbo"))
    said = report(MEASURED, priced, pareto(MEASURED, priced))
    assert "| full@25 | 25.0 | 25.0 | 50.0 | 129.0 ms | 0 % |" in said


def test_the_same_study_gives_the_same_drawing(tmp_path: Path) -> None:
    draw_figure(MEASURED, price(MEASURED), tmp_path / "one.svg")
    draw_figure(MEASURED, price(MEASURED), tmp_path / "two.svg")
    drawing = (tmp_path / "one.svg").read_text()
    assert drawing == (tmp_path / "two.svg").read_text()
    assert "<svg" in drawing


def test_each_strategy_has_a_marker_of_its_own() -> None:
    markers = [MARKERS[strategy][0] for strategy in STRATEGIES]
    assert len(set(markers)) == len(STRATEGIES)


def test_a_study_renders_to_four_files_and_again_from_its_own(tmp_path: Path) -> None:
    paths = render(MEASURED, None, tmp_path / "new")
    assert [path.name for path in paths] == [
        "quality.json",
        "quality.md",
        "quality.svg",
        "pareto.json",
    ]
    before = [path.read_bytes() for path in paths]
    render(Study.load(paths[0]), None, tmp_path / "new")
    assert [path.read_bytes() for path in paths] == before
