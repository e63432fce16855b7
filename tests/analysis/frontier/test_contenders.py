"""Everybody in the race, and what the solvers hand over."""

from __future__ import annotations

import pytest

from analysis.frontier import solved as solving
from analysis.frontier.contenders import STRICT, Contender, Solved, baselines, ours
from analysis.frontier.solved import solve
from policies.controllers import Cascade, DecisionTable, Split, Static
from policies.exits import ExitRules
from policies.orders import EarliestDeadline, Fifo
from tests.analysis.frontier.races import BATCH, LADDER, PICTURE
from tests.analysis.simulated_servers import Fixed

NOTHING = Solved({}, {}, {}, {})
UNLOADED_S = 0.4


@pytest.fixture(scope="module")
def solved() -> Solved:
    few = pytest.MonkeyPatch()
    few.setattr(solving, "TABLE_BANDS", 4)
    few.setattr(solving, "TABLE_JOBS_MAX", 12)
    few.setattr(solving, "BANDS", 8)
    try:
        return solve(LADDER, LADDER, Fixed(), BATCH, UNLOADED_S, PICTURE)
    finally:
        few.undo()


def everybody(solved: Solved) -> list[Contender]:
    return [*ours(LADDER, solved, UNLOADED_S), *baselines(LADDER, LADDER, solved)]


def test_every_policy_and_baseline_of_the_issue_is_there(solved: Solved) -> None:
    found = {one.key: one for one in everybody(solved)}
    controllers = {
        type(setting.policy.controller).__name__
        for one in found.values()
        for setting in one.settings
    }
    assert controllers == {
        "BurstAhead",
        "Cascade",
        "DeadlineAware",
        "DecisionTable",
        "Hysteresis",
        "LoadProportional",
        "QualityBudget",
        "Split",
        "Static",
    }
    assert {key for key, one in found.items() if one.side == "baseline"} == {
        "always-cheapest",
        "always-full",
        "clockwork",
        "diffserve",
        "proteus",
        "proteus-own",
        "random-split",
        "static",
    }


def test_keys_and_settings_are_told_apart(solved: Solved) -> None:
    found = everybody(solved)
    assert len({one.key for one in found}) == len(found)
    for one in found:
        labels = [setting.label for setting in one.settings]
        assert labels
        assert len(set(labels)) == len(labels)
        assert len(labels) == 1 or one.knob
        assert len({str(setting.policy.controller) for setting in one.settings}) == len(labels)


def test_baselines_keep_running_jobs_and_only_clockwork_refuses(solved: Solved) -> None:
    for one in baselines(LADDER, LADDER, solved):
        strict = one.key in ("clockwork", "proteus-strict")
        for setting in one.settings:
            assert setting.policy.exits == ExitRules("keep")
            assert setting.policy.admission.refuse_hopeless == strict
            assert setting.policy.order == (EarliestDeadline() if strict else Fifo())


def test_a_hybrid_is_no_baseline(solved: Solved) -> None:
    (hybrid,) = (one for one in everybody(solved) if one.side == "hybrid")
    (plain,) = (one for one in everybody(solved) if one.key == "proteus")
    for ours_, theirs in zip(hybrid.settings, plain.settings, strict=True):
        assert ours_.policy.controller == theirs.policy.controller
        assert ours_.policy.admission == STRICT


def test_a_curve_without_a_solution_is_left_out() -> None:
    keys = {one.key for one in everybody(NOTHING)}
    assert not keys & {"proteus", "proteus-own", "proteus-strict", "diffserve", "optimal"}
    assert {"clockwork", "deadline-replan"} <= keys


def test_always_full_and_always_cheapest_are_the_ends_of_the_ladder() -> None:
    found = {one.key: one for one in baselines(LADDER, LADDER, NOTHING)}
    assert found["always-full"].settings[0].policy.controller == Static(0)
    assert found["always-cheapest"].settings[0].policy.controller == Static(LADDER.last)
    assert [one.label for one in found["static"].settings] == ["full@15", "full@10"]


def test_proteus_gives_less_quality_for_more_load_and_more_headroom(solved: Solved) -> None:
    scores = LADDER.scores()

    def quality(data: object, band: int) -> float:
        shares = Split.from_plain(data).bands[band].shares
        return sum(share * score for share, score in zip(shares, scores, strict=True))

    for data in solved.proteus.values():
        by_rate = [quality(data, band) for band in range(8)]
        assert by_rate == sorted(by_rate, reverse=True)
        assert by_rate[0] > 0.999
        assert by_rate[-1] == pytest.approx(scores[-1])
    tight, wide = Split.from_plain(solved.proteus["1"]), Split.from_plain(solved.proteus["0.7"])
    assert tight.bands[0].below_per_s > wide.bands[0].below_per_s


def test_the_cascade_redoes_less_the_more_comes(solved: Solved) -> None:
    for data in solved.cascade.values():
        thresholds = [band.threshold for band in Cascade.from_plain(data, LADDER.last, 0).bands]
        assert thresholds == sorted(thresholds, reverse=True)
        assert thresholds[0] > 0.5
        assert thresholds[-1] == 0.0


def test_dearer_quality_never_lowers_the_table(solved: Solved) -> None:
    def rungs(price: str) -> list[int]:
        table = DecisionTable.from_plain(solved.optimal[price])
        return [rung for band in table.bands for rung in band.rungs[0]]

    cheap, dear = rungs("1"), rungs("25")
    assert sum(dear) < sum(cheap)
