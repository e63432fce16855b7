"""The part of the page with the formulas: how wrong they are, and all it takes to compute with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.anova import figures
from analysis.anova.formulas import BY_VARIANT, ROWS_PER_PICTURE
from analysis.document import Block, Code, Heading, Paragraph, Picture, Table

FORMULA = f"""seconds = batch + pictures * (picture + kpx * pixel) + steps * (step + rows * kpx * work)

pictures   how many are asked for together
rows       {ROWS_PER_PICTURE} * pictures, for guidance calls the network with the prompt and without it
kpx        thousands of pixels of a picture: width * height / 1000
steps      denoising steps"""


def formula_blocks(formulas: Mapping[str, Any]) -> Iterator[Block]:
    """Errors, the formula with its numbers, and where it says that the time goes."""
    yield Heading("Formulas, and how wrong they are")
    yield Paragraph(
        "All are fitted to relative errors. Sum of parts: non-negative least squares of what an engine"
        " does, for each variant, number type and number of threads; power law: least squares of log time"
        " on the logarithms of steps, pictures and pixels and a factor for each other choice. Errors are"
        " of single measured times, relative, their sign dropped except for the bias (the signed median);"
        " intervals by drawing cells. The noise is what a formula would be off by that knew each cell's"
        " true mean: none can be expected to do better."
    )
    rows = [*formulas["crossed"].items(), ("noise alone", formulas["noise"])]
    yield Table(
        ("formula", "predicted", "median error", "90th percentile", "bias"),
        tuple((name, *_score(one)) for name, one in rows),
        caption=f"Cells not seen ({formulas['folds']} folds, all replicates of a cell left out together):",
    )
    yield Picture(
        "anova_formula",
        figures.predicted(formulas["predicted"]),
        "The sum of parts about cells that it has not seen, each point one observation.",
    )
    yield from _unseen(formulas["unseen"])
    yield from _parts(formulas["parts"])
    yield from _power_law(formulas["power_law"])


def _unseen(unseen: list[Mapping[str, Any]]) -> Iterator[Block]:
    if not unseen:
        yield Paragraph(
            "No factor has three levels, so leaving one out would leave nothing to tell its effect from."
        )
        return
    names = [name for name in unseen[0]["scores"] if name != BY_VARIANT]
    for key, what in (("median", "median error"), ("p90", "90th percentile of the error")):
        yield Table(
            ("level not seen", *names),
            tuple(
                (
                    f"{one['factor']} {one['level']}",
                    *(_one(one["scores"][name], key) for name in names),
                )
                for one in unseen
            ),
            caption=f"A level not seen at all, {what} (95 %). The lowest and highest level of a factor are"
            " extrapolated, the middle one lies between:",
        )


def _parts(parts: Mapping[str, Any]) -> Iterator[Block]:
    columns = parts["columns"]
    yield Heading("The sum of parts", 3)
    yield Code(FORMULA)
    yield Table(
        ("variant, number type, threads", *columns),
        tuple(
            (
                ", ".join(str(level) for level in one["setting"].values()),
                *(_value(one["seconds"][name], one["standard_errors"][name]) for name in columns),
            )
            for one in parts["settings"]
        ),
        caption="Milliseconds for each unit of the column, ± standard error (cells drawn anew). 0 stands"
        " at the bound: a part does not take negative time.",
    )
    example = parts["example"]
    asked = ", ".join(f"{factor} {level}" for factor, level in example["cell"].items())
    yield Paragraph(
        f"For example {asked}: {1000 * example['formula_s']:.4g} ms by the formula,"
        f" {1000 * example['measured_s']:.4g} ms measured (mean of the replicates)."
    )
    yield Table(
        (
            "variant, number type, threads",
            "steps, formula",
            "steps",
            "texts",
            "decoding",
            "the rest",
        ),
        tuple(
            (
                ", ".join(str(level) for level in one["setting"].values()),
                f"{100 * one['share_of_steps']:.1f} %",
                *(
                    f"{100 * one['measured_shares'][name]:.1f} %"
                    for name in ("step", "encode", "decode", "rest")
                ),
            )
            for one in parts["settings"]
        ),
        caption="The formula saw whole times only. Where it says that they go, beside the engine's own"
        " sums over the same runs:",
    )


def _power_law(terms: list[Mapping[str, Any]]) -> Iterator[Block]:
    yield Heading("The power law", 3)
    value = {one["term"]: one["value"] for one in terms}
    powers = [name for name in value if name.startswith("np.log(")]
    text = [f"{value['Intercept']:+.4f}"]
    text += [f"{value[name]:+.4f} * {name.removeprefix('np.')}" for name in powers]
    choices = [name for name in value if name not in powers and name != "Intercept"]
    text += [f"{value[name]:+.4f} if {_choice(name)}" for name in choices]
    yield Code("log(seconds) = " + "\n    ".join(text))
    yield Table(
        ("term", "value", "standard error", "95 %"),
        tuple(
            (
                one["term"] if one["term"] in ("Intercept", *powers) else _choice(one["term"]),
                f"{one['value']:+.4f}",
                f"{one['standard_error']:.4f}",
                f"{one['band']['low']:+.4f} to {one['band']['high']:+.4f}",
            )
            for one in terms
        ),
        caption="Standard errors take a cell's replicates as one. kpx as above; log is the natural one.",
    )


def _choice(term: str) -> str:
    """`C(dtype)[T.float32]` is "dtype is float32"."""
    factor, _, level = term.removeprefix("C(").partition(")[T.")
    return f"{factor} is {level.removesuffix(']')}"


def _score(one: Mapping[str, Any] | None) -> tuple[str, ...]:
    if one is None:
        return "0 %", "", "", ""
    return (
        f"{100 * one['told']:.0f} %",
        _banded(one["median"], one["median_band"]),
        _banded(one["p90"], one["p90_band"]),
        f"{100 * one['bias']:+.1f} %",
    )


def _banded(value: float, band: Mapping[str, float]) -> str:
    return f"{100 * value:.1f} % ({100 * band['low']:.1f} to {100 * band['high']:.1f})"


def _one(one: Mapping[str, Any] | None, key: str) -> str:
    return "cannot tell" if one is None else _banded(one[key], one[f"{key}_band"])


def _value(seconds: float, error: float) -> str:
    if seconds == 0:
        return "0"
    return f"{1000 * seconds:.3g} ± {1000 * error:.1g}"
