"""Controllers: from the load to the current rung, one module each.

`base` says what a controller is. One rung for the whole service is chosen by

- `static`: always the same;
- `hysteresis`: thresholds on the number of waiting jobs, with a gap and a minimum hold;
- `load_proportional`: the best rung at which the line drains within a target time;
- `quality_budget`: as another controller wants, as far as the mean score of all deliveries allows;
- `decision_table`: looked up in the solution of a Markov decision process;
- `burst_ahead`: as another controller decides on the line that the trend of arrivals promises.

Three stay at one rung and are asked about each job instead: `deadline_aware` (the best service
that still meets its deadline), `split` (a rung drawn from a solver's shares) and `cascade` (cheap
first, again in full if a discriminator doubts it). `bands` reads what solvers hand over.
"""

from policies.controllers.base import Controller, ControllerState
from policies.controllers.burst_ahead import BurstAhead
from policies.controllers.cascade import Cascade, CascadeBand
from policies.controllers.deadline_aware import DeadlineAware, Timed
from policies.controllers.decision_table import DecisionTable, RateBand
from policies.controllers.hysteresis import Hysteresis
from policies.controllers.load_proportional import LoadProportional
from policies.controllers.quality_budget import QualityBudget
from policies.controllers.split import Split, SplitBand
from policies.controllers.static import Static

__all__ = [
    "BurstAhead",
    "Cascade",
    "CascadeBand",
    "Controller",
    "ControllerState",
    "DeadlineAware",
    "DecisionTable",
    "Hysteresis",
    "LoadProportional",
    "QualityBudget",
    "RateBand",
    "Split",
    "SplitBand",
    "Static",
    "Timed",
]
