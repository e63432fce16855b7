"""Figures show what the runs hold, in black and white."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from analysis.figures import (
    PICTURES_PER_RUNG,
    contact_sheet,
    latency_distributions,
    latency_over_time,
    pictures_by_rung,
    waiting_over_time,
)
from analysis.study import Study
from tests.analysis.synthetic_demo import request


def test_the_contact_sheet_goes_by_rung_in_the_ladders_order(written: tuple[Study, Path]) -> None:
    study = written[0]
    groups = pictures_by_rung([c.run for c in study.comparisons], study.settings["static"])
    known = ["full@25", "full@10", "turbo@4", "full,\nlowered in flight"]
    assert list(groups) == [rung for rung in known if rung in groups]
    assert "full@25" in groups
    assert len(groups) >= 2
    assert max(len(pictures) for pictures in groups.values()) <= PICTURES_PER_RUNG


def test_without_pictures_there_is_no_sheet(written: tuple[Study, Path]) -> None:
    bare = [replace(c, run=replace(c.run, folder=Path("nowhere"))) for c in written[0].comparisons]
    assert contact_sheet(replace(written[0], comparisons=tuple(bare))) is None


def test_lines_are_black_grey_or_white(written: tuple[Study, Path]) -> None:
    study = written[0]
    for draw in (latency_over_time, waiting_over_time, latency_distributions):
        for colour in re.findall(r"#([0-9a-fA-F]{6})\b", draw(study)):
            assert colour[:2] == colour[2:4] == colour[4:], draw.__name__


def test_a_run_that_was_not_polled_can_be_drawn(written: tuple[Study, Path]) -> None:
    blind = [replace(c, run=replace(c.run, status=())) for c in written[0].comparisons]
    study = replace(written[0], comparisons=tuple(blind))
    assert latency_over_time(study).startswith("<svg")
    assert "/v1/status" not in waiting_over_time(study)


def test_refused_requests_are_drawn_too(written: tuple[Study, Path]) -> None:
    refused = [
        replace(c, run=replace(c.run, requests=(*c.run.requests, request(0, status=429))))
        for c in written[0].comparisons
    ]
    assert latency_over_time(replace(written[0], comparisons=tuple(refused))).startswith("<svg")
