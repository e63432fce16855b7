"""Servers whose speed follows the jobs in the system, also in mid-service, as Markov chains.

Arrivals are Poisson, or Poisson in phases (MMPP). Completions are exponential, at a total rate that
depends on the number n in the system and on the mode: with hysteresis an arrival that makes n =
up_at turns fast on, a departure that leaves n = down_at turns it off; without, there is one mode.
Up to `places` jobs run and share the rate equally; the others wait, first come first served.

The long run is a level-dependent quasi-birth-death process (`levels`), the response time follows a
tagged job to its end (`absorption`): both exact up to rounding. Only the number behind the tagged
job is cut off where it stops to matter, which leaves out less than 1e-13.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.models.absorption import AbsorptionLaw, Integers, Moves
from analysis.models.levels import stationary
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array
from analysis.textbook.models import Arrivals, Mmpp

_FORGOTTEN = 1e-13
_START_LEFT_OUT = 1e-13


@dataclass(frozen=True)
class InFlight:
    """The chain. finish_per_s[mode][n - 1] is the total rate with n in the system, the last one
    holds for all larger n. `up_at` and `down_at` belong to two modes, slow and fast."""

    arrivals: Arrivals
    finish_per_s: tuple[tuple[float, ...], ...]
    places: int
    up_at: int = 0
    down_at: int = 0

    def __post_init__(self) -> None:
        rates = [rate for mode in self.finish_per_s for rate in mode]
        if not rates or not all(rate > 0 and math.isfinite(rate) for rate in rates):
            raise ValueError(f"completion rates {rates} must be given, finite and above 0")
        if len({len(mode) for mode in self.finish_per_s}) > 1:
            raise ValueError("each mode must have as many completion rates as the other")
        if not 1 <= self.places <= len(self.finish_per_s[0]):
            raise ValueError(
                f"places {self.places} must lie between 1 and the {len(self.finish_per_s[0])}"
                " rates given"
            )
        utilisation = self.arrivals.mean_rate_per_s / self.finish_per_s[-1][-1]
        if utilisation >= 1:
            raise Unstable(utilisation)

    @property
    def modes(self) -> int:
        """One, or slow and fast."""
        return len(self.finish_per_s)

    @cached_property
    def last(self) -> int:
        """From this many jobs on nothing changes any more; a departure from the one just above
        `down_at`, which may be up_at itself, still does."""
        return max(len(self.finish_per_s[0]), self.up_at + 1)

    @cached_property
    def phases(self) -> tuple[Array, Array]:
        """Arrival rate in each phase, and the rates of going from phase to phase."""
        if not isinstance(self.arrivals, Mmpp):
            return np.array([self.arrivals.mean_rate_per_s]), np.zeros((1, 1))
        size = len(self.arrivals.rates_per_s)
        turn = np.zeros((size, size))
        turn[np.arange(size), (np.arange(size) + 1) % size] = self.arrivals.leave_per_s
        return np.asarray(self.arrivals.rates_per_s), turn

    def finish(self, mode: int, n: Integers | int) -> Array:
        """Total rate of completions with n jobs in the system; 0 with none."""
        rates = np.concatenate(([0.0], self.finish_per_s[mode]))
        return np.asarray(rates[np.minimum(n, rates.size - 1)])

    def mode_after_arrival(self, mode: int, n: Integers) -> Integers:
        """Mode when an arrival has made n jobs."""
        if self.modes == 1:
            return np.zeros_like(n)
        return np.where(n >= self.up_at, 1, mode)

    def mode_after_departure(self, mode: int, n: Integers) -> Integers:
        """Mode when a departure has left n jobs."""
        if self.modes == 1:
            return np.zeros_like(n)
        return np.where(n <= self.down_at, 0, mode)

    @cached_property
    def share_by_state(self) -> Array:
        """[n, mode, phase]: long-run share of time."""
        shares = stationary(self._rates, self.last)
        return np.asarray(shares).reshape(len(shares), self.modes, -1)

    @property
    def share(self) -> Array:
        """[n]: long-run share of time with n jobs in the system."""
        return np.asarray(self.share_by_state.sum(axis=(1, 2)))

    def _rates(self, n: int) -> tuple[Array, Array, Array]:
        per_s, turn = self.phases
        phases = per_s.size
        size = self.modes * phases
        up, within, down = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size))
        for mode in range(self.modes):
            here = slice(mode * phases, (mode + 1) * phases)
            within[here, here] = turn
            there = int(self.mode_after_arrival(mode, np.array(n + 1)))
            up[here, there * phases : (there + 1) * phases] = np.diag(per_s)
            if n > 0:
                there = int(self.mode_after_departure(mode, np.array(n - 1)))
                finish = float(self.finish(mode, n)) * np.eye(phases)
                down[here, there * phases : (there + 1) * phases] = finish
        return up, within, down


def in_flight_prediction(
    chain: InFlight, fast: Array | None, method: str, *, by_place: bool = True, stages: int = 1
) -> Prediction:
    """Figures of the chain. `fast[mode, n]` says where a completion counts as degraded.

    utilisation is the share of places that are taken, or with `by_place` False that of time with
    any job.
    """
    share, rate_per_s = chain.share, chain.arrivals.mean_rate_per_s
    n = np.arange(share.size)
    response_s = float(n @ share) / rate_per_s
    wait_s = float(np.maximum(n - chain.places, 0) @ share) / rate_per_s
    taken = np.minimum(n, chain.places) / chain.places if by_place else n > 0
    degraded = None
    if fast is not None:
        by_mode = chain.share_by_state.sum(axis=2)
        finish = np.stack([chain.finish(mode, n) for mode in range(chain.modes)], axis=1)
        where = fast[:, np.minimum(n, fast.shape[1] - 1)].T
        degraded = float((by_mode * finish * where).sum()) / rate_per_s
    return prediction(
        wait_s,
        response_s - wait_s,
        tagged_law(chain, stages),
        float(taken @ share),
        rate_per_s,
        method,
        degraded_share=degraded,
        error_estimate=1e-9,
    )


def tagged_law(chain: InFlight, stages: int = 1) -> AbsorptionLaw:
    """Response time of an arriving job, whose own service has `stages` equal exponential stages.

    While it waits a state is (place in the line, jobs behind, mode, phase); while it runs (jobs in
    the system, stages done, mode, phase). ValueError for less than one stage.
    """
    if stages < 1:
        raise ValueError(f"stages {stages} must be at least 1")
    return _Tagged(chain, stages).law()


class _Tagged:
    """Numbers the states and adds the moves; see `tagged_law`."""

    def __init__(self, chain: InFlight, stages: int) -> None:
        self._chain, self._stages = chain, stages
        per_s, _ = chain.phases
        self._environments = chain.modes * per_s.size
        share = chain.share
        found = int(np.searchsorted(np.cumsum(share), share.sum() - _START_LEFT_OUT)) + 1
        self._found = min(found, share.size)
        room = chain.last + _soon_forgotten(chain)
        # Behind a tagged job that waits, and in the system while it runs.
        self._behind = max(0, min(room - chain.places, self._found + room)) + 1
        self._inside = max(chain.places + self._behind, chain.last + 1)
        self._line = max(0, self._found - chain.places)
        running = self._inside * stages * self._environments
        waiting = self._line * self._behind * self._environments
        self._first_waiting = running
        self._moves = Moves(running + waiting)

    def _running(self, n: Integers, stage: Integers, mode: Integers, phase: int) -> Integers:
        per_s, _ = self._chain.phases
        environment = mode * per_s.size + phase
        inside = np.minimum(n, self._inside) - 1
        return np.asarray((inside * self._stages + stage) * self._environments + environment)

    def _waiting(self, line: Integers, behind: Integers, mode: Integers, phase: int) -> Integers:
        """`line` counts from 1: the next to run."""
        per_s, _ = self._chain.phases
        environment = mode * per_s.size + phase
        row = (line - 1) * self._behind + np.minimum(behind, self._behind - 1)
        return np.asarray(self._first_waiting + row * self._environments + environment)

    def law(self) -> AbsorptionLaw:
        per_s, turn = self._chain.phases
        for mode in range(self._chain.modes):
            for phase in range(per_s.size):
                self._add_running(mode, phase, float(per_s[phase]), turn[phase])
                if self._line:
                    self._add_waiting(mode, phase, float(per_s[phase]), turn[phase])
        return self._moves.law(self._start())

    def _add_running(self, mode: int, phase: int, per_s: float, turn: Array) -> None:
        chain, moves = self._chain, self._moves
        grid = np.meshgrid(np.arange(1, self._inside + 1), np.arange(self._stages), indexing="ij")
        n, stage = (axis.ravel() for axis in grid)
        same = np.full_like(n, mode)
        here = self._running(n, stage, same, phase)
        taken = np.minimum(n, chain.places)
        finish = chain.finish(mode, n)
        own = finish / taken * self._stages
        there = chain.mode_after_arrival(mode, n + 1)
        moves.add(here, self._running(n + 1, stage, there, phase), per_s)
        there = chain.mode_after_departure(mode, n - 1)
        left = self._running(np.maximum(n - 1, 1), stage, there, phase)
        moves.add(here, left, finish * (1 - 1 / taken))
        done = stage == self._stages - 1
        moves.end(here[done], own[done])
        moves.add(here[~done], self._running(n + 0, stage + 1, same, phase)[~done], own[~done])
        for other in np.flatnonzero(turn):
            moves.add(here, self._running(n, stage, same, int(other)), turn[other])

    def _add_waiting(self, mode: int, phase: int, per_s: float, turn: Array) -> None:
        chain, moves = self._chain, self._moves
        grid = np.meshgrid(np.arange(1, self._line + 1), np.arange(self._behind), indexing="ij")
        line, behind = (axis.ravel() for axis in grid)
        n = chain.places + line + behind
        same = np.full_like(n, mode)
        here = self._waiting(line, behind, same, phase)
        there = chain.mode_after_arrival(mode, n + 1)
        moves.add(here, self._waiting(line, behind + 1, there, phase), per_s)
        there = chain.mode_after_departure(mode, n - 1)
        starts = line == 1
        begun = self._running(n - 1, np.zeros_like(n), there, phase)
        nearer = self._waiting(np.maximum(line - 1, 1), behind, there, phase)
        moves.add(here, np.where(starts, begun, nearer), chain.finish(mode, n))
        for other in np.flatnonzero(turn):
            moves.add(here, self._waiting(line, behind, same, int(other)), turn[other])

    def _start(self) -> Array:
        chain = self._chain
        per_s, _ = chain.phases
        start = np.zeros(self._moves.size)
        n = np.arange(1, self._found + 1)
        none = np.zeros_like(n)
        line = n - chain.places
        for mode in range(chain.modes):
            there = chain.mode_after_arrival(mode, n)
            for phase in range(per_s.size):
                chance = chain.share_by_state[: self._found, mode, phase] * per_s[phase]
                runs = line <= 0
                state = self._running(n, none, there, phase)
                np.add.at(start, state[runs], chance[runs])
                if self._line:
                    state = self._waiting(np.maximum(line, 1), none, there, phase)
                    np.add.at(start, state[~runs], chance[~runs])
        return start


def _soon_forgotten(chain: InFlight) -> int:
    """So many jobs above `last` that the others hardly leave before the tagged job, which runs.

    Its chance that m more leave than come before it ends is r^m, with the smaller root r of
    arrival r^2 - (arrival + finish) r + (1 - 1 / places) finish = 0. With one place none leave.
    """
    if chain.places == 1:
        return 0
    arrival = float(chain.phases[0].min())
    finish = min(chain.finish_per_s[-1][-1], chain.finish_per_s[0][-1])
    others = (1 - 1 / chain.places) * finish
    both = arrival + finish
    root = 2 * others / (both + math.sqrt(both * both - 4 * arrival * others))
    return math.ceil(math.log(_FORGOTTEN) / math.log(root))
