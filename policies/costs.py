"""What one call costs an engine, and what follows for whole runs. Times are seconds.

`pipelines.costs.CostTable` is such a table, measured; the simulator and the queueing models ask
the same questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from policies.exits import guided_steps
from policies.nouns import Rung, Service


class Costs(Protocol):
    """Seconds of engine time of one call."""

    def encode_s(self, variant: str) -> float:
        """Encoding one new prompt."""

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """One denoising step of `batch` jobs, of which `guided` run with guidance.

        None: all of them do that the variant guides at all.
        """

    def decode_s(self, variant: str, batch: int) -> float:
        """Decoding `batch` pictures in one call."""


def steps_s(costs: Costs, service: Service | Rung, batch: int) -> float:
    """All steps of a run while `batch` such jobs run together.

    Where the service cuts guidance, the others are taken to be cut at the same steps.
    """
    guided = guided_steps(service.steps, service.guidance_share)
    time_s = guided * costs.step_s(service.variant, batch)
    if guided < service.steps:
        time_s += (service.steps - guided) * costs.step_s(service.variant, batch, 0)
    return time_s


def run_s(costs: Costs, service: Service | Rung, batch: int = 1) -> float:
    """A whole run in a batch of `batch` like it that start and end together, but for its encoding,
    which is its own: encode, steps, decode."""
    variant = service.variant
    return costs.encode_s(variant) + steps_s(costs, service, batch) + costs.decode_s(variant, batch)


def completion_rate_per_s(costs: Costs, service: Service | Rung, batch: int) -> float:
    """Jobs per second that a step-batching engine finishes while `batch` run all the time.

    Each job's stay holds its steps of the whole batch and, as jobs join and leave one by one, one
    encoding and one decoding for each of the batch: the others stand still meanwhile.
    ValueError for a batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch {batch} must be at least 1")
    variant = service.variant
    apart_s = costs.encode_s(variant) + costs.decode_s(variant, 1)
    return batch / (steps_s(costs, service, batch) + batch * apart_s)


def completion_rates_per_s(costs: Costs, rung: Rung, max_batch: int) -> Sequence[float]:
    """`completion_rate_per_s` while 1, 2, ... max_batch jobs run."""
    if max_batch < 1:
        raise ValueError(f"max_batch {max_batch} must be at least 1")
    return [completion_rate_per_s(costs, rung, n) for n in range(1, max_batch + 1)]
