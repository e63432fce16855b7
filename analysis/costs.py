"""What the models and the simulator ask of a cost table (`pipelines.costs.CostTable` is one)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from policies import Rung, guided_steps


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


def completion_rates_per_s(costs: Costs, rung: Rung, max_batch: int) -> Sequence[float]:
    """Jobs per second that a step-batching engine finishes at `rung` while n = 1..max_batch run.

    While n run, each job's stay holds the rung's steps of the whole batch and, as jobs join and
    leave one by one, one encoding and one decoding for each of the n: the others stand still
    meanwhile. Where the rung cuts guidance, a step is a mean of one with and one without, by the
    shares of the steps: exact as far as a step's cost is linear in the number of guided jobs.
    """
    if max_batch < 1:
        raise ValueError(f"max_batch {max_batch} must be at least 1")
    variant = rung.variant
    apart_s = costs.encode_s(variant) + costs.decode_s(variant, 1)
    guided = guided_steps(rung.steps, rung.guidance_share)
    rates = []
    for n in range(1, max_batch + 1):
        steps_s = guided * costs.step_s(variant, n)
        if guided < rung.steps:
            steps_s += (rung.steps - guided) * costs.step_s(variant, n, 0)
        rates.append(n / (steps_s + n * apart_s))
    return rates
