"""Every model by name meets the independent reference values that are exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.models.catalogue import predict
from analysis.predict_command import as_plain

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in json.loads(REFERENCE.read_text())["cases"]
}
MODELS = {
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
FIELDS = {
    "Wq": "mean_wait",
    "W": "mean_response",
    "p50": "p50",
    "p95": "p95",
    "p99": "p99",
    "util": "utilisation",
    "frac_degraded": "degraded_share",
}


def parameters(case_id: str) -> dict[str, Any]:
    given = dict(CASES[case_id]["parameters"])
    if "k" in given:  # Erlang-k
        given |= {"law": "gamma", "cv2": 1 / given.pop("k")}
    return given


@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if case["exact"]])
def test_exact_values_are_met(case_id: str) -> None:
    said = as_plain(predict(MODELS[case_id], parameters(case_id)))
    exact = CASES[case_id]["exact"]
    for theirs, ours in FIELDS.items():
        if theirs in exact:
            assert said[ours] == pytest.approx(exact[theirs], rel=1e-9), theirs
    if "P_abandon" in exact:
        served = CASES[case_id]["parameters"]["lam"] * (1 - exact["P_abandon"])
        assert said["throughput"] == pytest.approx(served, rel=1e-9)


@pytest.mark.parametrize("case_id", [name for name, case in CASES.items() if not case["exact"]])
def test_values_known_by_simulation_only_are_met_within_both_errors(case_id: str) -> None:
    said = as_plain(predict(MODELS[case_id], parameters(case_id)))
    error = said["error_estimate"]
    assert isinstance(error, float)
    for theirs, ours in FIELDS.items():
        if theirs in CASES[case_id]["des_check"]:
            value = CASES[case_id]["des_check"][theirs]
            room = 2 * value["ci95_half"] + error * value["mean"]
            assert said[ours] == pytest.approx(value["mean"], abs=room), theirs
