"""Prometheus metrics of the whole service, kept where every job passes: in the dispatcher."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serve.driver import QueueDriver
from serve.messages import Ended

COUNTED = (
    "admitted",
    "finished",
    "cancelled",
    "failed",
    "expired",
    "hopeless",
    "rejected",
    "requeued",
)
"""What is counted of jobs, by the names of `policies.dispatcher.Counts`."""

_SECONDS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300)
_STEPS_BUCKETS = (1, 2, 4, 6, 8, 10, 15, 20, 25, 30, 50, 100)


class _QueueCollector(Collector):
    """Reads the exact counts at scrape time, so that no copy can drift from them."""

    def __init__(self, driver: QueueDriver) -> None:
        self._driver = driver

    def collect(self) -> Iterable[Metric]:
        """Gauges and counters of the queue and of the engines."""
        counts = self._driver.dispatcher.counts()
        for name, value, text in (
            ("waiting", counts.waiting, "Jobs waiting in the one queue."),
            ("running", counts.running, "Jobs granted a place in an engine."),
        ):
            yield GaugeMetricFamily(f"sluice_jobs_{name}", text, value=value)
        rung = self._driver.dispatcher.rung
        yield GaugeMetricFamily("sluice_rung", "Current rung; 0 is full service.", value=rung)
        jobs = CounterMetricFamily("sluice_jobs", "Jobs by what became of them.", labels=["event"])
        for event in COUNTED:
            jobs.add_metric([event], getattr(counts, event))
        yield jobs
        refused = CounterMetricFamily(
            "sluice_refusals", "Jobs that were not made, by reason.", labels=["reason"]
        )
        for reason, number in sorted(self._driver.refused.items()):
            refused.add_metric([reason], number)
        yield refused
        yield from self._engines()

    def _engines(self) -> Iterable[Metric]:
        labels = ["pool", "engine"]
        places = GaugeMetricFamily("sluice_engine_places", "Places of an engine.", labels=labels)
        running = GaugeMetricFamily("sluice_engine_running", "Jobs in an engine.", labels=labels)
        steps = CounterMetricFamily("sluice_engine_steps", "Batched steps run.", labels=labels)
        pictures = CounterMetricFamily("sluice_engine_pictures", "Pictures made.", labels=labels)
        limit = GaugeMetricFamily(
            "sluice_engine_batch_limit",
            "Most jobs in one call where memory ran out before.",
            labels=[*labels, "variant", "size", "stage"],
        )
        threshold = GaugeMetricFamily(
            "sluice_convergence_threshold",
            "Relative change of the picture below which a job may end; 0 lets nobody.",
            labels=labels,
        )
        audits = GaugeMetricFamily(
            "sluice_convergence_audits",
            "Audited jobs that the threshold rests on.",
            labels=labels,
        )
        running_by_id = {v.engine_id: len(v.running) for v in self._driver.dispatcher.engines()}
        for beat in self._driver.beats():
            values = [beat.pool, beat.engine_id]
            places.add_metric(values, beat.places)
            running.add_metric(values, running_by_id.get(beat.engine_id, 0))
            steps.add_metric(values, beat.steps_total)
            pictures.add_metric(values, beat.pictures_total)
            for one in beat.batch_limits:
                size = f"{one.width}x{one.height}"
                limit.add_metric([*values, one.variant, size, one.stage], one.limit)
            if beat.convergence is not None:
                threshold.add_metric(values, beat.convergence.threshold)
                audits.add_metric(values, beat.convergence.audits)
        yield from (places, running, steps, pictures, limit, threshold, audits)


class Telemetry:
    """The registry: exact counts read at scrape time, and histograms of what jobs met."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("variant", "quality")
        self._queue_s = Histogram(
            "sluice_queue_seconds",
            "Wait from arrival to the grant of a place.",
            labels,
            buckets=_SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._service_s = Histogram(
            "sluice_service_seconds",
            "Time in the engine.",
            labels,
            buckets=_SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._steps = Histogram(
            "sluice_steps_run",
            "Denoising steps of a finished picture.",
            labels,
            buckets=_STEPS_BUCKETS,
            registry=self._registry,
        )
        self._early = Counter(
            "sluice_early_exits",
            "Finished pictures by kind of early exit.",
            ("kind",),
            registry=self._registry,
        )

    def watch(self, driver: QueueDriver) -> None:
        """Show the counts of this driver from now on; called once."""
        self._registry.register(_QueueCollector(driver))

    def ended(self, waited_s: float, ended: Ended) -> None:
        """Count one job that left an engine, after it had waited for its slot."""
        facts = ended.facts
        if facts is None:
            return
        made = facts.picture
        labels = (made.variant, facts.quality_delivered)
        self._queue_s.labels(*labels).observe(max(0.0, waited_s))
        self._service_s.labels(*labels).observe(max(0.0, facts.service_s))
        self._steps.labels(*labels).observe(made.steps_run)
        self._early.labels(made.early_exit).inc()

    def text(self) -> str:
        """The scrape, in the Prometheus text format."""
        return generate_latest(self._registry).decode()
