"""One synthetic demonstration with its report, for all that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.demo_report import write_report
from analysis.study import Study
from tests.analysis.synthetic_demo import write_demo


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """The study and the page of a demonstration whose engines are slower than their profile."""
    folder = write_demo(tmp_path_factory.mktemp("demo"), slowness=1.3, pictures=60)
    return write_report(folder, replications=3)
