"""From raw observations to everything that the page tells, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from analysis.anova.crossvalidation import (
    EXTRAPOLATED,
    FOLDS,
    LEVELS_MIN,
    Score,
    knowing_the_cells,
    leave_cells_out,
    leave_level_out,
    score,
)
from analysis.anova.diagnostics import diagnose
from analysis.anova.effects import (
    TIMES,
    Effect,
    analyse,
    cell_means,
    fit,
    lack_of_fit,
    main_effects,
    three_ways,
)
from analysis.anova.formulas import (
    SETTING,
    PowerLaw,
    all_formulas,
    physical,
    standard_errors,
)
from analysis.anova.observations import FACTORS, PARTS, Experiment, Frame
from analysis.intervals import Z95, Array

VERSION = 1
FIGURES = 6
"""Digits that are kept."""


def study(
    experiment: Experiment, seed: int, tell: Callable[[str], object] = lambda what: None
) -> dict[str, Any]:
    """Analyse; JSON values, rounded. `tell` is called with what comes next."""
    table = experiment.table
    tell("analysing variance")
    results = fit(table)
    analysis = analyse(results)
    higher = three_ways(table, results)
    tell("diagnosing")
    diagnostics = diagnose(experiment, results)
    found = {
        "version": VERSION,
        "experiment": _experiment(experiment),
        "anova": asdict(analysis) | {"sure": sorted(analysis.sure())},
        "three_ways": None if higher is None else asdict(higher),
        "lack_of_fit": asdict(lack_of_fit(table, results)),
        "main_effects": {
            factor: [asdict(level) for level in levels]
            for factor, levels in main_effects(table, results).items()
        },
        "interaction": _interaction(table, analysis.effects),
        "diagnostics": asdict(diagnostics),
        "residuals": {
            "order": table["order"].tolist(),
            "fitted": np.asarray(results.fittedvalues).tolist(),
            "residual": np.asarray(results.resid).tolist(),
        },
    }
    tell("cross-validating formulas")
    found["formulas"] = _formulas(experiment, seed)
    return {name: rounded(value) for name, value in found.items()}


def _experiment(experiment: Experiment) -> dict[str, Any]:
    table = experiment.table
    end = dict(experiment.end)
    loads = table["load_average"].dropna()
    return {
        "levels": {factor: list(experiment.levels[factor]) for factor in FACTORS},
        "cells": int(table["cell"].nunique()),
        "blocks": experiment.blocks,
        "observations": len(table),
        "left_out": experiment.left_out,
        "seed": experiment.seed,
        "settings": dict(experiment.settings),
        "seconds": [float(table["seconds"].min()), float(table["seconds"].max())],
        "load_average": [float(loads.min()), float(loads.max())] if len(loads) else None,
        "measured_by": end,
    }


def _interaction(table: Frame, effects: tuple[Effect, ...]) -> dict[str, Any]:
    """The interaction of two factors that carries most of the variance."""
    pairs = [one for one in effects if TIMES in one.term]
    first, second = max(pairs, key=lambda one: one.share).term.split(TIMES)
    return {"factors": [first, second], "means": cell_means(table, (first, second))}


def _formulas(experiment: Experiment, seed: int) -> dict[str, Any]:
    table = experiment.table
    formulas = all_formulas(experiment.levels["sampler"])
    folds = min(FOLDS, int(table["cell"].nunique()))
    crossed = {one.name: leave_cells_out(table, one, seed, folds) for one in formulas}
    levels = [
        (factor, level)
        for factor in EXTRAPOLATED
        if table[factor].nunique() >= LEVELS_MIN
        for level in experiment.levels[factor]
    ]
    unseen = [
        {"factor": factor, "level": level}
        | {
            "scores": {
                one.name: _plain(score(*leave_level_out(table, one, factor, level), seed))
                for one in formulas
            }
        }
        for factor, level in levels
    ]
    return {
        "folds": folds,
        "noise": _plain(score(table, knowing_the_cells(table), seed)),
        "crossed": {name: _plain(score(table, told, seed)) for name, told in crossed.items()},
        "unseen": unseen,
        "predicted": {
            "measured_s": table["seconds"].tolist(),
            "formula_s": crossed[physical(experiment.levels["sampler"]).name].tolist(),
        },
        "parts": _parts(experiment, seed),
        "power_law": _power_law(table),
    }


def _parts(experiment: Experiment, seed: int) -> dict[str, Any]:
    """The physical formula: coefficients of each setting, and where it says that the time goes."""
    table = experiment.table
    formula = physical(experiment.levels["sampler"])
    settings = []
    for key, coefficients in formula.coefficients(table).items():
        part = table[(table[list(SETTING)] == list(key)).all(axis=1)]
        columns = formula.columns(part)
        sums = {name: float(values.sum()) for name, values in columns.items()}
        told = {name: float(coefficients[n] * sums[name]) for n, name in enumerate(sums)}
        total = sum(told.values())
        measured = {one: float(part[f"{one}_s"].sum() / part["seconds"].sum()) for one in PARTS}
        steps = sum(value for name, value in told.items() if name.startswith("step"))
        settings.append(
            {
                "setting": dict(zip(SETTING, (_json(one) for one in key), strict=True)),
                "seconds": dict(zip(columns, coefficients.tolist(), strict=True)),
                "standard_errors": dict(
                    zip(
                        columns,
                        standard_errors(part, formula.columns, seed).tolist(),
                        strict=True,
                    )
                ),
                "share_of_steps": steps / total,
                "measured_shares": measured,
            }
        )
    return {
        "columns": list(formula.columns(table)),
        "settings": settings,
        "example": _example(table, formula.fitted(table)(table)),
    }


def _example(table: Frame, formula_s: Array) -> dict[str, Any]:
    """What the formula says of the cell of the longest time."""
    cells = table.assign(formula_s=formula_s).groupby("cell")
    means = cells[["seconds", "formula_s"]].mean()
    cell = means["formula_s"].idxmax()
    first = table[table["cell"] == cell].iloc[0]
    return {
        "cell": {factor: _json(first[factor]) for factor in FACTORS},
        "formula_s": float(means.loc[cell, "formula_s"]),
        "measured_s": float(means.loc[cell, "seconds"]),
    }


def _power_law(table: Frame) -> list[dict[str, Any]]:
    """Coefficients of the log-linear formula; standard errors from whole cells drawn together."""
    results = PowerLaw("").results(table)
    robust = results.get_robustcov_results("cluster", groups=np.asarray(table["cell"]))
    return [
        {
            "term": name,
            "value": float(value),
            "standard_error": float(error),
            "band": {"low": float(value - Z95 * error), "high": float(value + Z95 * error)},
        }
        for name, value, error in zip(
            results.model.exog_names, robust.params, robust.bse, strict=True
        )
    ]


def _plain(found: Score | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def _json(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def rounded(value: Any) -> Any:
    """The same with numbers of six digits; arrays, tuples and mappings as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{FIGURES}g}")
    return value
