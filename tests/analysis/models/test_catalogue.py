"""Models by name: what parameters they take, what they refuse, and laws they all obey."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from analysis.models.catalogue import MODELS, predict
from analysis.models.steady import Unstable

BURSTS = {"lam": [1.5, 0.3], "r12": 0.1, "r21": 0.05}
TWO_SPEEDS = {"mu1": 1, "mu2": 2}
COSTS = Path(__file__).parents[3] / "analysis" / "benchmarks" / "costs.json"
EXAMPLES: dict[str, dict[str, Any]] = {
    "mm1": {"lam": 0.7, "mu": 1},
    "mmc": {"lam": 2.1, "mu": 1, "c": 3},
    "md1": {"lam": 0.7, "D": 1},
    "mdc": {"lam": 2.1, "D": 1, "c": 3},
    "mg1": {"lam": 0.7, "mean": 1, "cv2": 0.4, "law": "lognormal"},
    "mgc": {"lam": 2.1, "mean": 1, "cv2": 0.5, "law": "gamma", "c": 3},
    "ggc": {"lam": 2.1, "ca2": 0.8, "mean": 1, "cs2": 0.5, "c": 3},
    "threshold": {"lam": 1.2, **TWO_SPEEDS, "K": 4},
    "hysteresis": {"lam": 1.2, **TWO_SPEEDS, "K_hi": 4, "K_lo": 1, "c": 1},
    "start_threshold": {"lam": 1.2, "D1": 1, "D2": 0.5, "K": 4},
    "inflight_deterministic": {"lam": 1.2, "D1": 1, "D2": 0.5, "K": 4},
    "bulk": {"lam": 2.0, "a": 0.5, "c": 0.25, "b": 4},
    "erlang_a": {"lam": 3.0, "mu": 1, "c": 2, "theta": 0.5},
    "erlang_d": {"lam": 3.0, "mu": 1, "c": 2, "deadline": 0.5},
    "mmpp_m1": {**BURSTS, "mu": 1},
    "mmpp_threshold": {**BURSTS, **TWO_SPEEDS, "K": 4},
    "mmpp_hysteresis": {**BURSTS, **TWO_SPEEDS, "K_hi": 4, "K_lo": 1},
    "lps": {
        "lam": 2.0,
        "cost_table": str(COSTS),
        "variant": "full",
        "steps": 25,
        "max_batch": 4,
        "threads": 1,
    },
    "tandem": {"lam": 0.7, "stations": [{"mean": 0.2}, {"mean": 1, "cv2": 0.2}, {"mean": 0.3}]},
}


def rate(name: str, factor: float) -> dict[str, Any]:
    """The example with its arrivals scaled."""
    given = EXAMPLES[name]
    lam = given["lam"]
    scaled = [factor * one for one in lam] if isinstance(lam, list) else factor * lam
    return {**given, "lam": scaled}


def test_there_is_an_example_of_every_model() -> None:
    assert EXAMPLES.keys() == MODELS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_figures_fit_together(name: str) -> None:
    said = predict(name, EXAMPLES[name])
    assert 0 <= said.mean_wait_s < said.mean_response_s
    assert 0 < said.utilisation < 1
    assert said.throughput_per_s > 0
    if name != "ggc":
        assert 0 < said.p50_s < said.p95_s < said.p99_s
    assert said.error_estimate is not None
    assert (said.degraded_share is not None) == ("K" in EXAMPLES[name] or "K_hi" in EXAMPLES[name])


@pytest.mark.parametrize("name", EXAMPLES)
def test_more_arrivals_never_shorten_the_wait(name: str) -> None:
    waits = [predict(name, rate(name, factor)).mean_wait_s for factor in (0.5, 0.9, 1.0, 1.1)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - {"erlang_a", "erlang_d"}))
def test_a_load_that_cannot_be_served_is_refused_with_its_utilisation(name: str) -> None:
    with pytest.raises(Unstable, match=r"utilisation \d+\.\d{3} is not below 1") as refusal:
        predict(name, rate(name, 10.0))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_parameter_is_asked_for_by_name(name: str) -> None:
    form = max(MODELS[name].forms, key=lambda form: sum(k in form.required for k in EXAMPLES[name]))
    for missing in form.required:
        rest = {key: value for key, value in EXAMPLES[name].items() if key != missing}
        with pytest.raises(ValueError, match=f"lacks .*{missing}"):
            predict(name, rest)
    with pytest.raises(ValueError, match="does not know speed"):
        predict(name, {**EXAMPLES[name], "speed": 1})


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("mm1", {"lam": 0}, "lam must be above 0"),
        ("mm1", {"lam": "much"}, "lam must be a finite number"),
        ("mm1", {"mu": True}, "mu must be a finite number"),
        ("mm1", {"mu": math.inf}, "mu must be a finite number"),
        ("mmc", {"c": 1.5}, "c must be a whole number"),
        ("mmc", {"c": 0}, "at least 1"),
        ("mg1", {"law": "cauchy"}, "law 'cauchy' is unknown"),
        ("mg1", {"law": "empirical"}, "lacks file"),
        ("mg1", {"law": "deterministic"}, "cv2 0, not 0.4"),
        ("mg1", {"file": "times.txt"}, "file belongs to the law empirical"),
        ("threshold", {"K": 0}, "K must be a whole number, at least 1"),
        ("hysteresis", {"K_lo": 4}, "K_lo 4 must be below K_hi 4"),
        ("start_threshold", {"lam": 0.3, "D2": 2}, "must not be longer"),
        ("inflight_deterministic", {"D2": 1}, "below slow_s"),
        ("mmpp_m1", {"lam": [1, 2, 3]}, "list of two arrival rates"),
        ("mmpp_m1", {"lam": [0, 0]}, "must be above 0"),
        ("lps", {"cost_table": "nowhere.json"}, "nowhere.json"),
        ("lps", {"variant": "huge"}, "no variant 'huge'"),
        ("tandem", {"stations": []}, "list of stations"),
        ("tandem", {"stations": [{"cv2": 1}]}, "lacks mean"),
    ],
)
def test_parameters_that_cannot_be_are_refused_in_one_line(
    name: str, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        predict(name, {**EXAMPLES[name], **change})
    assert "\n" not in str(refusal.value)


NONSENSE: list[Any] = [
    None,
    True,
    "0.5",
    "",
    math.nan,
    -math.inf,
    -1,
    10**400,
    1e300,
    {},
    [[1]],
    [None, None],
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_nonsense_is_refused_in_one_line_whichever_parameter_it_is(name: str) -> None:
    for key in EXAMPLES[name]:
        for value in NONSENSE:
            with pytest.raises(ValueError, match=r".") as refusal:
                predict(name, {**EXAMPLES[name], key: value})
            assert "\n" not in str(refusal.value)
            assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("threshold", {"lam": 1.2, "mu1": 1, "mu2": 1e9, "K": 4}, "too far apart"),
        ("erlang_a", {"lam": 3, "mu": 1e-9, "c": 2, "theta": 0.5}, "."),
        ("inflight_deterministic", {"lam": 1.2, "D1": 1e6, "D2": 0.5, "K": 4}, "too long"),
        ("start_threshold", {"lam": 1.2, "D1": 1, "D2": 1e-6, "K": 4}, "too long"),
        ("bulk", {"lam": 2, "a": 0.5, "c": 0.25, "b": 1000}, "b 1000 is too large"),
    ],
)
def test_what_takes_too_long_is_refused(name: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        predict(name, given)


def test_stages_and_rungs_make_a_chain_of_stages() -> None:
    plain = predict("lps", EXAMPLES["lps"])
    staged = predict("lps", {**EXAMPLES["lps"], "phases": 1})
    assert staged.mean_response_s == pytest.approx(plain.mean_response_s, rel=1e-6)
    assert "1 stages a job" in staged.method
    rungs = {"work": [1, 0.5], "enter": [4], "leave": [2]}
    for apply in ("at_start", "in_flight"):
        said = predict("lps", {**rate("lps", 1.3), **rungs, "apply": apply, "max_batch": 3})
        assert "carried on to 25 steps" in said.method
        assert said.degraded_share is not None
    with pytest.raises(ValueError, match="apply must be at_start or in_flight"):
        predict("lps", {**EXAMPLES["lps"], **rungs, "apply": "later"})
    with pytest.raises(ValueError, match="need 1 enter"):
        predict("lps", {**EXAMPLES["lps"], "work": [1, 0.5]})


@pytest.mark.parametrize("load", [0.995, 0.9999])
def test_near_capacity_the_means_are_those_of_the_formulas(load: float) -> None:
    mm1, md1 = predict("mm1", {"lam": load, "mu": 1}), predict("md1", {"lam": load, "D": 1})
    assert md1.mean_wait_s == pytest.approx(mm1.mean_wait_s / 2, rel=1e-8)
    many = predict("mmc", {"lam": 4 * load, "mu": 1, "c": 4})
    assert many.p99_s == pytest.approx(mm1.p99_s / 4, rel=0.02)
    # Far in the tail the wait of M/D/c is exponential: percentiles differ by the same decay.
    assert md1.p99_s / mm1.p99_s == pytest.approx(0.5, rel=0.02)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no model 'mm2'; choose from mm1"):
        predict("mm2", {})
    with pytest.raises(ValueError, match="needs a JSON object"):
        predict("mm1", [0.5, 1])


def test_a_sample_of_service_times_comes_from_a_file(tmp_path: Path) -> None:
    sample = tmp_path / "times.csv"
    sample.write_text("0.5, 1.0\n1.5\n", encoding="utf-8")
    given = {"lam": 0.5, "law": "empirical", "file": str(sample)}
    rho, second = 0.5, (0.25 + 1 + 2.25) / 3
    assert predict("mg1", given).mean_wait_s == pytest.approx(0.5 * second / (2 * (1 - rho)))
    with pytest.raises(ValueError, match="follows from the sample"):
        predict("mg1", {**given, "mean": 1})
    sample.write_text("0.5 fast", encoding="utf-8")
    with pytest.raises(ValueError, match="not a sample of service times"):
        predict("mg1", given)


# -- limits ---------------------------------------------------------------------------------------


def same(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], rel: float) -> None:
    ours, theirs = predict(*one), predict(*other)
    for figure in ("mean_wait_s", "mean_response_s", "p50_s", "p95_s", "p99_s", "utilisation"):
        value = getattr(theirs, figure)
        assert getattr(ours, figure) == pytest.approx(value, rel=rel), figure


MM1 = ("mm1", {"lam": 0.7, "mu": 1})
MD1 = ("md1", {"lam": 0.7, "D": 1})


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mmc", {"lam": 0.7, "mu": 1, "c": 1}),
        ("mg1", {"lam": 0.7, "mean": 1, "cv2": 1, "law": "gamma"}),
        ("mgc", {"lam": 0.7, "mean": 1, "cv2": 1, "law": "gamma", "c": 1}),
        ("threshold", {"lam": 0.7, **TWO_SPEEDS, "K": 120}),
        ("threshold", {"lam": 0.7, "mu1": 0.1, "mu2": 1, "K": 1, "c": 1}),
        ("hysteresis", {"lam": 0.7, **TWO_SPEEDS, "K_hi": 120, "K_lo": 3}),
        ("hysteresis", {"lam": 0.7, "mu1": 1, "mu2": 1, "K_hi": 4, "K_lo": 3}),
        ("start_threshold", {"lam": 0.7, **TWO_SPEEDS, "K": 120}),
        ("mmpp_m1", {"lam": [0.7, 0.7], "r12": 1, "r21": 2, "mu": 1}),
    ],
)
def test_limits_that_are_mm1(name: str, given: dict[str, Any]) -> None:
    same((name, given), MM1, rel=1e-8)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mdc", {"lam": 0.7, "D": 1, "c": 1}),
        ("mg1", {"lam": 0.7, "mean": 1, "cv2": 0, "law": "lognormal"}),
        ("mgc", {"lam": 0.7, "mean": 1, "law": "deterministic", "c": 1}),
        ("bulk", {"lam": 0.7, "a": 0.4, "c": 0.6, "b": 1}),
        ("start_threshold", {"lam": 0.7, "D1": 1, "D2": 0.5, "K": 60}),
        ("start_threshold", {"lam": 0.7, "D1": 1, "D2": 1, "K": 3}),
        ("inflight_deterministic", {"lam": 0.7, "D1": 2, "D2": 1, "K": 1}),
    ],
)
def test_limits_that_are_md1(name: str, given: dict[str, Any]) -> None:
    same((name, given), MD1, rel=1e-8)


def test_limits_on_several_servers() -> None:
    mmc = ("mmc", {"lam": 2.1, "mu": 1, "c": 3})
    for name, given in (
        ("mgc", {"lam": 2.1, "mean": 1, "cv2": 1, "law": "gamma", "c": 3}),
        ("threshold", {"lam": 2.1, **TWO_SPEEDS, "K": 120, "c": 3}),
        ("start_threshold", {"lam": 2.1, "mu1": 1, "mu2": 1, "K": 2, "c": 3}),
        ("erlang_a", {"lam": 2.1, "mu": 1, "c": 3, "theta": 1e-10}),
        ("erlang_d", {"lam": 2.1, "mu": 1, "c": 3, "deadline": 1e3}),
    ):
        same((name, given), mmc, rel=1e-8)
    assert predict("mgc", {"lam": 2.1, "mean": 1, "cv2": 0, "law": "gamma", "c": 3}) == predict(
        "mdc", {"lam": 2.1, "D": 1, "c": 3}
    )


def test_a_threshold_that_is_never_reached_is_none() -> None:
    far = ("inflight_deterministic", {"lam": 0.4, "D1": 1, "D2": 0.5, "K": 15})
    same(far, ("md1", {"lam": 0.4, "D": 1}), rel=1e-8)


def test_hysteresis_of_one_is_a_threshold() -> None:
    given = {"lam": 1.3, **TWO_SPEEDS}
    same(
        ("hysteresis", {**given, "K_hi": 5, "K_lo": 4}), ("threshold", {**given, "K": 5}), rel=1e-9
    )
