"""The files of solved policies."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis.solvers.plain import Band, Kind, MadeBy, Solved, band_edges, from_plain, read
from policies.controllers import Cascade, DecisionTable, Split

MADE_BY = MadeBy("python -m analysis solve", "abc1234", 1, {"deadline_s": 2.0})
ANSWERS: list[tuple[Kind, Any, Any]] = [
    ("table", [[0, 0, 1], [0, 1, 1]], [[0, 1, 1], [1, 1, 1]]),
    ("split", [1.0, 0.0], [0.25, 0.75]),
    ("cascade", 0.8, 0.0),
]


def solved(kind: Kind, first: Any, last: Any) -> Solved:
    bands = (Band(3.5, first, {"rate_per_s": 3.5}), Band(math.inf, last))
    return Solved(kind, bands, MADE_BY)


@pytest.mark.parametrize(("kind", "first", "last"), ANSWERS)
def test_what_is_written_is_read_again(kind: Kind, first: Any, last: Any, tmp_path: Path) -> None:
    one = solved(kind, first, last)
    path = tmp_path / "policy.json"
    one.write(path)
    assert read(path) == one
    assert json.loads(path.read_text()) == one.to_plain()
    assert json.loads(path.read_text())["bands"][-1]["below_per_s"] is None


def test_the_controllers_read_it(tmp_path: Path) -> None:
    contents = []
    for number, answer in enumerate(ANSWERS):
        path = tmp_path / f"{number}.json"
        solved(*answer).write(path)
        contents.append(json.loads(path.read_text()))
    assert DecisionTable.from_plain(contents[0]).bands[0].rungs == ((0, 0, 1), (0, 1, 1))
    assert Split.from_plain(contents[1]).bands[1].shares == (0.25, 0.75)
    assert Cascade.from_plain(contents[2], first=1, second=0).bands[0].threshold == 0.8


def test_policies_that_no_controller_takes_are_not_written() -> None:
    with pytest.raises(ValueError, match="more waiting must"):
        solved("table", [[1, 0], [0, 1]], [[0, 0], [0, 1]])
    with pytest.raises(ValueError, match="add up"):
        solved("split", [0.5, 0.4], [1.0, 0.0])
    with pytest.raises(ValueError, match="threshold"):
        solved("cascade", 1.5, 0.0)
    with pytest.raises(ValueError, match="must rise"):
        Solved("cascade", (Band(2.0, 0.5), Band(1.0, 0.5)), MADE_BY)
    with pytest.raises(ValueError, match="infinity"):
        Solved("cascade", (Band(2.0, 0.5),), MADE_BY)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version 1"),
        ({"kind": "other"}, "kind 'other'"),
        ({"bands": None}, "no solved policy"),
        ({"made_by": {}}, "no solved policy"),
    ],
)
def test_other_content_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_plain(solved("cascade", 0.8, 0.0).to_plain() | change)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json: No such file"):
        read(tmp_path / "none.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json is not JSON"):
        read(broken)
    broken.write_text("[]")
    with pytest.raises(ValueError, match=r"broken\.json: this is no solved policy"):
        read(broken)


def test_bands_are_evenly_spaced_and_the_last_has_no_end() -> None:
    assert band_edges(6.0, 4) == [2.0, 4.0, 6.0, math.inf]
    with pytest.raises(ValueError, match="bands 1"):
        band_edges(6.0, 1)
    with pytest.raises(ValueError, match="top rate 0"):
        band_edges(0.0, 3)
