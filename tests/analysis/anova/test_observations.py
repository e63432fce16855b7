"""Raw data are complete and balanced, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.anova.observations import read_experiment
from tests.analysis.anova.synthetic import SMALL, product, rows, write


def test_blocks_come_back_in_the_order_in_which_they_were_measured(tmp_path: Path) -> None:
    made = rows(product, SMALL)
    seen = read_experiment(write(tmp_path / "raw.jsonl", made, SMALL))
    assert seen.blocks == 2
    assert seen.varied == ("steps", "batch", "sampler")
    assert seen.table["seconds"].tolist() == [one["seconds"] for one in made]
    assert seen.table["kpx"].unique().tolist() == [4.096]
    np.testing.assert_allclose(seen.table["log_s"], np.log(seen.table["seconds"]))


def test_every_cell_has_a_number_of_its_own(tmp_path: Path) -> None:
    table = read_experiment(write(tmp_path / "raw.jsonl", rows(product, SMALL), SMALL)).table
    assert table.groupby("cell").size().tolist() == [2] * 18
    assert (table.groupby("cell")[["steps", "batch", "sampler"]].nunique() == 1).all(axis=None)


def test_a_block_that_was_not_completed_is_left_out_and_counted(tmp_path: Path) -> None:
    made = rows(product, SMALL, blocks=3)[:-5]
    seen = read_experiment(write(tmp_path / "raw.jsonl", made, SMALL))
    assert (seen.blocks, seen.left_out, len(seen.table)) == (2, 13, 36)


def test_what_it_was_measured_with_is_the_last_line(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.jsonl", rows(product, SMALL), SMALL)
    assert read_experiment(path).end == {}
    with path.open("a") as sink:
        sink.write(json.dumps({"end": {"command": "this", "duration_s": 3.0}}) + "\n")
    assert read_experiment(path).end["command"] == "this"


def test_files_that_are_none_are_refused_in_one_sentence(tmp_path: Path) -> None:
    made = rows(product, SMALL)
    twice = [*made[:5], made[4] | {"order": 5}, *made[6:]]
    broken = {
        "is no factorial": [],
        "each of the 18 cells once": twice,
        "2 complete blocks": rows(product, SMALL, blocks=1),
        "not above 0": [made[0] | {"seconds": 0.0}, *made[1:]],
    }
    for sentence, content in broken.items():
        path = write(tmp_path / "raw.jsonl", content, SMALL)
        with pytest.raises(ValueError, match=sentence):
            read_experiment(path)
    path.write_text("not JSON\n")
    with pytest.raises(ValueError, match="measure anew"):
        read_experiment(path)
    with pytest.raises(ValueError, match="No such file"):
        read_experiment(tmp_path / "absent.jsonl")
