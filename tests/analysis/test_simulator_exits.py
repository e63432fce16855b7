"""What a lower rung does to simulated jobs on their way, to the millisecond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.simulator import Arrival, EngineSpec, Overheads, Server, Template, simulate
from policies import ExitRules, Hysteresis, Ladder, Rung, Static, hand_overs
from tests.analysis.simulated_servers import ANY, AT_START, REPLAN, server


def burst_of(jobs: int, at_s: float = 0.1) -> list[Arrival]:
    """One job, and when it is on its way so many more that the rung falls."""
    return [Arrival(0.0, ANY)] + [Arrival(at_s, ANY)] * jobs


def pressed_by_four(ladder: Ladder, rules: ExitRules, batch: int = 1) -> Server:
    """Its rung falls by one once four wait."""
    return server(Hysteresis.threshold((4,)), batch=batch, ladder=ladder, rules=rules)


TWO = Ladder((Rung("full", 25, "high"), Rung("full", 10, "medium")))


def test_a_job_that_is_far_enough_is_decoded_at_the_next_boundary_without_another_step() -> None:
    early, late = (
        simulate(burst_of(4), pressed_by_four(TWO, ExitRules("finish", finish_from=share)))
        for share in (7 / 25, 8 / 25)
    )
    finished = early.records[0]
    assert (finished.steps_planned, finished.steps_run) == (25, 7)
    assert (finished.early_exit, finished.rung_delivered) == ("finish", 1)
    # 0.1 s is within step 7, whose boundary ends at 0.109; only the decoding follows.
    assert finished.finished_s == pytest.approx(0.004 + 7 * 0.015 + 0.006)
    assert finished.degraded
    replanned = late.records[0]
    assert (replanned.early_exit, replanned.steps_run) == ("replan", 7 + 8)


def test_a_job_that_finishes_now_is_decoded_after_the_steps_of_the_others() -> None:
    """It is one call of the autoencoder with whatever else ends in that boundary."""
    what = pressed_by_four(TWO, ExitRules("finish", finish_from=0.2), batch=2)
    kept = Arrival(0.0, replace(ANY, steps=8, fixed=True))
    first, second, *_ = simulate(
        [Arrival(0.0, ANY), kept, *[Arrival(0.138, ANY)] * 4], what
    ).records
    # Both texts, then seven steps of both; in the eighth boundary the other runs its last alone.
    ended_s = 2 * 0.004 + 7 * 0.020 + 0.015 + 2 * 0.006
    assert (first.early_exit, first.steps_run) == ("finish", 7)
    assert (second.early_exit, second.steps_run) == ("none", 8)
    assert first.finished_s == pytest.approx(ended_s)
    assert second.finished_s == pytest.approx(ended_s)


def test_a_job_that_has_not_begun_is_replanned_instead_of_finished() -> None:
    at_once = ExitRules("finish", finish_from=0.01)
    late = replace(pressed_by_four(TWO, at_once), overheads=Overheads(grant_s=0.05))
    first = simulate([Arrival(0.0, ANY)] * 5, late).records[0]
    assert (first.early_exit, first.steps_planned, first.steps_run) == ("replan", 25, 10)


HANDED = Ladder((Rung("full", 25, "high"), Rung("small", 10, "medium")))


def test_a_job_is_handed_over_at_the_boundary_and_its_text_encoded_there() -> None:
    rules = ExitRules("hand_over", hands_over=hand_overs(HANDED))
    first = simulate(burst_of(4), pressed_by_four(HANDED, rules)).records[0]
    assert (first.variant, first.early_exit, first.rung_delivered) == ("small", "hand_over", 1)
    assert (first.steps_planned, first.steps_run) == (25, 7 + 8)
    work_s = 0.004 + 7 * 0.015 + 0.004 + 8 * 0.0075 + 0.006
    assert first.finished_s == pytest.approx(work_s)


def test_a_text_in_the_cache_is_not_encoded_again_for_a_hand_over() -> None:
    rules = ExitRules("hand_over", hands_over=hand_overs(HANDED))
    cached = [replace(a, template=replace(ANY, encodes=False)) for a in burst_of(4)]
    first = simulate(cached, pressed_by_four(HANDED, rules)).records[0]
    assert first.finished_s == pytest.approx(7 * 0.015 + 8 * 0.0075 + 0.006)


def test_nothing_is_handed_over_to_a_variant_of_another_engine_or_of_a_pinned_job() -> None:
    rules = ExitRules("hand_over", hands_over=hand_overs(HANDED))
    apart = replace(
        pressed_by_four(HANDED, rules),
        engines=(EngineSpec("a", 1, frozenset({"full"})), EngineSpec("b", 1, frozenset({"small"}))),
    )
    pinned = [replace(a, template=replace(ANY, variant="full")) for a in burst_of(4)]
    for result in (
        simulate(burst_of(12), apart),
        simulate(pinned, pressed_by_four(HANDED, rules)),
    ):
        first = result.records[0]
        assert (first.variant, first.steps_run, first.early_exit) == ("full", 25, "none")


CUT = Ladder((Rung("full", 25, "high"), Rung("full", 25, "medium", guidance_share=0.6)))


def test_steps_after_the_cut_of_the_guidance_are_cheaper() -> None:
    cut = server(Static(1), ladder=CUT, rules=AT_START)
    record = simulate([Arrival(0.0, Template(floor=1))], cut).records[0]
    assert (record.steps_run, record.cut_steps, record.early_exit) == (25, 10, "none")
    assert record.finished_s == pytest.approx(0.004 + 15 * 0.015 + 10 * 0.0125 + 0.006)


def test_only_the_jobs_past_their_cut_are_cheaper() -> None:
    cut = server(Static(1), ladder=CUT, rules=AT_START)
    templates = [Template(floor=1), Template(floor=0)]
    first, whole = simulate([Arrival(0.0, one) for one in templates], cut).records
    assert (first.cut_steps, whole.cut_steps) == (10, 0)
    assert whole.finished_s == pytest.approx(0.008 + 15 * 0.020 + 10 * 0.0175 + 0.012)


def test_a_rung_that_cuts_guidance_concerns_jobs_in_flight_too() -> None:
    first = simulate(burst_of(4), pressed_by_four(CUT, REPLAN)).records[0]
    assert (first.steps_run, first.cut_steps, first.early_exit) == (25, 10, "replan")
    assert (first.rung_admitted, first.rung_delivered) == (0, 1)
