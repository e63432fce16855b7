"""Running jobs that would be late: lowered one by one, each as little as meets its deadline."""

from __future__ import annotations

from collections.abc import Iterator

from policies.commands import LowerJob
from policies.controllers import DeadlineAware
from policies.exits import Change, changed
from policies.fleet import Fleet
from policies.groups import Engine, Running
from policies.nouns import Job
from policies.policy import Policy


def lowerings(
    engine: Engine,
    fleet: Fleet,
    policy: Policy,
    controller: DeadlineAware,
    now_s: float,
) -> Iterator[LowerJob]:
    """The commands for one engine's jobs; what they change is noted in its running jobs.

    The steps that a job has run are estimated; its engine applies the rung to what it really has.
    The longest there are looked at first: lowering them may help the others enough.
    """
    ends_s = fleet.runs_end_s(engine, now_s)
    for running in engine.running.values():
        job = running.job
        if job is None or job.fixed or running.service is None:
            continue
        due_s = controller.due_s(job, now_s, waiting=0)  # those who start mind the line
        if ends_s[running.job_id] <= due_s:
            continue
        exits = _exits(engine, fleet, policy, running, job, now_s)
        rung = controller.lowered(due_s, [(rung, ends_s) for rung, ends_s, _ in exits])
        if rung is None:
            continue
        change = next(change for index, _, change in exits if index == rung)
        running.done = fleet.done(engine, running, now_s)
        running.told_s = now_s
        running.service, running.planned = change.service, change.steps_planned
        running.lowered = rung
        ends_s = fleet.runs_end_s(engine, now_s)  # the others end earlier now
        yield LowerJob(running.job_id, engine.engine_id, rung)


def _exits(
    engine: Engine, fleet: Fleet, policy: Policy, running: Running, job: Job, now_s: float
) -> list[tuple[int, float, Change]]:
    """The rungs that would change this run, best first, with when it would then end."""
    service = running.service
    if service is None:
        return []
    rules = policy.exits.within(engine.group.key.variants)
    done = fleet.done(engine, running, now_s)
    found: list[tuple[int, float, Change]] = []
    deepest = min(job.floor, policy.controller.deepest)
    for rung in range(max(service.rung, running.lowered) + 1, deepest + 1):
        change = changed(
            service,
            running.planned,
            done,
            floor=job.floor,
            announced=rung,
            ladder=policy.ladder,
            rules=rules,
            fixed=job.fixed,
            pinned=job.variant is not None,
        )
        if change is not None and (not found or change != found[-1][2]):
            left = change.steps_planned - done
            ends_s = fleet.changed_ends_s(engine, running.job_id, change.service, left, now_s)
            found.append((rung, ends_s, change))
    return found
