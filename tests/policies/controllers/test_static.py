"""The static controller never moves."""

from __future__ import annotations

import pytest

from policies.controllers import Static
from tests.policies.controllers.loads import load


def test_the_static_controller_never_moves() -> None:
    controller = Static(2)
    state = controller.initial()
    assert state.rung == controller.deepest == 2
    assert controller.decide(load(1000), state) is state
    assert not controller.needs_costs


def test_a_static_rung_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="ladder index"):
        Static(-1)
