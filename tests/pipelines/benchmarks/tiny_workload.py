"""A workload for random tiny pipelines: few steps, short prompts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from pipelines.benchmarks.contestants import Workload
from tests.pipelines.tiny_pipelines import SIZE

BATCH = 3
STEPS = 4
_numbers = itertools.count()  # shared, for the tests share variants and their caches


def short_prompts() -> Iterator[str]:
    for number in _numbers:
        yield "red " + "".join("abcdefghij"[int(digit)] for digit in str(number))


def tiny_workload(folder: Path) -> Workload:
    return Workload(
        folder, short_prompts(), steps=STEPS, width=SIZE, height=SIZE, batch=BATCH, threads=1
    )
