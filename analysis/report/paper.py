"""What is shown: the title, the lines under it, the abstract, and numbered blocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from analysis.document import Block
from analysis.report.numbering import Entry


@dataclass(frozen=True, slots=True)
class Paper:
    """The report before it is HTML or PDF. `dated`: when its latest result was measured."""

    title: str
    under: tuple[str, ...]
    abstract: tuple[Block, ...]
    body: tuple[Entry, ...]
    dated: datetime
