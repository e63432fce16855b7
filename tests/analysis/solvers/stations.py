"""Small servers for the solvers, with rates that can be checked by hand."""

from __future__ import annotations

from analysis.solvers.station import Station

ONE = Station(((1.0,), (2.0,)), scores=(1.0, 0.0), steps=(20, 10))
"""One place, two speeds: the textbook's server. A picture of the fast rung is worth nothing."""

BATCHING = Station(
    ((1.0, 1.6, 2.0), (2.0, 3.0, 3.6), (4.0, 6.0, 7.5)),
    scores=(0.95, 0.85, 0.6),
    steps=(20, 10, 4),
)
"""Three places, three rungs."""
