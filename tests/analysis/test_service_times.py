"""Every law agrees with itself by moments, and with a sample drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.service_times import (
    Deterministic,
    Empirical,
    Gamma,
    Lognormal,
    ServiceTime,
    exponential,
)

LAWS = [
    Deterministic(2.0),
    Gamma(2.0, 0.25),
    exponential(2.0),
    Lognormal(2.0, 0.5),
    Empirical([1.0, 1.5, 3.5, 2.0]),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_moments_beyond_zero_are_the_moments(law: ServiceTime) -> None:
    p0, m1, m2 = law.tail_moments(np.array([0.0]))
    assert p0[0] == pytest.approx(1.0)
    assert m1[0] == pytest.approx(law.mean_s)
    assert m2[0] == pytest.approx(law.mean_s**2 * (1 + law.cv2))


@pytest.mark.parametrize(
    ("law", "draw"),
    [
        (Gamma(2.0, 0.25), lambda rng: rng.gamma(4.0, 0.5, 400_000)),
        (
            Lognormal(2.0, 0.5),
            lambda rng: rng.lognormal(
                np.log(2.0) - np.log1p(0.5) / 2, np.sqrt(np.log1p(0.5)), 400_000
            ),
        ),
    ],
    ids=["gamma", "lognormal"],
)
def test_a_law_agrees_with_the_law_of_its_sample(law: ServiceTime, draw: object) -> None:
    sample = Empirical(draw(np.random.default_rng(5)))  # type: ignore[operator]
    x_s = np.array([0.5, 1.0, 2.0, 4.0])
    for ours, drawn in zip(law.tail_moments(x_s), sample.tail_moments(x_s), strict=True):
        np.testing.assert_allclose(ours, drawn, rtol=0.03)


def test_an_empirical_law_counts_what_lies_strictly_above() -> None:
    p0, m1, m2 = Empirical([1.0, 2.0, 2.0, 3.0]).tail_moments(np.array([2.0, 3.0]))
    np.testing.assert_allclose(p0, [0.25, 0.0])
    np.testing.assert_allclose(m1, [0.75, 0.0])
    np.testing.assert_allclose(m2, [2.25, 0.0])


@pytest.mark.parametrize("sample", [[], [0.0, 1.0], [1.0, float("inf")], [float("nan")]])
def test_a_sample_that_cannot_be_is_refused(sample: list[float]) -> None:
    with pytest.raises(ValueError, match="service time"):
        Empirical(sample)


@pytest.mark.parametrize(("mean_s", "cv2"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
@pytest.mark.parametrize("law", [Gamma, Lognormal])
def test_parameters_that_cannot_be_are_refused(
    law: type[Gamma] | type[Lognormal], mean_s: float, cv2: float
) -> None:
    with pytest.raises(ValueError, match="above 0"):
        law(mean_s, cv2)
