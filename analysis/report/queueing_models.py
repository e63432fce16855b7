"""The queueing models: what each assumes, and how near it is to independent reference values.

The accuracy is computed while the report is made: every model is asked for every reference case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.document import Block, Heading, Paragraph, Table
from analysis.models.catalogue import MODELS, predict
from analysis.models.steady import Prediction
from analysis.report.gathering import Results
from analysis.report.telling import per_cent, plain

ABOUT = {
    "mm1": ("Poisson arrivals, exponential service, one server", "exact"),
    "mmc": ("Poisson arrivals, exponential service, c servers", "exact (Erlang C)"),
    "md1": ("Poisson arrivals, constant service, one server", "exact"),
    "mdc": ("Poisson arrivals, constant service, c servers", "exact"),
    "mg1": (
        "Poisson arrivals, any service law, one server",
        "exact (Pollaczek and Khinchine; percentiles by inverting the transform)",
    ),
    "mgc": (
        "Poisson arrivals, any service law, c servers",
        "exact where a law of phases allows, else Cosmetatos' approximation; the answer says which",
    ),
    "ggc": ("general arrivals and service by two moments, c servers", "approximation and bounds"),
    "threshold": (
        "exponential service, all running jobs faster from K jobs on (in flight)",
        "exact level-dependent chain",
    ),
    "hysteresis": (
        "the same with a lower threshold for going back",
        "exact level-dependent chain",
    ),
    "start_threshold": (
        "service chosen by the number waiting when a job starts, constant or exponential",
        "exact for one server and for exponential service; several constant servers by simulation",
    ),
    "inflight_deterministic": (
        "constant service, jobs under way sped up from K jobs on",
        "numerical",
    ),
    "bulk": ("constant batch time a + c n, up to b jobs taken together", "exact"),
    "erlang_a": ("exponential service and impatience, c servers", "exact (Palm)"),
    "erlang_d": (
        "exponential service, c servers; who still waits at the deadline leaves",
        "exact (Barrer; Baccelli and Hebuterne)",
    ),
    "mmpp_m1": ("arrivals whose rate switches between two values, one server", "exact"),
    "mmpp_threshold": ("switching arrivals, threshold in flight", "exact level-dependent chain"),
    "mmpp_hysteresis": ("switching arrivals, hysteresis in flight", "exact level-dependent chain"),
    "lps": (
        "jobs share the engine, its speed by how many run together from the cost table; with phases"
        " or rungs, steps are Erlang stages of every job and an early exit jumps over stages",
        "exact chain; without phases the other jobs' work is exponential",
    ),
    "tandem": ("stations in a row, each M/M/c", "exact (Burke, Jackson)"),
}
"""What a model assumes, and of what kind its figures are."""

CASE_MODELS = {
    "MM1_0.5": "mm1",
    "MM1_0.8": "mm1",
    "MD1_0.8": "md1",
    "MM4_0.9": "mmc",
    "ME24_0.8": "mgc",
    "THR_0.8": "threshold",
    "HYS_1.2": "hysteresis",
    "MM4_THR": "threshold",
    "START_D_K5": "start_threshold",
    "START_M_K5": "start_threshold",
    "START_D_C4": "start_threshold",
    "MIDFLIGHT_D": "inflight_deterministic",
    "ERLANG_A": "erlang_a",
    "BULK8": "bulk",
    "MMPP_M1": "mmpp_m1",
    "MMPP_THR": "mmpp_threshold",
}
"""Which model answers a case of the reference file."""

FIGURES = {
    "Wq": "mean_wait_s",
    "W": "mean_response_s",
    "p50": "p50_s",
    "p95": "p95_s",
    "p99": "p99_s",
    "util": "utilisation",
    "frac_degraded": "degraded_share",
}
"""Names in the reference file, and those of a prediction."""

GOAL = 1e-6
"""Relative error that an exact model may have."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A case: the worst relative deviation from exact values, or from simulated ones with how many
    of their 95 % half-widths (with the model's own error estimate) that is."""

    case: str
    model: str
    values: int
    worst: float
    is_exact: bool
    half_widths: float | None


def blocks(reference: Results, source: str) -> list[Block]:
    """The section; KeyError or TypeError if the reference file is of another kind."""
    found = accuracies(reference)
    return [
        Heading("Queueing models", 1),
        Paragraph(
            "Each model is a function with its assumptions, the source of its formula, its validity"
            " and its errors told beside it (`analysis/models`), and can be asked by any program:"
            " `python -m analysis predict --model NAME --params JSON --json`. A load that cannot be"
            " served is refused with its utilisation. Beside these stands the simulator that drives"
            " the server's own policy code, for what no formula covers: any policy, deadlines,"
            " overload from an empty start."
        ),
        _catalogue(),
        Heading("Accuracy against reference values", 2),
        Paragraph(
            "Asked while this report was made. Exact reference values come from independent"
            f" numerics (`{source}`), and the goal is a relative error of at most {GOAL:g}. Where"
            " only a simulated reference exists, the deviation is told in half-widths of its 95 %"
            " interval widened by the model's own estimate of its error."
        ),
        Table(
            ("case", "model", "verdict", "values", "largest deviation", "half-widths"),
            tuple(
                (
                    one.case,
                    f"`{one.model}`",
                    _verdict(one),
                    str(one.values),
                    f"{one.worst:.1e}".replace("-", "\N{MINUS SIGN}"),
                    "" if one.half_widths is None else f"{one.half_widths:.2f}",
                )
                for one in found
            ),
            text_columns=3,
            caption="Models against reference values",
        ),
    ]


def findings(reference: Results) -> list[str]:
    """The sentence for the abstract."""
    exact = [one for one in accuracies(reference) if one.is_exact]
    worst = max(one.worst for one in exact)
    return [
        f"The queueing models reproduce {sum(one.values for one in exact)} exact reference values of"
        f" {len(exact)} servers with a relative error of at most {plain(worst, 1)}."
    ]


def shortfalls(reference: Results) -> list[str]:
    """Cases that a model does not meet."""
    told = []
    for one in accuracies(reference):
        if _verdict(one) == "missed":
            told.append(f"{one.case}, `{one.model}`: off by {one.worst:.1e}, above {GOAL:g}.")
        elif one.half_widths is not None and one.half_widths > 1:
            told.append(
                f"{one.case}, `{one.model}`: {one.half_widths:.2f} half-widths from a simulated"
                f" reference value (at most {per_cent(one.worst, 3)} off). Of several right values"
                " some lie outside a 95 % interval by chance."
            )
    return told


def accuracies(reference: Results) -> list[Accuracy]:
    """Every case of the reference file, asked."""
    return [_accuracy(case) for case in reference["cases"] if case["id"] in CASE_MODELS]


def _accuracy(case: Mapping[str, Any]) -> Accuracy:
    model = CASE_MODELS[case["id"]]
    given = dict(case["parameters"])
    if "k" in given:  # Erlang-k
        given |= {"law": "gamma", "cv2": 1 / given.pop("k")}
    said = predict(model, given)
    if case["exact"] is not None:
        known = {name: value for name, value in case["exact"].items() if name in FIGURES}
        worst = max(abs(_said(said, name) / value - 1) for name, value in known.items())
        return Accuracy(case["id"], model, len(known), worst, True, None)
    simulated = {name: one for name, one in case["des_check"].items() if name in FIGURES}
    worst = max(abs(_said(said, name) / one["mean"] - 1) for name, one in simulated.items())
    error = said.error_estimate or 0.0
    half_widths = max(
        abs(_said(said, name) - one["mean"]) / (one["ci95_half"] + error * one["mean"])
        for name, one in simulated.items()
    )
    return Accuracy(case["id"], model, len(simulated), worst, False, half_widths)


def _said(said: Prediction, name: str) -> float:
    value = getattr(said, FIGURES[name])
    return float("nan") if value is None else float(value)


def _verdict(one: Accuracy) -> str:
    if one.is_exact:
        return "met" if one.worst <= GOAL else "missed"
    assert one.half_widths is not None
    return "inside" if one.half_widths <= 1 else "outside"


def _catalogue() -> Table:
    rows = []
    for name, model in MODELS.items():
        parameters = "; or ".join(str(form) for form in model.forms)
        assumptions, kind = ABOUT.get(name, ("see its docstring", ""))
        rows.append((f"`{name}`", parameters, assumptions, kind))
    return Table(
        ("model", "parameters", "assumptions", "figures are"),
        tuple(rows),
        text_columns=4,
        caption="Models that `python -m analysis predict` knows",
    )
