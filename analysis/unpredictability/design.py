"""What is measured and in which order: blocks over minutes, everything within a block in random order.

Two engines of one server hold the same weights under two names, so that a request says where it is to
run. In a *visit* the requests of a panel are asked one at a time on one engine; a *replay* sends one
trace of arrivals to the first engine, as it was or with its requests in another order. Every block
holds a visit to each engine and a replay of each kind. What changes from block to block is drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.server_config import ConfigError, ServerSettings

ENGINES = ("one", "two")
"""Names of the two engines: of a pool each, and of the only variant that it hosts."""

REPLAYED_ON = ENGINES[0]
VISIT, REPLAY = "visit", "replay"
UNCHANGED, SHUFFLED = "unchanged", "shuffled"

BLOCKS = 6
PANEL = 5
REPETITIONS = 2
"""How often each request of the panel is asked in one visit."""

TRACE = 16
"""Requests of the trace, each with a prompt of its own; the panel are the first of them."""

TRACE_LOAD = 1.5
"""Arrivals of the trace per response alone: above what one at a time could serve, so that requests wait
and share steps, and below what full batches can."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing done in a block. `what` is the engine of a visit, or the order of a replay.

    A visit's `order` are numbers of the panel's requests. A replay's tells, for each place in the
    trace, whose prompt comes there.
    """

    block: int
    kind: str
    what: str
    order: tuple[int, ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.kind}-{self.block}-{self.what}"


@dataclass(frozen=True, slots=True)
class Design:
    """All of it, drawn from `seed`: the trace's prompts, its gaps over their mean, and the blocks."""

    seed: int
    prompts: tuple[str, ...]
    gaps: tuple[float, ...]
    blocks: tuple[tuple[Turn, ...], ...]

    def picture_seed(self, number: int) -> int:
        """The seed of the panel's request `number`."""
        return self.seed + number

    def times_s(self, alone_s: float) -> list[float]:
        """When the trace's requests come, if one alone takes `alone_s`."""
        times = np.cumsum(self.gaps) * alone_s / TRACE_LOAD
        return [round(float(time), 6) for time in times]


def design_of(seed: int, prompts: Sequence[str], blocks: int = BLOCKS) -> Design:
    """Draw it. ConfigError if there are too few different prompts."""
    different = list(dict.fromkeys(prompts))
    if len(different) < TRACE:
        raise ConfigError(
            f"the study needs {TRACE} different prompts and the file has {len(different)}; add some,"
            " or name another file with --prompts"
        )
    rng = np.random.default_rng([seed, 5])
    chosen = [different[index] for index in rng.permutation(len(different))[:TRACE]]
    gaps = rng.exponential(1.0, TRACE)
    drawn = tuple(_block(number, rng) for number in range(blocks))
    return Design(seed, tuple(chosen), tuple(float(gap) for gap in gaps), drawn)


def _block(number: int, rng: np.random.Generator) -> tuple[Turn, ...]:
    panel = np.tile(np.arange(PANEL), REPETITIONS)
    turns = [Turn(number, VISIT, engine, _whole(rng.permutation(panel))) for engine in ENGINES]
    turns.append(Turn(number, REPLAY, UNCHANGED, tuple(range(TRACE))))
    turns.append(Turn(number, REPLAY, SHUFFLED, _whole(rng.permutation(TRACE))))
    return tuple(turns[index] for index in rng.permutation(len(turns)))


def _whole(values: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def prompt_lines(design: Design, first: Sequence[str], turn: Turn) -> list[str]:
    """The lines of a replay's prompts file.

    The load generator sends the lines in an order that its seed draws, the same for the same number
    of lines. `first` are the prompts in the order in which it sent the lines of `design.prompts`:
    so the line that goes out at a place is known, and any prompt can be put there.
    """
    line_at = [design.prompts.index(prompt) for prompt in first]
    lines = [""] * TRACE
    for place, whose in enumerate(turn.order):
        lines[line_at[place]] = first[whose]
    return lines


def two_engines(static: ServerSettings) -> dict[str, Any]:
    """The configuration of the study's server from one with a static controller: two pools of one
    engine each, with the variant of full service, under the engine's name, and full service alone."""
    content, best = static.content, static.ladder.best
    variant = content["variants"][best.variant]
    pool = next(one for one in content["engines"] if best.variant in one["variants"])
    # Its costs are of another variant's name, and nothing here goes by costs.
    kept = {key: value for key, value in pool.items() if key != "costs"}
    return {
        **content,
        "variants": dict.fromkeys(ENGINES, variant),
        "ladder": [{**content["ladder"][0], "variant": engine} for engine in ENGINES],
        "engines": [{**kept, "name": e, "variants": [e], "replicas": 1} for e in ENGINES],
    }


def as_plain(design: Design, done: int) -> dict[str, Any]:
    """The first `done` blocks as JSON values."""
    return {**asdict(design), "blocks": [[asdict(t) for t in b] for b in design.blocks[:done]]}


def from_plain(plain: Mapping[str, Any]) -> Design:
    """Undo `as_plain`."""
    return Design(
        int(plain["seed"]),
        tuple(plain["prompts"]),
        tuple(plain["gaps"]),
        tuple(
            tuple(Turn(t["block"], t["kind"], t["what"], tuple(t["order"])) for t in block)
            for block in plain["blocks"]
        ),
    )
