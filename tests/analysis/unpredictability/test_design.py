"""The design: balanced blocks in random order, one trace, requests put at places."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from analysis.server_config import ConfigError, read_settings, write_modes
from analysis.unpredictability.design import (
    BLOCKS,
    ENGINES,
    PANEL,
    REPETITIONS,
    REPLAY,
    SHUFFLED,
    TRACE,
    UNCHANGED,
    VISIT,
    as_plain,
    design_of,
    from_plain,
    prompt_lines,
    two_engines,
)
from tests.analysis.synthetic_demo import write_config

PROMPTS = [f"prompt {number}" for number in range(40)]


def test_every_block_holds_the_same_turns_in_an_order_of_its_own() -> None:
    design = design_of(1, PROMPTS)
    wanted = {(VISIT, one) for one in ENGINES} | {(REPLAY, UNCHANGED), (REPLAY, SHUFFLED)}
    orders = [tuple((turn.kind, turn.what) for turn in block) for block in design.blocks]
    assert len(orders) == BLOCKS
    assert all(set(order) == wanted and len(order) == len(wanted) for order in orders)
    assert len(set(orders)) > 1


def test_a_visit_asks_each_request_of_the_panel_equally_often() -> None:
    for block in design_of(1, PROMPTS).blocks:
        for turn in block:
            if turn.kind == VISIT:
                assert Counter(turn.order) == dict.fromkeys(range(PANEL), REPETITIONS)


def test_unchanged_replays_are_alike_and_shuffled_ones_are_not() -> None:
    turns = [turn for block in design_of(1, PROMPTS).blocks for turn in block]
    assert {turn.order for turn in turns if turn.what == UNCHANGED} == {tuple(range(TRACE))}
    shuffled = [turn.order for turn in turns if turn.what == SHUFFLED]
    assert all(sorted(order) == list(range(TRACE)) for order in shuffled)
    assert len(set(shuffled)) == BLOCKS


def test_the_seed_decides_everything() -> None:
    assert design_of(1, PROMPTS) == design_of(1, PROMPTS)
    assert design_of(1, PROMPTS) != design_of(2, PROMPTS)
    assert from_plain(as_plain(design_of(1, PROMPTS), 3)).blocks == design_of(1, PROMPTS).blocks[:3]


def test_the_trace_comes_at_a_multiple_of_the_pace_of_one_alone() -> None:
    times_s = design_of(1, PROMPTS).times_s(0.3)
    assert times_s == sorted(times_s)
    assert len(times_s) == TRACE
    twice = design_of(1, PROMPTS).times_s(0.6)
    assert twice == pytest.approx([2 * time_s for time_s in times_s], abs=2e-6)


def test_each_prompt_comes_out_at_its_place() -> None:
    design = design_of(1, PROMPTS)
    sends = np.random.default_rng(3).permutation(TRACE)  # line sent at each place
    first = [design.prompts[line] for line in sends]
    for turn in design.blocks[0]:
        if turn.kind == REPLAY:
            lines = prompt_lines(design, first, turn)
            assert sorted(lines) == sorted(design.prompts)
            sent = [lines[line] for line in sends]
            assert sent == [first[whose] for whose in turn.order]


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(ConfigError, match="different prompts"):
        design_of(1, ["one"] * 40)


def test_the_two_engines_host_full_service_under_names_of_their_own(tmp_path: Path) -> None:
    static = read_settings(write_modes(write_config(tmp_path), tmp_path, ["static"])["static"])
    content = two_engines(static)
    assert tuple(content["variants"]) == ENGINES
    assert len({str(one) for one in content["variants"].values()}) == 1
    assert [(pool["name"], pool["variants"]) for pool in content["engines"]] == [
        (engine, [engine]) for engine in ENGINES
    ]
    assert [rung["steps"] for rung in content["ladder"]] == [25, 25]
    assert content["controller"]["kind"] == "static"
