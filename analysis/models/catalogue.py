"""The models by name, with the names of their parameters: what `python -m analysis predict` knows.

Parameters come as JSON: rates in jobs per second, times in seconds (or any other unit throughout).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.models.bulk import bulk
from analysis.models.general import ggc
from analysis.models.impatience import erlang_a
from analysis.models.lines import mdc, mg1, mgc, mmc
from analysis.models.lps import lps
from analysis.models.many_lines import start_deterministic_servers
from analysis.models.midflight import in_flight_deterministic
from analysis.models.starts import start_exponential
from analysis.models.steady import Prediction
from analysis.models.tandem import Station, tandem
from analysis.models.thresholds import hysteresis, mmpp_m1, threshold
from analysis.service_times import Deterministic, Empirical, Gamma, Lognormal, ServiceTime
from analysis.textbook.models import Mmpp, Poisson
from pipelines.costs import CostTable
from policies.costs import completion_rates_per_s
from policies.nouns import Rung

Value = Any
Read = Callable[[str, Value], Value]


# -- parameters -----------------------------------------------------------------------------------


def _number(name: str, value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _positive(name: str, value: Value) -> float:
    number = _number(name, value)
    if not number > 0:
        raise ValueError(f"{name} must be above 0, not {value!r}")
    return number


def _from_zero(name: str, value: Value) -> float:
    number = _number(name, value)
    if number < 0:
        raise ValueError(f"{name} must be at least 0, not {value!r}")
    return number


def _whole(least: int) -> Read:
    def read(name: str, value: Value) -> int:
        number = _number(name, value)
        if number != int(number) or number < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, not {value!r}")
        return int(number)

    return read


def _text(name: str, value: Value) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text, not {value!r}")
    return value


def _phase_rates(name: str, value: Value) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} must be a list of two arrival rates, not {value!r}")
    first, second = (_from_zero(name, rate) for rate in value)
    if first == second == 0:
        raise ValueError(f"one of the rates {name} must be above 0")
    return first, second


def _stations(name: str, value: Value) -> list[Station]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} must be a list of stations, not {value!r}")
    form = Form({"mean": _positive}, {"cv2": _from_zero, "c": _whole(1)})
    stations = []
    for one in value:
        given = form.read(f"a station of {name}", one)
        stations.append(Station(given["mean"], given.get("cv2", 1.0), given.get("c", 1)))
    return stations


@dataclass(frozen=True, slots=True)
class Form:
    """Parameters that must be given, and those that may be; each with what reads it."""

    required: Mapping[str, Read]
    optional: Mapping[str, Read]

    def read(self, what: str, given: Value) -> dict[str, Value]:
        """The parameters, read; ValueError in one sentence for what is wrong with them."""
        if not isinstance(given, dict):
            raise ValueError(f"{what} needs a JSON object of parameters, not {given!r}")
        known = {**self.required, **self.optional}
        missing = [name for name in self.required if name not in given]
        unknown = [name for name in given if name not in known]
        for wrong, names in (("lacks", missing), ("does not know", unknown)):
            if names:
                raise ValueError(f"{what} {wrong} {', '.join(names)}; it takes {self}")
        return {name: known[name](name, value) for name, value in given.items()}

    def __str__(self) -> str:
        optional = ", ".join(self.optional)
        return ", ".join(self.required) + (f" and perhaps {optional}" if optional else "")


@dataclass(frozen=True, slots=True)
class Model:
    """A model: the forms its parameters may come in (the first that fits is taken), and itself."""

    forms: tuple[Form, ...]
    predict: Callable[[dict[str, Value]], Prediction]


# -- models ---------------------------------------------------------------------------------------

_LAM = {"lam": _positive}
_C = {"c": _whole(1)}
_SPEEDS = {"mu1": _positive, "mu2": _positive}
_BACK = {"K_hi": _whole(1), "K_lo": _whole(0)}
_PHASES = {"lam": _phase_rates, "r12": _positive, "r21": _positive}
_SELECTORS: dict[str, Read] = {
    "width": _whole(1),
    "height": _whole(1),
    "dtype": _text,
    "threads": _whole(1),
    "device": _text,
}


def _one(
    predict: Callable[[dict[str, Value]], Prediction],
    required: Mapping[str, Read],
    optional: Mapping[str, Read] | None = None,
) -> Model:
    return Model((Form(required, optional or {}),), predict)


def _service(p: dict[str, Value]) -> ServiceTime:
    law = p["law"]
    if law == "empirical":
        return _sample(p)
    if "file" in p:
        raise ValueError(f"file belongs to the law empirical, not to {law}")
    for name in ("mean", *(("cv2",) if law in ("lognormal", "gamma") else ())):
        if name not in p:
            raise ValueError(f"the law {law} lacks {name}")
    if law == "deterministic":
        if p.get("cv2", 0) != 0:
            raise ValueError(f"a deterministic service has cv2 0, not {p['cv2']}")
        return Deterministic(p["mean"])
    if law not in ("lognormal", "gamma"):
        raise ValueError(
            f"law {law!r} is unknown; choose lognormal, gamma, deterministic or empirical"
        )
    if p["cv2"] == 0:
        return Deterministic(p["mean"])
    return Lognormal(p["mean"], p["cv2"]) if law == "lognormal" else Gamma(p["mean"], p["cv2"])


def _sample(p: dict[str, Value]) -> ServiceTime:
    """Service times from a file, separated by white space or commas."""
    if "file" not in p:
        raise ValueError("the law empirical lacks file, a file of service times")
    for name in ("mean", "cv2"):
        if name in p:
            raise ValueError(f"{name} follows from the sample; leave it out with law empirical")
    try:
        words = Path(p["file"]).read_text(encoding="utf-8").replace(",", " ").split()
    except OSError as error:
        raise ValueError(f"cannot read {p['file']}: {error.strerror}") from error
    try:
        return Empirical([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{p['file']} is not a sample of service times: {error}") from error


def _mmpp(p: dict[str, Value]) -> Mmpp:
    return Mmpp(p["lam"], (p["r12"], p["r21"]))


def _hysteresis(arrivals: Poisson | Mmpp, p: dict[str, Value]) -> Prediction:
    if p["K_lo"] >= p["K_hi"]:
        raise ValueError(f"K_lo {p['K_lo']} must be below K_hi {p['K_hi']}")
    return hysteresis(arrivals, p["mu1"], p["mu2"], p["K_hi"], p["K_lo"], p.get("c", 1))


def _start(p: dict[str, Value]) -> Prediction:
    if "D1" in p:
        return start_deterministic_servers(p["lam"], p["D1"], p["D2"], p["K"], p.get("c", 1))
    return start_exponential(p["lam"], p["mu1"], p["mu2"], p["K"], p.get("c", 1))


def _lps(p: dict[str, Value]) -> Prediction:
    chosen = {name: p[name] for name in _SELECTORS if name in p}
    costs = CostTable.load(Path(p["cost_table"]), **chosen)
    rung = Rung(p["variant"], p["steps"], "high", guidance_share=p.get("guidance_share", 1.0))
    places = p.get("max_batch") or costs.max_batch(p["variant"])
    return lps(p["lam"], completion_rates_per_s(costs, rung, places), stages=p["steps"])


_SERVICE = {"mean": _positive, "cv2": _from_zero, "file": _text}

MODELS: dict[str, Model] = {
    "mm1": _one(lambda p: mmc(p["lam"], 1 / p["mu"], 1), {**_LAM, "mu": _positive}),
    "mmc": _one(lambda p: mmc(p["lam"], 1 / p["mu"], p["c"]), {**_LAM, "mu": _positive, **_C}),
    "md1": _one(lambda p: mdc(p["lam"], p["D"], 1), {**_LAM, "D": _positive}),
    "mdc": _one(lambda p: mdc(p["lam"], p["D"], p["c"]), {**_LAM, "D": _positive, **_C}),
    "mg1": _one(lambda p: mg1(p["lam"], _service(p)), {**_LAM, "law": _text}, _SERVICE),
    "mgc": _one(
        lambda p: mgc(p["lam"], _service(p), p["c"]), {**_LAM, "law": _text, **_C}, _SERVICE
    ),
    "ggc": _one(
        lambda p: ggc(p["lam"], p["ca2"], p["mean"], p["cs2"], p.get("c", 1)),
        {**_LAM, "ca2": _from_zero, "mean": _positive, "cs2": _from_zero},
        _C,
    ),
    "threshold": _one(
        lambda p: threshold(Poisson(p["lam"]), p["mu1"], p["mu2"], p["K"], p.get("c", 1)),
        {**_LAM, **_SPEEDS, "K": _whole(1)},
        _C,
    ),
    "hysteresis": _one(
        lambda p: _hysteresis(Poisson(p["lam"]), p), {**_LAM, **_SPEEDS, **_BACK}, _C
    ),
    "start_threshold": Model(
        (
            Form({**_LAM, "D1": _positive, "D2": _positive, "K": _whole(0)}, _C),
            Form({**_LAM, **_SPEEDS, "K": _whole(0)}, _C),
        ),
        _start,
    ),
    "inflight_deterministic": _one(
        lambda p: in_flight_deterministic(p["lam"], p["D1"], p["D2"], p["K"]),
        {**_LAM, "D1": _positive, "D2": _positive, "K": _whole(1)},
    ),
    "bulk": _one(
        lambda p: bulk(p["lam"], p["a"], p["c"], p["b"]),
        {**_LAM, "a": _from_zero, "c": _from_zero, "b": _whole(1)},
    ),
    "erlang_a": _one(
        lambda p: erlang_a(p["lam"], p["mu"], p["c"], p["theta"]),
        {**_LAM, "mu": _positive, **_C, "theta": _positive},
    ),
    "mmpp_m1": _one(lambda p: mmpp_m1(_mmpp(p), p["mu"]), {**_PHASES, "mu": _positive}),
    "mmpp_threshold": _one(
        lambda p: threshold(_mmpp(p), p["mu1"], p["mu2"], p["K"], p.get("c", 1)),
        {**_PHASES, **_SPEEDS, "K": _whole(1)},
        _C,
    ),
    "mmpp_hysteresis": _one(
        lambda p: _hysteresis(_mmpp(p), p), {**_PHASES, **_SPEEDS, **_BACK}, _C
    ),
    "lps": _one(
        _lps,
        {**_LAM, "cost_table": _text, "variant": _text, "steps": _whole(1)},
        {"guidance_share": _from_zero, "max_batch": _whole(1), **_SELECTORS},
    ),
    "tandem": _one(lambda p: tandem(p["lam"], p["stations"]), {**_LAM, "stations": _stations}),
}


def predict(name: str, parameters: Value) -> Prediction:
    """What a model says; ValueError for an unknown one and for parameters that do not fit it,
    `steady.Unstable` for a load that cannot be served."""
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; choose from {', '.join(MODELS)}")
    model = MODELS[name]
    given = parameters if isinstance(parameters, dict) else {}
    # The form that knows most of what is given is the one that is meant.
    form = max(model.forms, key=lambda form: sum(key in form.required for key in given))
    return model.predict(form.read(f"the model {name}", parameters))
