"""What a step, an encoding and a decoding cost on one machine: plain data, without torch.

Tables are measured by `python -m pipelines profile`, kept as JSON, and read by the simulator and
the queueing models. Times are seconds of engine time for one call over a whole batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipelines.cost_fit import Point, StepFit, fit_steps

FORMAT_VERSION = 2
_HEADER = ("machine", "commit", "versions", "command", "seed")
_SETTING = ("width", "height", "dtype", "threads", "device")
_AGAIN = "measure it with `python -m pipelines profile`"

BEYOND_MAX = 2
"""A checked form may be asked for up to this many times the largest measured batch."""


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

    @property
    def error_s(self) -> float:
        """Standard error of the median, as if the times were normal with these percentiles."""
        deviation_s = (self.p90_s - self.p10_s) / 2.563
        return 1.2533 * deviation_s / math.sqrt(self.repetitions)


@dataclass(frozen=True, slots=True)
class VariantCosts:
    """Costs of one variant; `step_s` and `decode_s` by the number of jobs in the call.

    `encode_s` is one prompt that is not in the cache. A step is one batched UNet call with the
    sampler's arithmetic and the engine's bookkeeping: `step_s` with the variant's own guidance,
    `unguided_step_s` with guidance off, for variants that have any. With guidance a job is two rows
    of the UNet call (`rows_per_job` 2). `step_fit` is the checked form of a step's time by rows;
    `measured` makes it.
    """

    encode_s: Measurement
    step_s: Mapping[int, Measurement]
    decode_s: Mapping[int, Measurement]
    unguided_step_s: Mapping[int, Measurement] = field(default_factory=dict)
    rows_per_job: int = 1
    step_fit: StepFit | None = None

    def __post_init__(self) -> None:
        for name, by_batch in (("step_s", self.step_s), ("decode_s", self.decode_s)):
            if not by_batch or min(by_batch) < 1:
                raise ValueError(f"{name} needs measurements at batches of 1 job or more.")
        if self.unguided_step_s and min(self.unguided_step_s) < 1:
            raise ValueError("unguided_step_s needs measurements at batches of 1 job or more.")
        if self.rows_per_job not in (1, 2):
            raise ValueError(
                f"rows_per_job must be 1, or 2 with guidance, got {self.rows_per_job}."
            )
        if self.unguided_step_s and self.rows_per_job == 1:
            raise ValueError("A variant of one row a job has no steps without guidance beside it.")

    @classmethod
    def measured(
        cls,
        encode_s: Measurement,
        step_s: Mapping[int, Measurement],
        decode_s: Mapping[int, Measurement],
        unguided_step_s: Mapping[int, Measurement] | None = None,
        *,
        rows_per_job: int = 1,
    ) -> VariantCosts:
        """The costs with the form that fits their steps best."""
        unguided = unguided_step_s or {}
        points = [
            Point(rows * batch, one.median_s, one.error_s)
            for rows, by_batch in ((rows_per_job, step_s), (1, unguided))
            for batch, one in by_batch.items()
        ]
        fit = fit_steps(points)
        return cls(encode_s, step_s, decode_s, unguided, rows_per_job, fit)


@dataclass(frozen=True, slots=True)
class CostTable:
    """Measured costs of every variant in one setting: machine, threads, number type, size, device.

    The rest is what it takes to measure them again: commit, versions of the libraries by name,
    command and seed.
    """

    machine: str
    threads: int
    dtype: str
    commit: str
    width: int
    height: int
    variants: Mapping[str, VariantCosts]
    device: str = "cpu"
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    seed: int | None = None

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.width}x{self.height} {self.dtype} on {self.device} with {threads}"

    def encode_s(self, variant: str) -> float:
        """Median seconds to encode one new prompt; ValueError for an unknown variant."""
        return self._of(variant).encode_s.median_s

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """Seconds of one step of `batch` jobs, `guided` of them with guidance (None: as profiled).

        The measured median where there is one. Between measured batches the fitted form, held
        between the medians of its neighbours, or the straight line between those if the form failed
        its check. Up to twice the largest batch the form alone. A variant without guidance has one
        row a job, whatever `guided` says. ValueError if the variant is unknown or nothing reaches
        that far.
        """
        costs = self._of(variant)
        what = f"a step of {variant!r}"
        everyone = batch if guided is None else guided
        if not 0 <= everyone <= batch:
            raise ValueError(f"{guided} of {batch} jobs cannot be guided.")
        if costs.rows_per_job == 1 or everyone == batch:
            return _along(costs.step_s, batch, what, costs.rows_per_job, costs.step_fit)
        if not costs.unguided_step_s:
            raise ValueError(f"The cost of {what} was measured with guidance only; profile again.")
        low_s = _along(costs.unguided_step_s, batch, f"{what} without guidance", 1, costs.step_fit)
        if everyone == 0:
            return low_s
        high_s = _along(costs.step_s, batch, what, costs.rows_per_job, costs.step_fit)
        return _between(low_s, high_s, everyone / batch, batch + everyone, costs.step_fit)

    def decode_s(self, variant: str, batch: int) -> float:
        """Median seconds to decode `batch` pictures in one call, linear between the measured.

        ValueError if the variant is unknown or the batch lies outside what was measured.
        """
        return _along(self._of(variant).decode_s, batch, f"a decoding of {variant!r}")

    def service_s(
        self, variant: str, steps: int, batch: int = 1, guided_steps: int | None = None
    ) -> float:
        """Engine seconds that one job takes when `batch` such jobs run together all the way.

        `guided_steps` of the steps run with guidance (None: all). The reciprocal is the capacity
        in jobs per second at that batch.
        """
        guided = steps if guided_steps is None else guided_steps
        if not 0 <= guided <= steps:
            raise ValueError(f"{guided} of {steps} steps cannot be guided.")
        shared_s = guided * self.step_s(variant, batch) + self.decode_s(variant, batch)
        if guided < steps:
            shared_s += (steps - guided) * self.step_s(variant, batch, 0)
        return self.encode_s(variant) + shared_s / batch

    def max_batch(self, variant: str) -> int:
        """The largest batch that both steps and decodings were measured at."""
        costs = self._of(variant)
        return min(max(costs.step_s), max(costs.decode_s))

    def save(self, path: Path) -> None:
        """Write the table as the only one of a JSON file."""
        save_tables([self], path)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        width: int | None = None,
        height: int | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        device: str | None = None,
    ) -> CostTable:
        """The only table of a file, or the one of the setting asked for.

        ValueError says what is wrong with the file, or which tables it has if none or several fit.
        """
        asked = {"width": width, "height": height, "dtype": dtype}
        asked |= {"threads": threads, "device": device}
        wanted = {name: value for name, value in asked.items() if value is not None}
        tables = load_tables(path)
        fitting = [
            table
            for table in tables
            if all(getattr(table, name) == value for name, value in wanted.items())
        ]
        if len(fitting) == 1:
            return fitting[0]
        asking = (
            ", ".join(f"{name} {value}" for name, value in wanted.items()) or "no setting named"
        )
        there = "; ".join(str(table) for table in tables)
        raise ValueError(
            f"Cost table {path} has {len(fitting) or 'no'} tables for {asking}; it holds {there}."
        )

    def _of(self, variant: str) -> VariantCosts:
        if variant not in self.variants:
            known = ", ".join(sorted(self.variants))
            raise ValueError(f"The cost table holds no variant {variant!r}, only {known}.")
        return self.variants[variant]


def _between(low_s: float, high_s: float, share: float, rows: int, fit: StepFit | None) -> float:
    """Between two neighbours: the form, held between them, or the straight line."""
    if fit is None or not fit.trusted:
        return low_s + share * (high_s - low_s)
    least_s, most_s = sorted((low_s, high_s))
    return min(max(fit.seconds(rows), least_s), most_s)


def _along(
    by_batch: Mapping[int, Measurement],
    batch: int,
    what: str,
    rows_per_job: int = 1,
    fit: StepFit | None = None,
) -> float:
    """The median at `batch`, or what its neighbours and the form say of it."""
    if batch in by_batch:
        return by_batch[batch].median_s
    measured = sorted(by_batch)
    rows = rows_per_job * batch
    for below, above in pairwise(measured):
        if below < batch < above:
            share = (batch - below) / (above - below)
            ends_s = by_batch[below].median_s, by_batch[above].median_s
            return _between(*ends_s, share, rows, fit)
    doubt = ""
    if fit is not None and measured[-1] < batch <= BEYOND_MAX * measured[-1]:
        if fit.trusted_beyond:
            return max(fit.seconds(rows), by_batch[measured[-1]].median_s)
        doubt = f", and the fitted form was off by up to {fit.cv_worst:.0%} when checked"
    raise ValueError(
        f"The cost of {what} was measured for {measured[0]} to {measured[-1]} jobs, not {batch}"
        f"{doubt}; profile again with --batches that include it."
    )


def save_tables(tables: Sequence[CostTable], path: Path) -> None:
    """Write tables that were measured together.

    ValueError if there are none, two have the same setting, or they were not measured together.
    """
    headers = [{name: getattr(table, name) for name in _HEADER} for table in tables]
    settings = [tuple(getattr(table, name) for name in _SETTING) for table in tables]
    if not tables or any(header != headers[0] for header in headers):
        raise ValueError("A file of cost tables holds those of one measurement, at least one.")
    if len(set(settings)) < len(settings):
        raise ValueError("A file of cost tables holds one for each setting.")
    document = {"version": FORMAT_VERSION, **headers[0], "tables": [_written(t) for t in tables]}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def load_tables(path: Path) -> tuple[CostTable, ...]:
    """Every table of a file, at least one; ValueError says what is wrong with the file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ValueError(f"Cost table {path}: {reason}; {_AGAIN}.") from error
    except ValueError as error:
        raise ValueError(f"Cost table {path} is not JSON ({error}); {_AGAIN}.") from error
    try:
        return _tables_from(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"Cost table {path} is not usable: {error}; {_AGAIN}.") from error


