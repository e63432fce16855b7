"""Figures over records, and confidence intervals over replications."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.records import Record, confidence_interval, summarise


def record(latency_s: float, *, steps: int = 10, degraded: bool = False) -> Record:
    return Record(
        0, "ok", 0.0, 0.0, latency_s, latency_s, latency_s, steps_run=steps, degraded=degraded
    )


def test_a_summary_counts_pictures_and_refusals_apart() -> None:
    records = [record(1.0), record(3.0, steps=20, degraded=True)]
    records += [Record(2, "rejected", 0.0, None, None, 0.1, 0.1)]
    summary = summarise(records)
    assert (summary.requests, summary.ok, summary.rejected, summary.expired) == (3, 2, 1, 0)
    assert (summary.mean_s, summary.p50_s, summary.mean_steps) == (2.0, 2.0, 15.0)
    assert summary.degraded_share == 0.5


def test_a_run_without_pictures_has_no_summary() -> None:
    with pytest.raises(ValueError, match="nothing to summarise"):
        summarise([])


def test_a_confidence_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    hits = sum(
        5.0 in confidence_interval(rng.normal(5.0, 2.0, 6).tolist(), 0.9) for _ in range(2000)
    )
    assert hits / 2000 == pytest.approx(0.9, abs=0.025)


def test_an_interval_is_students() -> None:
    interval = confidence_interval([1.0, 2.0, 3.0])
    assert (interval.mean, interval.replications) == (2.0, 3)
    assert interval.half_width == pytest.approx(2.484, abs=0.001)


@pytest.mark.parametrize(("values", "level"), [([1.0], 0.95), ([1.0, 2.0], 1.0)])
def test_intervals_that_cannot_be_are_refused(values: list[float], level: float) -> None:
    with pytest.raises(ValueError, match=r"at least 2|between 0 and 1"):
        confidence_interval(values, level)
