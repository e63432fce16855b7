"""Parameters of the models, read from JSON: each reader says in one sentence what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Value: TypeAlias = Any
Read: TypeAlias = Callable[[str, Value], Value]

_SMALLEST, _LARGEST = 1e-30, 1e30
_SHOWN = 60


def shown(value: Value) -> str:
    """The value as it is quoted in a refusal: on one line, and not too much of it."""
    words = repr(value)
    return words if len(words) <= _SHOWN else words[: _SHOWN - 3] + "..."


def number(name: str, value: Value) -> float:
    """A number, neither infinite nor beyond what can be calculated with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise ValueError(f"{name} must be a finite number, not {shown(value)}")
    if value and not _SMALLEST <= abs(value) <= _LARGEST:
        raise ValueError(
            f"{name} must lie between {_SMALLEST:g} and {_LARGEST:g}, not {shown(value)}"
        )
    return float(value)


def positive(name: str, value: Value) -> float:
    """A number above 0."""
    given = number(name, value)
    if not given > 0:
        raise ValueError(f"{name} must be above 0, not {shown(value)}")
    return given


def from_zero(name: str, value: Value) -> float:
    """A number, at least 0."""
    given = number(name, value)
    if given < 0:
        raise ValueError(f"{name} must be at least 0, not {shown(value)}")
    return given


def whole(least: int, most: int) -> Read:
    """A reader of whole numbers from `least` to `most`."""

    def read(name: str, value: Value) -> int:
        given = number(name, value)
        if given != int(given) or given < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, not {shown(value)}")
        if given > most:
            raise ValueError(f"{name} {shown(value)} is too large; this model takes up to {most}")
        return int(given)

    return read


def text(name: str, value: Value) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{name} must be a text, not {shown(value)}")
    return value


def one_of(*words: str) -> Read:
    """A reader of one of these words."""

    def read(name: str, value: Value) -> str:
        if value not in words:
            raise ValueError(f"{name} must be {' or '.join(words)}, not {shown(value)}")
        return str(value)

    return read


def several(read: Read) -> Read:
    """A reader of lists of what `read` reads."""

    def read_all(name: str, value: Value) -> tuple[Value, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, not {shown(value)}")
        return tuple(read(f"each of {name}", one) for one in value)

    return read_all


def phase_rates(name: str, value: Value) -> tuple[float, float]:
    """Arrival rates of two phases."""
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} must be a list of two arrival rates, not {shown(value)}")
    first, second = (from_zero(name, rate) for rate in value)
    if first == second == 0:
        raise ValueError(f"one of the rates {name} must be above 0")
    return first, second


@dataclass(frozen=True, slots=True)
class Form:
    """Parameters that must be given, and those that may be; each with what reads it."""

    required: Mapping[str, Read]
    optional: Mapping[str, Read]

    def read(self, what: str, given: Value) -> dict[str, Value]:
        """The parameters, read; ValueError in one sentence for what is wrong with them."""
        if not isinstance(given, dict):
            raise ValueError(f"{what} needs a JSON object of parameters, not {shown(given)}")
        known = {**self.required, **self.optional}
        missing = [name for name in self.required if name not in given]
        unknown = [name for name in given if name not in known]
        for wrong, names in (("lacks", missing), ("does not know", map(shown_name, unknown))):
            listed = ", ".join(names)
            if listed:
                raise ValueError(f"{what} {wrong} {listed}; it takes {self}")
        return {name: known[name](name, value) for name, value in given.items()}

    def __str__(self) -> str:
        optional = ", ".join(self.optional)
        return ", ".join(self.required) + (f" and perhaps {optional}" if optional else "")


def shown_name(name: str) -> str:
    """A name, quoted where it holds more than letters."""
    return name if name.isidentifier() else shown(name)
