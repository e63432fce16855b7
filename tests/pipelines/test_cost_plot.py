"""The figure of step times: one panel a table, every series named, in black and white."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from pipelines.cost_plot import plot_costs
from pipelines.costs import CostTable, Measurement, VariantCosts

BATCHES = (1, 2, 4)


def table() -> CostTable:
    exactly = Measurement.exactly
    guided = VariantCosts.measured(
        encode_s=exactly(0.001),
        step_s={b: Measurement(0.004 + 0.002 * b, 0.003, 0.02, 9) for b in BATCHES},
        decode_s={b: exactly(0.01) for b in BATCHES},
        unguided_step_s={b: exactly(0.004 + 0.001 * b) for b in BATCHES},
        rows_per_job=2,
    )
    plain = replace(guided, unguided_step_s={}, rows_per_job=1, step_fit=None)
    return CostTable("here", 1, "float32", "abc", 64, 64, {"full": guided, "turbo": plain})


def test_every_series_is_drawn_with_its_bars_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Axes] = []
    title = Axes.set_title

    def kept(axes: Axes, *args: object, **options: object) -> object:
        drawn.append(axes)
        return title(axes, *args, **options)

    monkeypatch.setattr(Axes, "set_title", kept)
    one = table()
    plot_costs([one, replace(one, threads=2)], tmp_path / "p.svg")
    assert [axes.get_title() for axes in drawn] == [str(one), str(replace(one, threads=2))]
    for axes in drawn:
        _, labels = axes.get_legend_handles_labels()
        assert labels == ["full, guided", "full, no guidance", "turbo"]
        bars = [found for found in axes.containers if isinstance(found, ErrorbarContainer)]
        assert len(bars) == 3
        assert len(axes.lines) - sum(len(found.lines[1]) + 1 for found in bars) == 2  # the forms


def test_the_figure_has_no_colour_and_is_the_same_every_time(tmp_path: Path) -> None:
    plot_costs([table()] * 4, tmp_path / "a.svg")
    plot_costs([table()] * 4, tmp_path / "b.svg")
    drawing = (tmp_path / "a.svg").read_text()
    assert drawing == (tmp_path / "b.svg").read_text()
    colours = {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", drawing)}
    assert all(c[1:3] == c[3:5] == c[5:7] for c in colours)
