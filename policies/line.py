"""The one line in which jobs wait: ordered by arrival, with their deadlines."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from heapq import heappop, heappush

from policies.nouns import Job


class WaitingLine:
    """Jobs in order of arrival; among equal arrivals, in order of first admission (`seq`)."""

    def __init__(self) -> None:
        self._order: list[tuple[float, int, str]] = []
        self._jobs: dict[str, tuple[Job, int]] = {}
        self._deadlines: list[tuple[float, str]] = []  # lazily cleaned: may name jobs long gone

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def __iter__(self) -> Iterator[tuple[Job, int]]:
        """Jobs with their seq, first come first. Do not change the line meanwhile."""
        for _, _, job_id in self._order:
            yield self._jobs[job_id]

    def add(self, job: Job, seq: int) -> None:
        """Put a job in its place; ValueError if it is in the line already."""
        if job.job_id in self._jobs:
            raise ValueError(f"job {job.job_id} is in the line already")
        insort(self._order, (job.arrival_s, seq, job.job_id))
        self._jobs[job.job_id] = (job, seq)
        if job.deadline_s is not None:
            heappush(self._deadlines, (job.deadline_s, job.job_id))

    def remove(self, job_id: str) -> Job:
        """Take a job out; KeyError if it is not there."""
        job, seq = self._jobs.pop(job_id)
        del self._order[bisect_left(self._order, (job.arrival_s, seq, job_id))]
        return job

    def next_deadline_s(self) -> float | None:
        """The earliest deadline in the line, or None."""
        while self._deadlines:
            deadline_s, job_id = self._deadlines[0]
            entry = self._jobs.get(job_id)
            if entry is not None and entry[0].deadline_s == deadline_s:
                return deadline_s
            heappop(self._deadlines)
        return None

    def take_expired(self, now_s: float) -> list[Job]:
        """Take out the jobs whose deadline is not after `now_s`, earliest deadline first."""
        expired: list[Job] = []
        while (deadline_s := self.next_deadline_s()) is not None and deadline_s <= now_s:
            _, job_id = heappop(self._deadlines)
            expired.append(self.remove(job_id))
        return expired
