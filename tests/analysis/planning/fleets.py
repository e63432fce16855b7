"""Engines of known speed to plan with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from analysis.planning.demand import Fleet
from analysis.prediction import TabulatedCosts
from analysis.server_config import read_settings
from analysis.simulation_inputs import Overheads
from tests.analysis.synthetic_demo import CONFIG, cost_table

LADDER: list[dict[str, Any]] = [
    {"variant": "full", "steps": 25, "quality": "high", "score": 1.0},
    {"variant": "full", "steps": 10, "quality": "medium", "score": 0.99},
    {"variant": "turbo", "steps": 4, "quality": "low", "replannable": False, "score": 0.9},
]
PLACES = 4


def write_config(folder: Path, **changes: Any) -> Path:
    """A server with a scored ladder and one pool of engines with 4 places."""
    path = folder / "server.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "ladder": LADDER, **changes}))
    return path


def fleet(folder: Path, overheads: Overheads | None = None, **changes: Any) -> Fleet:
    """Those engines: 5.1 pictures/s each at full service, 0.382 s for a picture alone."""
    settings = read_settings(write_config(folder, **changes))
    costs = TabulatedCosts(cost_table(PLACES), settings.ladder.variants, PLACES)
    return Fleet(settings, costs, overheads or Overheads())
