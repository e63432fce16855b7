"""The figures draw what was estimated, without colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from analysis.estimation.figures import batch_figure, gaps_figure, service_figure


def test_gaps_lie_on_the_line_if_they_are_exponential() -> None:
    shares = (np.arange(200) + 0.5) / 200
    (axes,) = gaps_figure({"gaps_s": (-np.log1p(-shares) / 3).tolist(), "rate_per_s": 3.0}).axes
    points, line = axes.lines
    assert np.allclose(points.get_xdata(), points.get_ydata())
    assert list(line.get_xdata()) == list(line.get_ydata())


def test_service_times_stand_beside_each_fitted_law(results: dict[str, Any]) -> None:
    (axes,) = service_figure(results["service"]).axes
    measured, *laws = axes.lines
    assert [line.get_label() for line in laws] == [f["law"] for f in results["service"]["fits"]]
    assert len({line.get_linestyle() for line in axes.lines}) == len(axes.lines)
    assert measured.get_ydata()[-1] == 1.0
    for line in laws:
        assert np.all(np.diff(line.get_ydata()) >= 0)
        assert line.get_ydata()[0] < 0.2 < 0.8 < line.get_ydata()[-1]


def test_equal_service_times_can_be_drawn() -> None:
    (axes,) = service_figure({"times_s": [0.5] * 30, "fits": []}).axes
    assert len(axes.lines) == 1


def test_a_curve_has_its_points_and_its_line(results: dict[str, Any]) -> None:
    (axes,) = batch_figure(results["batch_speed"]).axes
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(points.get_xdata()) == [1, 2, 3, 4]
    mean_s = results["batch_speed"]["curves"][0]["points"][0]["mean_s"]["value"]
    assert points.get_ydata()[0] == 1000 * mean_s


def test_no_figure_needs_a_colour(results: dict[str, Any]) -> None:
    drawn = (
        gaps_figure(results["arrivals"]),
        service_figure(results["service"]),
        batch_figure(results["batch_speed"]),
    )
    for figure in drawn:
        for line in figure.axes[0].lines:
            assert len(set(to_rgb(line.get_color()))) == 1
