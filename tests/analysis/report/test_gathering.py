"""Results files are read whatever name they give to what they say of their making."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.provenance import ROOT
from analysis.report.gathering import made, read_results, told_made, told_path

STARTED = "2026-11-21T19:31:26+00:00"


@pytest.mark.parametrize(
    "results",
    [
        {
            "made_by": {
                "command": "c",
                "commit": "4c3d4a207868",
                "machine": "m, 2 cores",
                "versions": {"python": "3.11.7"},
                "started": STARTED,
                "took_s": 24.6,
                "load_average": 0.5,
                "seed": 1,
            }
        },
        {
            "header": {
                "command": "c",
                "commit": "4c3d4a207868",
                "hardware": "m, 2 cores",
                "versions": {"python": "3.11.7"},
                "started_at": STARTED,
                "duration_s": 24.6,
                "load_average_end": 0.5,
                "seed": 1,
            }
        },
        {
            "made_by": {
                "command": "c",
                "commit": "4c3d4a2078683e712563f1c7f398ec8868c8208f",
                "hardware": {"processor": "m", "cores": 2},
                "versions": {"python": "3.11.7"},
                "started_at": STARTED,
                "duration_s": 24.6,
                "load_average_end": 0.5,
                "seed": 1,
            }
        },
    ],
)
def test_all_headers_say_the_same(results: dict[str, Any]) -> None:
    one = made(results)
    assert (one.command, one.machine, one.took_s, one.load_average, one.seed) == (
        "c",
        "m, 2 cores",
        24.6,
        0.5,
        "1",
    )
    assert one.commit.startswith("4c3d4a207868")
    assert len(one.commit) <= 13
    assert one.versions == {"python": "3.11.7"}
    assert one.started is not None
    assert told_made(one, "make x") == (
        f"made by `c`, at commit {one.commit}, on 2026-11-21 19:31 UTC, in 25 s, on m, 2 cores,"
        " with a load average of 0.5 at the end, by seed 1"
    )


def test_a_header_that_says_little_leaves_the_rest_out() -> None:
    one = made({"meta": {"commit": "dda5673+", "seeds": {"0.6": 1, "1.5": 2}}})
    assert told_made(one, "make demo") == "made by `make demo`, at commit dda5673+, by seed 1, 2"


def test_a_changed_tree_is_told_though_the_commit_is_cut() -> None:
    one = made({"made_by": {"commit": "4c3d4a2078683e712563f1c7f398ec8868c8208f-dirty"}})
    assert one.commit == "4c3d4a2078683-dirty"


def test_an_absent_file_is_none(tmp_path: Path) -> None:
    assert read_results(tmp_path / "plan.json", "make plan") is None


@pytest.mark.parametrize("content", [b"{", b"[1, 2]", b"\xff\xfe", b""])
def test_a_damaged_file_is_named_with_what_makes_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"plan\.json .* make it again with `make plan`") as error:
        read_results(path, "make plan")
    assert "\n" not in str(error.value)


def test_paths_are_told_as_in_the_project(tmp_path: Path) -> None:
    assert told_path(ROOT / "analysis" / "x.json") == "analysis/x.json"
    assert told_path(tmp_path / "folder" / "x.json") == "folder/x.json"


def test_results_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"a": 1}))
    assert read_results(tmp_path / "x.json", "make x") == {"a": 1}
