"""Bounds of an admission are bounds."""

from __future__ import annotations

import pytest

from policies import Admission


def test_bounds_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="tenant_max"):
        Admission(10, tenant_max=0)
    with pytest.raises(ValueError, match="max_waiting"):
        Admission(0)
