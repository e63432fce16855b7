"""From a job's wishes and the current rung to the service that it gets."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from policies.nouns import Job, Ladder, Service


def service_for(
    job: Job, ladder: Ladder, current_rung: int, hosted: AbstractSet[str] | None = None
) -> Service:
    """The service of a job that starts while the controller stands at `current_rung`.

    Without a wish for steps it is the ladder's answer (`Ladder.rung_for`). A wish is met as given
    while there is no pressure, and always if the job is fixed; under pressure the ladder's answer
    replaces it if that is cheaper. A wish below the job's own quality floor is raised to the
    floor, because the floor is the promise. A wish that is met is guided throughout; the ladder's
    answer carries the guidance share of its rung. `hosted`, if given, are the variants that some
    engine hosts: a job that pins none is not sent to a variant that nobody can run.
    ValueError if the ladder has no rung for the job.
    """
    if job.fixed and job.steps is not None:
        variant = job.variant or ladder.best.variant
        return Service(variant, job.steps, ladder.rung_of(variant, job.steps))
    answer = _ladder_service(job, ladder, current_rung, hosted)
    if job.steps is None:
        return answer
    wish = _wish(job, ladder, job.steps)
    if job.variant is None and hosted is not None and wish.variant not in hosted:
        return answer
    return answer if _is_lowered(answer, wish, job, ladder) else wish


def pressed(ladder: Ladder, floor: int, rung: int, variant: str | None) -> bool:
    """Whether `rung` is worse than the best that the ladder has for such a job."""
    return rung > ladder.rung_for(0, floor, variant)


def _ladder_service(
    job: Job, ladder: Ladder, current_rung: int, hosted: AbstractSet[str] | None
) -> Service:
    usable = hosted if job.variant is None and hosted else None
    try:
        index = ladder.rung_for(current_rung, job.floor, job.variant, usable)
    except ValueError:
        # Nothing that is up can serve it within its floor: say what it waits for.
        index = ladder.rung_for(current_rung, job.floor, job.variant)
    rung = ladder[index]
    return Service(rung.variant, rung.steps, index, rung.guidance_share)


def _wish(job: Job, ladder: Ladder, steps: int) -> Service:
    variant = job.variant or ladder.best.variant
    wish = Service(variant, steps, ladder.rung_of(variant, steps))
    accepts_any = job.floor >= ladder.last
    if accepts_any or (wish.rung <= job.floor and steps >= ladder[wish.rung].steps):
        return wish
    index = ladder.rung_for(ladder.last, job.floor, variant)
    return Service(variant, ladder[index].steps, index)


def _is_lowered(answer: Service, wish: Service, job: Job, ladder: Ladder) -> bool:
    cheaper = answer.rung > wish.rung or (
        answer.variant == wish.variant
        and (answer.steps, answer.guidance_share) < (wish.steps, wish.guidance_share)
    )
    return cheaper and pressed(ladder, job.floor, answer.rung, job.variant)
