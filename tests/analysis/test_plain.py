"""Results become JSON values."""

from __future__ import annotations

import json

from analysis.plain import finite


def test_what_is_not_a_number_becomes_null_wherever_it_stands() -> None:
    found = finite({1: (float("nan"), [float("inf"), 2.5]), "words": "nan"})
    assert json.dumps(found, allow_nan=False) == '{"1": [null, [null, 2.5]], "words": "nan"}'
