"""The experiment's page, from its JSON alone: what was done, what came out, and whether to believe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analysis.anova import figures
from analysis.anova.effects import MATTERS, TIMES
from analysis.anova.formula_page import formula_blocks
from analysis.anova.formulas import CONFIGURATION, PARTS
from analysis.document import Block, Bullets, Heading, Paragraph, Picture, Table
from analysis.provenance import told

PAIRS_TOLD = 12
SURE = 0.05

Results = Mapping[str, Any]


def blocks(results: Results) -> list[Block]:
    """What the study has to say; the same on its page and in the report."""
    return [
        Heading("What execution time depends on", 1),
        Paragraph(told(dict(results["made_by"]))),
        *_summary(results),
        *_design(results),
        *_table(results),
        *_effects(results),
        *_diagnostics(results),
        *formula_blocks(results["formulas"]),
    ]


def _summary(results: Results) -> Iterator[Block]:
    anova, formulas = results["anova"], results["formulas"]
    mains = sorted(
        (one for one in anova["effects"] if TIMES not in one["term"] and one["term"] != "block"),
        key=lambda one: -one["share"],
    )
    pairs = [one for one in anova["effects"] if TIMES in one["term"]]
    sure = [one for one in pairs if one["term"] in anova["sure"]]
    crossed = formulas["crossed"]
    best = crossed[PARTS]
    naive = crossed[CONFIGURATION]
    yield Bullets(
        (
            "Of the variance of log time "
            + ", ".join(f"{_percent(one['share'])} is {one['term']}" for one in mains)
            + f"; all {len(pairs)} two-way interactions together"
            f" {_percent(sum(one['share'] for one in pairs))}, the rest"
            f" {_percent(anova['residual_share'])}.",
            f"{len(sure)} of the {len(pairs)} two-way interactions are sure (5 % over the whole table,"
            " classical and robust)"
            + (
                f"; the largest is {max(sure, key=lambda one: one['share'])['term']}."
                if sure
                else "."
            ),
            "The formula of what an engine does (once, per picture, per step, per row and pixel of a"
            f" step) is off by {_percent(best['median'])} in the median and {_percent(best['p90'])} in"
            " the worst tenth of cells that it has not seen; the noise alone is"
            f" {_percent(formulas['noise']['median'])} and {_percent(formulas['noise']['p90'])}."
            + (
                ""
                if naive is None
                else " Time proportional to steps, with a constant for each configuration, is off by"
                f" {_percent(naive['median'])} and {_percent(naive['p90'])}."
            ),
        )
    )


def _design(results: Results) -> Iterator[Block]:
    seen = results["experiment"]
    yield Heading("The experiment")
    levels = "; ".join(
        f"{factor} {', '.join(str(level) for level in of)}" for factor, of in seen["levels"].items()
    )
    low, high = seen["seconds"]
    settings = seen["settings"]
    yield Paragraph(
        f"Full factorial: {levels}. That makes {seen['cells']} cells, each measured once in each of"
        f" {seen['blocks']} blocks: {seen['observations']} observations, {1000 * low:.3g} to"
        f" {1000 * high:.4g} ms. A block is a complete replicate in a random order of its own (seed"
        f" {seen['seed']}), so that a slow spell of the machine falls on all levels alike and the block"
        " itself can be an effect. An observation is the time from asking the step engine for a batch"
        f" of pictures at once, with prompts it has not seen and guidance {settings['guidance']:g}, to the"
        " last picture; right"
        f" before it the same batch runs with {settings['warm_up_steps']} steps and is not counted, since a"
        " serving engine too has the kernels of its shapes at hand. Number types and threads are switched"
        " within the process."
    )
    if seen["left_out"]:
        yield Paragraph(
            f"{seen['left_out']} observations of a block that was not completed are left out."
        )
    by = seen["measured_by"]
    if by:
        warnings = " ".join(f"**{one}**" for one in by.get("warnings", ()))
        yield Paragraph(
            f"Measured with `{by['command']}`, {by['duration_s']:.0f} s. {warnings}".strip()
        )
    else:
        yield Paragraph("The measurement was stopped before its end; the blocks used are complete.")
    yield Paragraph(
        "The distilled variant is not crossed with the others: it has a fixed schedule of at most four"
        " steps, one sampler, and no guidance, so most of its cells do not exist. Its network is built like"
        " the full variant's and is called with one row for each picture instead of two."
    )


def _table(results: Results) -> Iterator[Block]:
    anova = results["anova"]
    yield Heading("Analysis of variance")
    yield Paragraph(
        "Ordinary least squares (statsmodels) of log time on blocks, all factors and all two-way"
        " interactions; type II sums of squares, which here equal types I and III, the design being"
        " balanced. The logarithm turns factors that multiply into terms that add. p is Holm's, over the"
        " whole table; robust p is from the covariance HC3, right also where spreads differ. Partial"
        " eta² (biased upwards) and omega² (hardly) estimate the same share: of the variance that"
        " nothing else explains, what the term does; the interval is of that share (95 %, noncentral F)."
        " Share is of all variance."
    )
    rows = sorted(anova["effects"], key=lambda one: -one["share"])
    pairs = [one for one in rows if TIMES in one["term"]]
    kept = [one for one in rows if TIMES not in one["term"]] + pairs[:PAIRS_TOLD]
    yield Table(
        ("term", "df", "share", "F", "p", "robust p", "partial eta²", "omega²", "95 %"),
        (
            *(_line(one) for one in kept),
            (
                "residual",
                str(anova["residual_df"]),
                _percent(anova["residual_share"]),
                *[""] * 6,
            ),
        ),
    )
    rest = pairs[PAIRS_TOLD:]
    if rest:
        yield Paragraph(
            f"{len(rest)} further two-way interactions carry at most {_percent(rest[0]['share'])} each"
            f" ({sum(one['term'] in anova['sure'] for one in rest)} of them sure):"
            f" {', '.join(one['term'] for one in rest)}."
        )
    yield from _higher(results)


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    band = one["band"]
    return (
        one["term"],
        str(one["df"]),
        _percent(one["share"]),
        f"{one['f']:.4g}",
        _p(one["p_holm"]),
        _p(one["p_robust_holm"]),
        f"{one['partial_eta2']:.3f}",
        f"{one['partial_omega2']:.3f}",
        f"{band['low']:.3f} to {band['high']:.3f}",
    )


def _higher(results: Results) -> Iterator[Block]:
    fit, higher = results["lack_of_fit"], results["three_ways"]
    verdict = "misses something" if fit["p"] < SURE else "misses nothing that can be seen"
    text = (
        f"Lack of fit: against what replicates differ by, the two-way model {verdict}"
        f" (F {fit['f']:.3g} on {fit['missed_df']} and {fit['error_df']}, p {_p(fit['p'])}); what it"
        f" misses is {_percent(fit['missed_share'])} of the variance, replicates differ by"
        f" {_percent(fit['error_share'])}. One time repeats within {_percent(fit['spread'])} (standard"
        " deviation, replicates of a cell)."
    )
    if higher is not None:
        text += (
            f" All three-way interactions together: F {higher['f']:.3g} on {higher['df']},"
            f" p {_p(higher['p'])}, {_percent(higher['share'])} of the variance."
        )
        if not higher["told"]:
            text += f" None of them is both sure and at least {_percent(MATTERS)}, so the table stops at two."
    yield Paragraph(text)
    if higher is not None and higher["told"]:
        yield Table(
            (
                "three-way term",
                "df",
                "share",
                "F",
                "p",
                "robust p",
                "partial eta²",
                "omega²",
                "95 %",
            ),
            tuple(_line(one) for one in sorted(higher["told"], key=lambda one: -one["share"])),
        )


def _effects(results: Results) -> Iterator[Block]:
    rows = [
        (
            factor if number == 0 else "",
            str(level["level"]),
            f"{1000 * level['mean_s']:.4g}",
            "1"
            if number == 0
            else f"{level['ratio']:.3f} ({level['band']['low']:.3f} to {level['band']['high']:.3f})",
        )
        for factor, levels in results["main_effects"].items()
        for number, level in enumerate(levels)
    ]
    yield Heading("Effects")
    yield Table(
        ("factor", "level", "geometric mean, ms", "over the first level (95 %, HC3)"),
        tuple(rows),
        text_columns=2,
    )
    yield Picture(
        "anova",
        figures.main_effects(results),
        "Main effects: each level averaged over all others; bars: 95 % interval of the ratio to the"
        " first level.",
    )
    first, second = results["interaction"]["factors"]
    yield Picture(
        "anova_interaction",
        figures.interaction(results),
        f"The largest interaction, {first}{TIMES}{second}. Right: each line over its own first point;"
        " without an interaction they would lie on each other.",
    )


def _diagnostics(results: Results) -> Iterator[Block]:
    seen = results["diagnostics"]
    log, plain = seen["log"], seen["seconds"]
    yield Heading("Whether the table may be believed")
    yield Table(
        ("of the residuals", "log time", "time as it is"),
        (
            (
                "main effects alone explain",
                _percent(log["main_share"]),
                _percent(plain["main_share"]),
            ),
            (
                "Shapiro-Wilk W (normal: 1), p",
                *(_pair(one, "shapiro_w", "shapiro_p") for one in (log, plain)),
            ),
            (
                "Breusch-Pagan (even spread), p",
                *(_pair(one, "breusch_pagan", "breusch_pagan_p") for one in (log, plain)),
            ),
            (
                "Durbin-Watson (independent: 2)",
                *(f"{one['durbin_watson']:.2f}" for one in (log, plain)),
            ),
            ("correlation of neighbours", *(f"{one['neighbours']:+.3f}" for one in (log, plain))),
            (
                "skewness, excess kurtosis",
                *(f"{one['skewness']:+.2f}, {one['kurtosis']:+.2f}" for one in (log, plain)),
            ),
        ),
    )
    yield Paragraph(_verdicts(seen))
    yield Picture(
        "anova_residuals",
        figures.residuals(results),
        "Residuals of log time: normal quantiles, over the fitted time, and in run order (dashed: where"
        " a block begins).",
    )
    yield Table(
        ("order of the runs", "ratio of times (95 %, HC3)", "p (Holm)"),
        tuple(
            (
                one["what"],
                f"{one['ratio']:.3f} ({one['band']['low']:.3f} to {one['band']['high']:.3f})",
                _p(one["p_holm"]),
            )
            for one in seen["drifts"]
        ),
    )
    yield from _outliers(seen["outliers"])


def _pair(one: Mapping[str, Any], value: str, p: str) -> str:
    return f"{one[value]:.4g}, {_p(one[p])}"


def _verdicts(seen: Mapping[str, Any]) -> str:
    log = seen["log"]
    said = []
    for name, what in (
        ("power_main", "main effects alone"),
        ("power_two_way", "the two-way model"),
    ):
        power, band = seen[name]["power"], seen[name]["band"]
        said.append(f"{power:.2f} ({band['low']:.2f} to {band['high']:.2f}) for {what}")
    text = (
        "Box and Cox's power (0 is the logarithm, 1 time as it is; 95 % by likelihood): "
        f"{' and '.join(said)}."
    )
    if log["breusch_pagan_p"] < SURE:
        text += " The spread is not even on the log scale either: read the robust p."
    if log["shapiro_p"] < SURE:
        text += (
            " The residuals are not normal; with as many of them the F tests hardly mind, and the"
            " Q-Q plot shows where they differ."
        )
    band = log["neighbours_band"]
    if not band["low"] <= log["neighbours"] <= band["high"]:
        text += (
            " Neighbouring runs are alike beyond chance: the machine has slow spells. The random order"
            " keeps them from leaning towards any level."
        )
    return text


def _outliers(seen: Mapping[str, Any]) -> Iterator[Block]:
    text = (
        f"{seen['count']} observations are outliers (studentised residual beyond {seen['bound']:.2f},"
        f" Bonferroni at 5 % over all; {seen['beyond_three']} beyond 3). They are told, not dropped."
    )
    if seen["count"]:
        changed = ", ".join(seen["changed"])
        text += " Without them " + (
            f"the verdict on {changed} would change"
            if changed
            else "no verdict of the table would change"
        )
        text += f", and no term's share by more than {_percent(seen['share_change_max'])}."
    yield Paragraph(text)
    if seen["told"]:
        yield Table(
            ("cell", "run", "measured, ms", "expected, ms", "studentised", "load average"),
            tuple(
                (
                    " ".join(f"{factor} {level}" for factor, level in one["cell"].items()),
                    str(one["order"]),
                    f"{1000 * one['seconds']:.4g}",
                    f"{1000 * one['expected_s']:.4g}",
                    f"{one['studentised']:+.1f}",
                    "" if one["load_average"] is None else f"{one['load_average']:.2f}",
                )
                for one in seen["told"]
            ),
            caption="The largest:",
        )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %" if share >= 1e-4 else "< 0.01 %"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
