"""A paper with every kind of block, for all that only look at it."""

from __future__ import annotations

import pytest

from analysis.report.paper import Paper
from tests.analysis.report.papers import full_paper


@pytest.fixture
def paper() -> Paper:
    return full_paper()
