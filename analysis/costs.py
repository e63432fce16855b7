"""What the models and the simulator ask of a cost table (`pipelines.costs.CostTable` is one)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Costs(Protocol):
    """Seconds of engine time of one call. Guidance is inside a variant's step."""

    def encode_s(self, variant: str) -> float:
        """Encoding one new prompt."""

    def step_s(self, variant: str, batch: int) -> float:
        """One denoising step of `batch` jobs."""

    def decode_s(self, variant: str, batch: int) -> float:
        """Decoding `batch` pictures in one call."""


def completion_rates_per_s(
    costs: Costs, variant: str, steps: int, max_batch: int
) -> Sequence[float]:
    """Jobs per second that a step-batching engine finishes while n = 1..max_batch are running.

    While n run, each job's stay holds `steps` steps of the whole batch and, as jobs join and leave
    one by one, one encoding and one decoding for each of the n: the others stand still meanwhile.
    """
    if steps < 1 or max_batch < 1:
        raise ValueError(f"steps {steps} and max_batch {max_batch} must be at least 1")
    apart_s = costs.encode_s(variant) + costs.decode_s(variant, 1)
    return [n / (steps * costs.step_s(variant, n) + n * apart_s) for n in range(1, max_batch + 1)]
