"""The accuracy that the report tells is what the models give."""

from __future__ import annotations

import json

import pytest

from analysis.models.catalogue import MODELS
from analysis.report.composing import REFERENCE
from analysis.report.queueing_models import ABOUT, CASE_MODELS, GOAL, accuracies, shortfalls

CASES = {case["id"]: case for case in json.loads(REFERENCE.read_text())["cases"]}


def test_every_model_is_described() -> None:
    assert set(MODELS) == set(ABOUT)
    assert set(CASE_MODELS) == set(CASES)


def test_exact_models_meet_exact_values() -> None:
    found = accuracies({"cases": [CASES["MM1_0.8"], CASES["HYS_1.2"]]})
    assert [one.is_exact for one in found] == [True, True]
    assert all(one.worst <= GOAL for one in found)


def test_a_wrong_reference_value_is_seen() -> None:
    case = json.loads(json.dumps(CASES["MM1_0.8"]))
    case["exact"]["p95"] *= 1.01
    (found,) = accuracies({"cases": [case]})
    assert found.worst == pytest.approx(0.01, rel=0.02)
    (told,) = shortfalls({"cases": [case]})
    assert told.startswith("MM1_0.8, `mm1`: off by")
    assert shortfalls({"cases": [CASES["MM1_0.8"]]}) == []


def test_simulated_reference_values_are_told_in_half_widths() -> None:
    (found,) = accuracies({"cases": [CASES["MIDFLIGHT_D"]]})
    assert not found.is_exact
    assert found.half_widths is not None
