"""What is wrong with a profile shows under its own name in the budget, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.budget import share_out
from analysis.comparison.evidence import Evidence, read_evidence
from analysis.comparison.profile import Profile, profile_from_table, profile_of
from analysis.comparison.replays import Pace
from analysis.comparison.worlds import ARRIVALS, COSTS, PACE, RESPONSE, WAYS, RunWorlds
from analysis.server_config import ServerSettings
from loadgen.arrivals import poisson
from tests.analysis.comparison.synthetic_runs import Truth, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings

LOAD, SECONDS, SEED = 0.6, 25.0, 5
PROFILE = profile_from_table(cost_table(), OVERHEADS)

Effects = dict[str, float]
Measured = Callable[..., Evidence]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    return settings(tmp_path_factory.mktemp("server"), "static")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    def one(truth: Truth, **how: object) -> Evidence:
        folder = tmp_path_factory.mktemp("runs") / "run"
        write_measured(folder, truth, load=LOAD, seconds=SECONDS, seed=SEED, **how)  # type: ignore[arg-type]
        return read_evidence(folder, truth.settings)

    return one


def causes(evidence: Evidence, profile: Profile = PROFILE) -> Effects:
    """What each swap changes in the mean latency."""
    worlds = RunWorlds(evidence, profile, draws=2, replications=4)
    return {e.name: e.effects["mean_s"] for e in share_out("", worlds.swaps, worlds)}


@pytest.fixture(scope="module")
def honest(measured: Measured, static: ServerSettings) -> Effects:
    """The server is as the profile says, and only the arrivals are its own."""
    return causes(measured(Truth(static)))


def assert_named_alone(off: Effects, honest: Effects, name: str, share: float = 0.2) -> None:
    own = off[name] - honest[name]
    assert abs(own) > 0.02
    for one, effect in off.items():
        if one != name:
            assert abs(effect - honest[one]) < share * abs(own), one


def test_of_a_server_as_profiled_only_the_arrivals_are_its_own(honest: Effects) -> None:
    assert set(honest) == {ARRIVALS, COSTS, PACE, WAYS, RESPONSE}
    assert abs(honest[ARRIVALS]) > 0.01
    assert max(abs(effect) for name, effect in honest.items() if name != ARRIVALS) < 0.005


def test_a_slower_engine_shows_as_costs(
    measured: Measured, static: ServerSettings, honest: Effects
) -> None:
    slow = causes(measured(Truth(static, slowness=1.15)))
    assert_named_alone(slow, honest, COSTS)
    assert slow[COSTS] > 0


def test_a_longer_way_back_shows_as_itself(
    measured: Measured, static: ServerSettings, honest: Effects
) -> None:
    slow = causes(measured(Truth(static, overheads=replace(OVERHEADS, response_s=0.3))))
    assert_named_alone(slow, honest, RESPONSE, share=0.02)
    assert slow[RESPONSE] == pytest.approx(0.294, abs=0.005)


def test_a_longer_way_to_the_engines_shows_as_itself(
    measured: Measured, static: ServerSettings, honest: Effects
) -> None:
    slow = causes(measured(Truth(static, overheads=replace(OVERHEADS, grant_s=0.08))))
    assert_named_alone(slow, honest, WAYS)


def test_other_arrivals_show_as_themselves(
    measured: Measured, static: ServerSettings, honest: Effects
) -> None:
    crowd = sorted([*poisson(4.0, SECONDS, 3).tolist(), *([10.0] * 20)])
    assert_named_alone(causes(measured(Truth(static), times_s=crowd)), honest, ARRIVALS)


def test_a_speed_that_changes_shows_as_itself_but_for_what_it_does_to_these_arrivals(
    measured: Measured, static: ServerSettings
) -> None:
    # Half of the 26 seconds that are polled are slow.
    once = poisson(3.2, 13.0, 11).tolist()
    twice = [*once, *(13.0 + at_s for at_s in once)]
    even_on_average = Truth(static, slowness=2 / 3, later=2.0, slow_from_s=13.0)
    drifting = causes(measured(even_on_average, times_s=twice))
    steady = causes(measured(Truth(static), times_s=twice))
    del drifting[ARRIVALS], steady[ARRIVALS]
    assert_named_alone(drifting, steady, PACE, share=0.35)


def test_without_costs_a_run_cannot_tell_its_own(
    measured: Measured, static: ServerSettings
) -> None:
    found = RunWorlds(measured(Truth(static), costs=False), PROFILE, 2, 2)
    assert found.swaps == (ARRIVALS, WAYS, RESPONSE)


def test_changes_of_speed_in_other_runs_widen_the_band(
    measured: Measured, static: ServerSettings
) -> None:
    others = [
        measured(Truth(static, slowness=slowness, later=1.3, slow_from_s=SECONDS / 2))
        for slowness in (0.7, 0.8, 1.0)
    ]
    profile = profile_of(others, OVERHEADS, "three runs")
    worlds = RunWorlds(measured(Truth(static)), profile, draws=2, replications=12)
    with_speed = worlds(frozenset()).column("mean_s")
    arrivals_only = worlds.arrivals_only().column("mean_s")
    assert np.std(with_speed) > 1.3 * np.std(arrivals_only)


def test_draws_can_be_made_again_and_worlds_share_them(
    measured: Measured, static: ServerSettings
) -> None:
    evidence = measured(Truth(static))
    one, other = (RunWorlds(evidence, PROFILE, 2, 3) for _ in range(2))
    assert one(frozenset()) == other(frozenset())
    assert one.trace(1) == other.trace(1)
    assert one.trace(1) != one.trace(2)
    assert one.pace(own=False, draw=1) == Pace()  # a table tells no changes of speed
    slower = one(frozenset({RESPONSE}))
    assert np.allclose(slower.column("mean_s"), one(frozenset()).column("mean_s"), atol=0.002)
