"""Controllers: from the load to the current rung, one module each.

`base` says what a controller is. `static` never changes its rung; `hysteresis` goes by the number
of waiting jobs.
"""

from policies.controllers.base import Controller, ControllerState
from policies.controllers.hysteresis import Hysteresis
from policies.controllers.static import Static

__all__ = ["Controller", "ControllerState", "Hysteresis", "Static"]
