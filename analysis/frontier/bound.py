"""How good any policy could have been on the study's own jobs, from `analysis.solvers.clairvoyant`.

The replications of a schedule are put one after the other into one trace, far enough apart that no
job reaches into the next. Only jobs that count are in it: that those of the warm-up took time as
well makes the truth worse, not the bound wrong. A cascade whose cheap pictures are judged one by
one can keep those that happen to be better than the rung's mean, which the bound does not know.
"""

from __future__ import annotations

from analysis.frontier.schedules import DEADLINES, WARM_UP_S
from analysis.frontier.study import Race
from analysis.solvers.clairvoyant import Trace, least_work_s

SLOTS = 2
"""Slots in the shortest deadline. On bursts, eight give a bound that is 5 % higher in 10 times the
time; fewer slots err on the side of what is possible."""


def trace_of(race: Race, schedule: int) -> Trace:
    """All counted jobs of a schedule, with the least work of each rung on the race's engine."""
    apart_s = race.schedules[schedule].duration_s + 2 * max(DEADLINES) * race.unloaded_s
    arrivals_s, after_s = [], []
    for replication in range(race.replications):
        for arrival in race.load(schedule, replication).arrivals:
            deadline_s = arrival.template.deadline_after_s
            if arrival.scheduled_s >= WARM_UP_S and deadline_s is not None:
                arrivals_s.append(replication * apart_s + arrival.scheduled_s)
                after_s.append(deadline_s)
    work_s = least_work_s(race.costs, race.ladder, race.max_batch)
    slot_s = min(DEADLINES) * race.unloaded_s / SLOTS
    return Trace(arrivals_s, after_s, work_s, race.ladder.scores(), 1, slot_s)
