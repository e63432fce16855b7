"""Step arithmetic of in-flight re-planning, shared by the engine and the simulator.

A running job keeps the noise level that it has reached; only the rest of its plan is respaced.
The rest shrinks in the ratio of the two rungs' steps, so a job that is re-planned early saves much
and one that is nearly done saves little.
"""

from __future__ import annotations

from policies.nouns import Ladder, Service
from policies.service import pressed


def remaining_after_replan(planned: int, done: int, from_steps: int, to_steps: int) -> int:
    """Steps left after a change of pace from `from_steps` to `to_steps` for a whole run.

    `planned` steps were to be run in all and `done` have been. Never more than before, at least
    one if any were left, and none stay none. ValueError on a count that cannot be.
    """
    if from_steps < 1 or to_steps < 1:
        raise ValueError(f"a pace must be at least 1 step, got {from_steps} and {to_steps}")
    if not 0 <= done <= planned:
        raise ValueError(f"done steps must lie between 0 and planned, got {done} of {planned}")
    left = planned - done
    if left == 0 or to_steps >= from_steps:
        return left
    # Integer ceiling: the engine and the simulator must agree to the step on every machine.
    return max(1, -(-left * to_steps // from_steps))


def in_flight_rung(
    service: Service, floor: int, announced: int, ladder: Ladder, *, fixed: bool = False
) -> int | None:
    """The rung to which a running job is to be re-planned, or None if nothing changes.

    Same variant, fewer steps than now, never below the floor, never for a fixed job, and neither
    out of nor into a rung with a fixed schedule. A job is never lengthened again.
    """
    if fixed or not ladder[service.rung].replannable:
        return None
    try:
        target = ladder.rung_for(announced, floor, service.variant)
        under_pressure = pressed(ladder, floor, target, service.variant)
    except ValueError:
        return None  # the variant has no rung within the floor: it was the client's own choice
    rung = ladder[target]
    if not under_pressure or not rung.replannable or rung.steps >= service.steps:
        return None
    return target


def replanned(
    service: Service,
    planned: int,
    done: int,
    *,
    floor: int,
    announced: int,
    ladder: Ladder,
    fixed: bool = False,
) -> tuple[Service, int] | None:
    """The new service and the new number of planned steps, or None if the plan stays.

    The plan also stays where rounding leaves as many steps as before: the picture is then what
    the better rung promised, and keeps its label.
    """
    target = in_flight_rung(service, floor, announced, ladder, fixed=fixed)
    if target is None:
        return None
    to_steps = ladder[target].steps
    left = remaining_after_replan(planned, done, service.steps, to_steps)
    if left == planned - done:
        return None
    return Service(service.variant, to_steps, target), done + left
