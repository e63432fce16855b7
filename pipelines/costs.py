"""What a step, an encoding and a decoding cost on one machine: plain data, without torch.

The table is measured by `python -m pipelines profile`, kept as JSON, and read by the simulator and
the queueing models. Times are seconds of engine time for one call over a whole batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median, 10th and 90th percentile in seconds of `repetitions` timed calls."""

    median_s: float
    p10_s: float
    p90_s: float
    repetitions: int

    def __post_init__(self) -> None:
        times = (self.median_s, self.p10_s, self.p90_s)
        if not all(math.isfinite(time) and time >= 0 for time in times):
            raise ValueError(f"Times must be finite and not negative, got {times}.")
        if not self.p10_s <= self.median_s <= self.p90_s:
            raise ValueError(f"Percentiles must rise from p10 to p90, got {times}.")
        if self.repetitions < 1:
            raise ValueError(f"repetitions must be at least 1, got {self.repetitions}.")

    @classmethod
    def exactly(cls, seconds: float) -> Measurement:
        """A cost without spread, for worked examples and fakes of known speed."""
        return cls(seconds, seconds, seconds, 1)


@dataclass(frozen=True, slots=True)
class VariantCosts:
    """Costs of one variant; `step_s` and `decode_s` by the number of jobs in the call.

    `encode_s` is one prompt that is not in the cache. A step is one batched UNet call with the
    variant's own guidance, its sampler arithmetic and the engine's bookkeeping.
    """

    encode_s: Measurement
    step_s: Mapping[int, Measurement]
    decode_s: Mapping[int, Measurement]

    def __post_init__(self) -> None:
        for name, by_batch in (("step_s", self.step_s), ("decode_s", self.decode_s)):
            if not by_batch or min(by_batch) < 1:
                raise ValueError(f"{name} needs measurements at batches of 1 job or more.")


@dataclass(frozen=True, slots=True)
class CostTable:
    """Measured costs of every variant on one machine, with what is needed to measure them again."""

    machine: str
    threads: int
    dtype: str
    commit: str
    width: int
    height: int
    variants: Mapping[str, VariantCosts]

    def encode_s(self, variant: str) -> float:
        """Median seconds to encode one new prompt; ValueError for an unknown variant."""
        return self._of(variant).encode_s.median_s

    def step_s(self, variant: str, batch: int) -> float:
        """Median seconds of one step of `batch` jobs, linear between the measured batches.

        ValueError if the variant is unknown or the batch lies outside what was measured.
        """
        return _between(self._of(variant).step_s, batch, f"a step of {variant!r}")

    def decode_s(self, variant: str, batch: int) -> float:
        """Median seconds to decode `batch` pictures in one call; errors as in `step_s`."""
        return _between(self._of(variant).decode_s, batch, f"a decoding of {variant!r}")

    def service_s(self, variant: str, steps: int, batch: int = 1) -> float:
        """Engine seconds that one job takes when `batch` such jobs run together all the way.

        The reciprocal is the capacity in jobs per second at that batch.
        """
        shared_s = steps * self.step_s(variant, batch) + self.decode_s(variant, batch)
        return self.encode_s(variant) + shared_s / batch

    def max_batch(self, variant: str) -> int:
        """The largest batch that both steps and decodings were measured at."""
        costs = self._of(variant)
        return min(max(costs.step_s), max(costs.decode_s))

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        document = {"version": FORMAT_VERSION, **asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> CostTable:
        """Read a table that `save` wrote; ValueError says what is wrong with the file."""
        again = "measure it with `python -m pipelines profile`"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise ValueError(f"Cost table {path}: {reason}; {again}.") from error
        except ValueError as error:
            raise ValueError(f"Cost table {path} is not JSON ({error}); {again}.") from error
        try:
            return _table_from(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"Cost table {path} is not usable: {error}; {again}.") from error

    def _of(self, variant: str) -> VariantCosts:
        if variant not in self.variants:
            known = ", ".join(sorted(self.variants))
            raise ValueError(f"The cost table holds no variant {variant!r}, only {known}.")
        return self.variants[variant]


def _between(by_batch: Mapping[int, Measurement], batch: int, what: str) -> float:
    if batch in by_batch:
        return by_batch[batch].median_s
    measured = sorted(by_batch)
    for below, above in pairwise(measured):
        if below < batch < above:
            share = (batch - below) / (above - below)
            low_s, high_s = by_batch[below].median_s, by_batch[above].median_s
            return low_s + share * (high_s - low_s)
    raise ValueError(
        f"The cost of {what} was measured for {measured[0]} to {measured[-1]} jobs, not {batch}; "
        "profile again with --batches that include it."
    )


def _table_from(document: dict[str, Any]) -> CostTable:
    version = document.pop("version", None)
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version!r} where {FORMAT_VERSION} is expected")
    variants = {name: _variant_from(costs) for name, costs in document.pop("variants").items()}
    expected = {field.name for field in fields(CostTable)} - {"variants"}
    if set(document) != expected:
        raise ValueError(f"it must hold {sorted(expected)}, it holds {sorted(document)}")
    return CostTable(variants=variants, **document)


def _variant_from(costs: dict[str, Any]) -> VariantCosts:
    return VariantCosts(
        encode_s=Measurement(**costs["encode_s"]),
        step_s={int(batch): Measurement(**one) for batch, one in costs["step_s"].items()},
        decode_s={int(batch): Measurement(**one) for batch, one in costs["decode_s"].items()},
    )
