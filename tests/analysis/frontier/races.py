"""A small race whose costs can be added up by hand."""

from __future__ import annotations

from analysis.frontier.contenders import KEEP, MAX_WAITING, Contender, Setting, Side
from analysis.frontier.quality import FinishLaw, PictureLaw
from analysis.frontier.schedules import Schedule
from analysis.frontier.study import Race
from policies.admission import Admission
from policies.controllers import Controller, Static
from policies.nouns import Ladder, Rung
from policies.policy import Policy
from tests.analysis.simulated_servers import Fixed

LADDER = Ladder(
    (
        Rung("full", 25, "high", score=1.0),
        Rung("full", 15, "high", score=0.998),
        Rung("full", 10, "high", score=0.995),
        Rung("turbo", 4, "high", replannable=False, score=0.965),
    )
)
FINISH = FinishLaw((0.6, 0.8, 1.0), (0.96, 0.99, 1.0))
PICTURE = PictureLaw(0.965, 0.015)
BATCH = 4
LOADS = (Schedule("poisson", 1.5, 14.0), Schedule("bursty", 0.5, 20.0))


def contender(key: str, side: Side, *controllers: Controller, judged: bool = False) -> Contender:
    """A curve of plain policies, labelled by their place in the curve."""
    settings = tuple(
        Setting(str(number), Policy(LADDER, one, KEEP, admission=Admission(MAX_WAITING)))
        for number, one in enumerate(controllers)
    )
    return Contender(key, key, side, "place", settings, judged)


def race(
    *contenders: Contender, replications: int = 3, loads: tuple[Schedule, ...] = LOADS
) -> Race:
    """These contenders; by default two statics against a third."""
    usual = (
        contender("ours", "ours", Static(2), Static(3)),
        contender("full", "baseline", Static(0)),
    )
    return Race(
        contenders or usual, loads, LADDER, Fixed(), BATCH, FINISH, PICTURE, 5, replications
    )