def _written(table: CostTable) -> dict[str, Any]:
    variants = {name: asdict(costs) for name, costs in table.variants.items()}
    return {name: getattr(table, name) for name in _SETTING} | {"variants": variants}


def _tables_from(document: dict[str, Any]) -> tuple[CostTable, ...]:
    version = document.get("version")
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version!r} where {FORMAT_VERSION} is expected")
    _check_names(document, {"version", *_HEADER, "tables"})
    header = {name: document[name] for name in _HEADER}
    tables = tuple(_table_from(header, one) for one in document["tables"])
    if not tables:
        raise ValueError("it holds no table")
    return tables


def _table_from(header: Mapping[str, Any], table: dict[str, Any]) -> CostTable:
    _check_names(table, {*_SETTING, "variants"})
    variants = {name: _variant_from(costs) for name, costs in table["variants"].items()}
    return CostTable(**header, **{name: table[name] for name in _SETTING}, variants=variants)


def _variant_from(costs: dict[str, Any]) -> VariantCosts:
    _check_names(costs, {field.name for field in fields(VariantCosts)})
    fit = costs["step_fit"]
    return VariantCosts(
        encode_s=Measurement(**costs["encode_s"]),
        step_s=_by_batch(costs["step_s"]),
        decode_s=_by_batch(costs["decode_s"]),
        unguided_step_s=_by_batch(costs["unguided_step_s"]),
        rows_per_job=costs["rows_per_job"],
        step_fit=None if fit is None else StepFit(**fit),
    )


def _by_batch(measured: Mapping[str, Any]) -> dict[int, Measurement]:
    return {int(batch): Measurement(**one) for batch, one in measured.items()}


def _check_names(found: dict[str, Any], expected: set[str]) -> None:
    if set(found) != expected:
        raise ValueError(f"it must hold {sorted(expected)}, it holds {sorted(found)}")
