"""The parts of a latency add up, and starts are counted from the place that became free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.lags import Stay
from analysis.estimation.overheads import most_at_once, part_of, study_overheads
from analysis.runs import Request
from tests.analysis.synthetic_demo import request

BEFORE_S, START_S, SERVICE_S, AFTER_S = 0.01, 0.02, 0.5, 0.03


def line_of(n: int, gap_s: float) -> list[Request]:
    """One place, equal service: each starts START_S after its arrival or after the last one's end."""
    found, ended_s = [], float("-inf")
    for index in range(n):
        scheduled_s = gap_s * index
        received_s = scheduled_s + BEFORE_S
        began_s = max(received_s, ended_s) + START_S
        ended_s = began_s + SERVICE_S
        answered_s = ended_s + AFTER_S
        found.append(
            request(
                index,
                scheduled_s=scheduled_s,
                received_s=received_s,
                queue_s=began_s - received_s,
                service_s=SERVICE_S,
                answered_s=answered_s,
                latency_s=answered_s - scheduled_s,
            )
        )
    return found


def test_each_part_is_found_and_all_add_up() -> None:
    found = study_overheads(line_of(40, 1.0), places=1)
    means = {part.name: part.mean_s.value for part in found.parts}
    assert means["schedule to receipt"] == pytest.approx(BEFORE_S)
    assert means["engine"] == pytest.approx(SERVICE_S)
    assert means["end of decoding to answer"] == pytest.approx(AFTER_S)
    assert sum(means.values()) == pytest.approx(found.latency.mean_s.value)


def test_an_empty_server_starts_at_free_places_and_nobody_waits_for_one() -> None:
    found = study_overheads(line_of(40, 1.0), places=1)
    assert [part.name for part in found.starts] == ["start at a free place"]
    assert found.starts[0].median_s.value == pytest.approx(START_S)
    assert found.place_wait_s == pytest.approx(0.0, abs=1e-9)


def test_a_busy_server_starts_at_freed_places_after_a_wait() -> None:
    requests = line_of(40, 0.4)
    found = study_overheads(requests, places=1)
    (freed,) = found.starts  # the one start at a free place is too few to tell
    assert (freed.name, freed.n) == ("start at a freed place", 39)
    assert freed.mean_s.value == pytest.approx(START_S)
    queue_s = np.mean([float(one.queue_s or 0) for one in requests])
    assert found.place_wait_s == pytest.approx(queue_s - START_S)


def test_more_in_service_than_places_asks_for_the_right_configuration() -> None:
    crowd = [replace(one, queue_s=0.0) for one in line_of(20, 0.2)]
    with pytest.raises(ValueError, match=r"3 requests were in service at once.*2 places.*--config"):
        study_overheads(crowd, places=2)


def test_a_stay_that_begins_as_another_ends_takes_its_place() -> None:
    assert most_at_once([Stay(0, 0, 1), Stay(0, 1, 2), Stay(0, 1.5, 3)]) == 2
    assert most_at_once([]) == 0


def test_requests_that_were_not_served_are_left_out() -> None:
    refused = request(99, status=429, variant=None, queue_s=None, service_s=None)
    assert study_overheads([*line_of(12, 1.0), refused], places=1).latency.n == 12
    with pytest.raises(ValueError, match="5 served requests"):
        study_overheads([*line_of(5, 1.0), refused], places=1)


def test_the_intervals_cover_what_made_the_values() -> None:
    covered = 0
    for seed in range(25):
        values = np.random.default_rng(seed).exponential(0.02, 200)
        part = part_of("a part", values.tolist())
        covered += 0.02 in part.mean_s.band
        assert part.p95_s.value == np.quantile(values, 0.95)
    assert covered >= 21
