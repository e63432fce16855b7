"""Laws of deterministic services agree with the means that come from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.models import bulk, midflight, starts
from analysis.models.laws import FormulaLaw
from analysis.models.steady import Prediction


def law_of(
    model: Callable[[], Prediction], monkeypatch: pytest.MonkeyPatch
) -> tuple[FormulaLaw, Prediction]:
    """The law that a model makes on its way to the figures."""
    made: list[FormulaLaw] = []

    def keep(formula: Callable[[float], float], scale_s: float) -> FormulaLaw:
        made.append(FormulaLaw(formula, scale_s))
        return made[-1]

    for module in (bulk, midflight, starts):
        monkeypatch.setattr(module, "FormulaLaw", keep)
    said = model()
    return made[0], said


@pytest.mark.parametrize(
    "model",
    [
        lambda: midflight.in_flight_deterministic(1.2, 1.0, 0.5, 4),
        lambda: starts.start_deterministic(1.2, 1.0, 0.5, 3),
        lambda: bulk.bulk(1.8, 0.5, 0.25, 3),
    ],
    ids=["in flight", "at the start", "bulk"],
)
def test_the_law_has_the_mean_of_the_chain(
    model: Callable[[], Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    law, said = law_of(model, monkeypatch)
    # The law is analytic between multiples of a quarter.
    nodes, weights = np.polynomial.legendre.leggauss(8)
    ends = np.arange(0, 60) * 0.25
    times_s = (ends[:, None] + 0.125 * (nodes + 1)).ravel()
    late = 1 - law.cdf(times_s)
    assert np.all(np.diff(late) <= 1e-12)
    mean_s = float((late.reshape(60, -1) @ weights).sum() * 0.125)
    assert mean_s == pytest.approx(said.mean_response_s, rel=1e-6)
