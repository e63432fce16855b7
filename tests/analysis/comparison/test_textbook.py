"""Worlds between the queueing model and the prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.comparison.evidence import read_evidence
from analysis.comparison.profile import profile_from_table
from analysis.comparison.queueing import stage_server
from analysis.comparison.textbook import BATCHING, LAG, LAW, MEANINGS, WARM_UP, TextbookWorlds
from analysis.comparison.worlds import RunWorlds
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings


def worlds(place: Path, mode: str, load: float, replications: int = 3) -> TextbookWorlds:
    server = settings(place, mode)
    folder = write_measured(place / "run", Truth(server), load=load, seconds=12.0, seed=5)
    profile = profile_from_table(cost_table(), OVERHEADS)
    own = RunWorlds(read_evidence(folder, server), profile, 2, replications)
    chain, _ = stage_server(server, cost_table())
    assert chain is not None
    return TextbookWorlds(own, chain)


def test_with_everything_put_right_it_is_the_prediction(tmp_path: Path) -> None:
    found = worlds(tmp_path, "static", 0.6)
    assert found(frozenset(found.swaps)) is found.worlds(frozenset())


def test_a_static_server_has_no_controller_that_could_lag(tmp_path: Path) -> None:
    found = worlds(tmp_path, "static", 0.6)
    assert found(frozenset()) is found(frozenset({LAG}))
    assert found(frozenset({BATCHING, WARM_UP})) is not found(frozenset({BATCHING}))


def test_every_swap_says_what_it_puts_right(tmp_path: Path) -> None:
    assert set(worlds(tmp_path, "controlled", 1.2).swaps) < set(MEANINGS)


def test_even_work_has_shorter_tails_than_a_few_stages_in_either_engine(tmp_path: Path) -> None:
    found = worlds(tmp_path, "static", 0.6, replications=6)
    found.server = replace(found.server, stages=4)
    for others in (frozenset({WARM_UP}), frozenset({WARM_UP, BATCHING})):
        erlang, even = found(others), found(others | {LAW})
        assert even.figures.p95_s < 0.9 * erlang.figures.p95_s


def test_a_rung_that_stands_for_a_while_lowers_more_pictures(tmp_path: Path) -> None:
    found = worlds(tmp_path, "controlled", 1.2, replications=6)
    for others in (frozenset({WARM_UP, LAW}), frozenset({WARM_UP, LAW, BATCHING})):
        prompt, held = found(others), found(others | {LAG})
        assert held.figures.degraded_share > prompt.figures.degraded_share + 0.02


def test_steps_that_are_cut_finer_are_counted_whole(tmp_path: Path) -> None:
    found = worlds(tmp_path, "static", 0.6)
    assert found(frozenset({BATCHING, LAW})).figures.mean_steps == pytest.approx(25)
