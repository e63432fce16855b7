"""Formulas of execution time, from what the field takes for granted to what an engine really does.

Each is a rule that is fitted to a table of observations and then predicts others. All are fitted to
relative errors, for a batch of 0.05 s and one of 2 s shall both come out right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import statsmodels.formula.api as formulas
from scipy.optimize import nnls

from analysis.anova.observations import FACTORS, Frame
from analysis.intervals import Array

SETTING = ("variant", "dtype", "threads")
"""What decides how fast the networks run."""
ROWS_PER_PICTURE = 2
"""With guidance a picture is two rows of a model call: with the prompt and without it."""
DRAWS = 400

Columns = Callable[[Frame], Mapping[str, Array]]
Predict = Callable[[Frame], Array]
"""Seconds of each observation; not a number where the rule cannot tell."""


class Formula(Protocol):
    """A rule with a name for tables."""

    @property
    def name(self) -> str: ...

    def fitted(self, table: Frame) -> Predict:
        """Fit to these observations."""
        ...


@dataclass(frozen=True, slots=True)
class SumOfParts:
    """Seconds are a sum of non-negative parts, with coefficients of their own in each group.

    Non-negative least squares of relative errors (Lawson, Hanson 1974). A group that was not fitted
    is not predicted.
    """

    name: str
    columns: Columns
    groups: tuple[str, ...] = SETTING

    def fitted(self, table: Frame) -> Predict:
        """Fit to these observations."""
        found = self.coefficients(table)
        return lambda asked: self._predict(found, asked)

    def coefficients(self, table: Frame) -> dict[tuple[Any, ...], Array]:
        """By group, seconds per unit of each column."""
        return {key: solve(part, self.columns) for key, part in table.groupby(list(self.groups))}

    def _predict(self, found: Mapping[tuple[Any, ...], Array], asked: Frame) -> Array:
        predicted = np.full(len(asked), np.nan)
        keys = asked.groupby(list(self.groups), sort=False).indices
        for key, rows in keys.items():
            key = key if isinstance(key, tuple) else (key,)
            if key in found:
                columns = self.columns(asked.iloc[rows])
                predicted[rows] = np.column_stack(list(columns.values())) @ found[key]
        return predicted


def solve(table: Frame, columns: Columns) -> Array:
    """Non-negative coefficients with the least sum of squared relative errors."""
    seconds = np.asarray(table["seconds"], dtype=np.float64)
    design = np.column_stack(list(columns(table).values())) / seconds[:, None]
    return np.asarray(nnls(design, np.ones(seconds.size))[0])


def standard_errors(table: Frame, columns: Columns, seed: int) -> Array:
    """Of the coefficients, by drawing whole cells with all their replicates (cluster bootstrap)."""
    rng = np.random.default_rng(seed)
    seconds = np.asarray(table["seconds"], dtype=np.float64)
    design = np.column_stack(list(columns(table).values())) / seconds[:, None]
    cells = list(table.reset_index(drop=True).groupby("cell").indices.values())
    ones, found = np.ones(seconds.size), []
    for _ in range(DRAWS):
        rows = np.concatenate([cells[n] for n in rng.integers(0, len(cells), len(cells))])
        found.append(nnls(design[rows], ones[: rows.size])[0])
    return np.asarray(np.std(found, axis=0, ddof=1))


def physical_columns(samplers: Sequence[str]) -> Columns:
    """Once, per picture and per pixel of it, and per step: fixed by sampler, and by rows and pixels."""

    def columns(table: Frame) -> dict[str, Array]:
        steps, pictures = _numbers(table, "steps"), _numbers(table, "batch")
        kpx = _numbers(table, "kpx")
        fixed = {
            f"step ({sampler})": steps * (table["sampler"] == sampler).to_numpy(dtype=np.float64)
            for sampler in samplers
        }
        return {
            "batch": np.ones(len(table)),
            "picture": pictures,
            "picture and 1,000 pixels": pictures * kpx,
            **fixed,
            "step, row and 1,000 pixels": steps * ROWS_PER_PICTURE * pictures * kpx,
        }

    return columns


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The log-linear formula: powers of steps, pictures and pixels, and a factor for each choice.

    Ordinary least squares of log time. With `interactions` all products of two terms enter.
    """

    name: str
    interactions: bool = False

    def fitted(self, table: Frame) -> Predict:
        """Fit to these observations."""
        results = self.results(table)
        return lambda asked: np.exp(np.asarray(results.predict(asked), dtype=np.float64))

    def results(self, table: Frame) -> Any:
        """statsmodels' results."""
        terms = [f"np.log({name})" for name in ("steps", "batch", "kpx") if _varies(table, name)]
        terms += [
            f"C({name})"
            for name in ("variant", "sampler", "threads", "dtype")
            if _varies(table, name)
        ]
        power = "**2" if self.interactions else ""
        return formulas.ols(f"log_s ~ ({' + '.join(terms)}){power}", table).fit()


def _steps(table: Frame) -> dict[str, Array]:
    return {"step": _numbers(table, "steps")}


def _work(table: Frame) -> dict[str, Array]:
    work = _numbers(table, "steps") * _numbers(table, "batch") * _numbers(table, "kpx")
    return {"step, picture and 1,000 pixels": work}


def _numbers(table: Frame, name: str) -> Array:
    return np.asarray(table[name], dtype=np.float64)


def _varies(table: Frame, name: str) -> bool:
    return bool(table[name].nunique() > 1)


PARTS = "sum of parts"
BY_VARIANT = "proportional to steps, a constant for each variant"
CONFIGURATION = "proportional to steps, a constant for each configuration"


def all_formulas(samplers: Sequence[str]) -> tuple[Formula, ...]:
    """The two fitted ones and what they are held against, simplest first."""
    others = tuple(factor for factor in FACTORS if factor != "steps")
    return (
        SumOfParts(BY_VARIANT, _steps, ("variant",)),
        SumOfParts(CONFIGURATION, _steps, others),
        SumOfParts("proportional to steps x pictures x pixels", _work),
        PowerLaw("power law"),
        PowerLaw("power law with interactions", interactions=True),
        physical(samplers),
    )


def physical(samplers: Sequence[str]) -> SumOfParts:
    """Seconds = once + pictures x (text + pixels x decode) + steps x (fixed + rows x pixels x work)."""
    return SumOfParts(PARTS, physical_columns(samplers))
