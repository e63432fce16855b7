"""The models by name, with the names of their parameters: what `python -m analysis predict` knows.

Parameters come as JSON: rates in jobs per second, times in seconds (or any other unit throughout).
A model's module is loaded when the model is asked for: most need libraries that take long to load.
Sizes are limited to what is answered in about a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.models.parameters import (
    Form,
    Read,
    Value,
    from_zero,
    number,
    one_of,
    phase_rates,
    positive,
    several,
    shown,
    text,
    whole,
)

if TYPE_CHECKING:
    from analysis.models.steady import Prediction
    from analysis.models.tandem import Station
    from analysis.service_times import ServiceTime
    from analysis.textbook.models import Mmpp, Poisson

Given = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Model:
    """A model: the forms its parameters may come in (the first that fits is taken), and itself."""

    forms: tuple[Form, ...]
    predict: Callable[[Given], Prediction]


# -- servers without control ----------------------------------------------------------------------


def _mm1(p: Given) -> Prediction:
    from analysis.models.mm1 import mm1

    return mm1(p["lam"], 1 / p["mu"])


def _mmc(p: Given) -> Prediction:
    from analysis.models.lines import mmc

    return mmc(p["lam"], 1 / p["mu"], p["c"])


def _mdc(p: Given) -> Prediction:
    from analysis.models.lines import mdc

    return mdc(p["lam"], p["D"], p.get("c", 1))


def _mgc(p: Given) -> Prediction:
    from analysis.models.lines import mgc

    return mgc(p["lam"], _service(p), p.get("c", 1))


def _ggc(p: Given) -> Prediction:
    from analysis.models.general import ggc

    return ggc(p["lam"], p["ca2"], p["mean"], p["cs2"], p.get("c", 1))


def _service(p: Given) -> ServiceTime:
    from analysis.service_times import Deterministic, Gamma, Lognormal

    law = p["law"]
    if law == "empirical":
        return _sample(p)
    if "file" in p:
        raise ValueError(f"file belongs to the law empirical, not to {shown(law)}")
    for name in ("mean", *(("cv2",) if law in ("lognormal", "gamma") else ())):
        if name not in p:
            raise ValueError(f"the law {shown(law)} lacks {name}")
    if law == "deterministic":
        if p.get("cv2", 0) != 0:
            raise ValueError(f"a deterministic service has cv2 0, not {p['cv2']}")
        return Deterministic(p["mean"])
    if law not in ("lognormal", "gamma"):
        raise ValueError(
            f"law {shown(law)} is unknown; choose lognormal, gamma, deterministic or empirical"
        )
    if p["cv2"] == 0:
        return Deterministic(p["mean"])
    return Lognormal(p["mean"], p["cv2"]) if law == "lognormal" else Gamma(p["mean"], p["cv2"])


def _sample(p: Given) -> ServiceTime:
    """Service times from a file, separated by white space or commas."""
    from analysis.service_times import Empirical

    if "file" not in p:
        raise ValueError("the law empirical lacks file, a file of service times")
    for name in ("mean", "cv2"):
        if name in p:
            raise ValueError(f"{name} follows from the sample; leave it out with law empirical")
    try:
        words = Path(p["file"]).read_text(encoding="utf-8").replace(",", " ").split()
    except OSError as error:
        raise ValueError(f"cannot read {p['file']}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{p['file']} is not a text of service times") from error
    try:
        return Empirical([float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{p['file']} is not a sample of service times: {error}") from error


# -- servers with control, bursts, batches, impatience --------------------------------------------


def _threshold(arrivals: Poisson | Mmpp, p: Given) -> Prediction:
    from analysis.models.thresholds import threshold

    return threshold(arrivals, p["mu1"], p["mu2"], p["K"], p.get("c", 1))


def _hysteresis(arrivals: Poisson | Mmpp, p: Given) -> Prediction:
    from analysis.models.thresholds import hysteresis

    if p["K_lo"] >= p["K_hi"]:
        raise ValueError(f"K_lo {p['K_lo']} must be below K_hi {p['K_hi']}")
    return hysteresis(arrivals, p["mu1"], p["mu2"], p["K_hi"], p["K_lo"], p.get("c", 1))


def _poisson(p: Given) -> Poisson:
    from analysis.textbook.models import Poisson

    return Poisson(p["lam"])


def _mmpp(p: Given) -> Mmpp:
    from analysis.textbook.models import Mmpp

    return Mmpp(p["lam"], (p["r12"], p["r21"]))


def _mmpp_m1(p: Given) -> Prediction:
    from analysis.models.thresholds import mmpp_m1

    return mmpp_m1(_mmpp(p), p["mu"])


def _start(p: Given) -> Prediction:
    if "D1" in p:
        from analysis.models.many_lines import start_deterministic_servers

        return start_deterministic_servers(p["lam"], p["D1"], p["D2"], p["K"], p.get("c", 1))
    from analysis.models.starts import start_exponential

    return start_exponential(p["lam"], p["mu1"], p["mu2"], p["K"], p.get("c", 1))


def _in_flight_deterministic(p: Given) -> Prediction:
    from analysis.models.midflight import in_flight_deterministic

    return in_flight_deterministic(p["lam"], p["D1"], p["D2"], p["K"])


def _bulk(p: Given) -> Prediction:
    from analysis.models.bulk import bulk

    return bulk(p["lam"], p["a"], p["c"], p["b"])


def _erlang_a(p: Given) -> Prediction:
    from analysis.models.impatience import erlang_a

    return erlang_a(p["lam"], p["mu"], p["c"], p["theta"])


def _erlang_d(p: Given) -> Prediction:
    from analysis.models.deadlines import erlang_d

    return erlang_d(p["lam"], p["mu"], p["c"], p["deadline"])


# -- engines and stations -------------------------------------------------------------------------


def _lps(p: Given) -> Prediction:
    """The birth-death chain; with phases or rungs the chain of stages."""
    from analysis.models.lps import lps
    from pipelines.costs import CostTable
    from policies.costs import completion_rates_per_s
    from policies.nouns import Rung

    costs = CostTable.load(Path(p["cost_table"]), **{n: p[n] for n in _SELECTORS if n in p})
    rung = Rung(p["variant"], p["steps"], "high", guidance_share=p.get("guidance_share", 1.0))
    places = p.get("max_batch") or costs.max_batch(p["variant"])
    rates_per_s = completion_rates_per_s(costs, rung, places)
    if any(name in p for name in _STAGED):
        return _staged(p, tuple(float(rate) for rate in rates_per_s))
    return lps(p["lam"], rates_per_s, stages=p["steps"])


def _staged(p: Given, rates_per_s: tuple[float, ...]) -> Prediction:
    """A chain of just so many phases or, where they are not given, of as many as are quickly solved,
    carried on to the steps."""
    from analysis.models.stages import StageServer, stage_chain, with_quick_stages

    server = StageServer(
        rates_per_s,
        p.get("phases", 1),
        p.get("work", (1.0,)),
        p.get("enter", ()),
        p.get("leave", ()),
        p.get("apply") == "in_flight",
        None if "phases" in p else p["steps"],
    )
    return stage_chain(p["lam"], server if "phases" in p else with_quick_stages(server))


def _stations(name: str, value: Value) -> list[Station]:
    from analysis.models.tandem import Station

    if not isinstance(value, list) or not 0 < len(value) <= _STATIONS_MOST:
        raise ValueError(
            f"{name} must be a list of stations, up to {_STATIONS_MOST}, not {shown(value)}"
        )
    form = Form({"mean": positive}, {"cv2": from_zero, **_C})
    stations = []
    for one in value:
        given = form.read(f"a station of {name}", one)
        stations.append(Station(given["mean"], given.get("cv2", 1.0), given.get("c", 1)))
    return stations


def _tandem(p: Given) -> Prediction:
    from analysis.models.tandem import tandem

    return tandem(p["lam"], p["stations"])


# -- all of them ----------------------------------------------------------------------------------


def _one(
    predict: Callable[[Given], Prediction],
    required: Mapping[str, Read],
    optional: Mapping[str, Read] | None = None,
) -> Model:
    return Model((Form(required, optional or {}),), predict)


_STATIONS_MOST = 10
_LAM = {"lam": positive}
_C = {"c": whole(1, 1_000)}
_C_CHAIN = {"c": whole(1, 64)}
_SPEEDS = {"mu1": positive, "mu2": positive}
_BACK = {"K_hi": whole(1, 200), "K_lo": whole(0, 200)}
_PHASES = {"lam": phase_rates, "r12": positive, "r21": positive}
_SERVICE = {"mean": positive, "cv2": from_zero, "file": text}
_SELECTORS: dict[str, Read] = {
    "width": whole(1, 100_000),
    "height": whole(1, 100_000),
    "dtype": text,
    "threads": whole(1, 100_000),
    "device": text,
}
_STAGED: dict[str, Read] = {
    "phases": whole(1, 1_000),
    "work": several(number),
    "enter": several(whole(0, 1_000)),
    "leave": several(whole(0, 1_000)),
    "apply": one_of("at_start", "in_flight"),
}

MODELS: dict[str, Model] = {
    "mm1": _one(_mm1, {**_LAM, "mu": positive}),
    "mmc": _one(_mmc, {**_LAM, "mu": positive, **_C}),
    "md1": _one(_mdc, {**_LAM, "D": positive}),
    "mdc": _one(_mdc, {**_LAM, "D": positive, **_C}),
    "mg1": _one(_mgc, {**_LAM, "law": text}, _SERVICE),
    "mgc": _one(_mgc, {**_LAM, "law": text, **_C}, _SERVICE),
    "ggc": _one(_ggc, {**_LAM, "ca2": from_zero, "mean": positive, "cs2": from_zero}, _C),
    "threshold": _one(
        lambda p: _threshold(_poisson(p), p), {**_LAM, **_SPEEDS, "K": whole(1, 200)}, _C_CHAIN
    ),
    "hysteresis": _one(
        lambda p: _hysteresis(_poisson(p), p), {**_LAM, **_SPEEDS, **_BACK}, _C_CHAIN
    ),
    "start_threshold": Model(
        (
            Form({**_LAM, "D1": positive, "D2": positive, "K": whole(0, 200)}, _C_CHAIN),
            Form({**_LAM, **_SPEEDS, "K": whole(0, 200)}, _C_CHAIN),
        ),
        _start,
    ),
    "inflight_deterministic": _one(
        _in_flight_deterministic,
        {**_LAM, "D1": positive, "D2": positive, "K": whole(1, 30)},
    ),
    "bulk": _one(_bulk, {**_LAM, "a": from_zero, "c": from_zero, "b": whole(1, 100)}),
    "erlang_a": _one(_erlang_a, {**_LAM, "mu": positive, **_C, "theta": positive}),
    "erlang_d": _one(_erlang_d, {**_LAM, "mu": positive, **_C, "deadline": positive}),
    "mmpp_m1": _one(_mmpp_m1, {**_PHASES, "mu": positive}),
    "mmpp_threshold": _one(
        lambda p: _threshold(_mmpp(p), p), {**_PHASES, **_SPEEDS, "K": whole(1, 200)}, _C_CHAIN
    ),
    "mmpp_hysteresis": _one(
        lambda p: _hysteresis(_mmpp(p), p), {**_PHASES, **_SPEEDS, **_BACK}, _C_CHAIN
    ),
    "lps": _one(
        _lps,
        {**_LAM, "cost_table": text, "variant": text, "steps": whole(1, 1_000)},
        {"guidance_share": from_zero, "max_batch": whole(1, 64), **_SELECTORS, **_STAGED},
    ),
    "tandem": _one(_tandem, {**_LAM, "stations": _stations}),
}


def predict(name: str, parameters: Value) -> Prediction:
    """What a model says; ValueError for an unknown one and for parameters that do not fit it,
    `steady.Unstable` for a load that cannot be served."""
    if name not in MODELS:
        raise ValueError(f"there is no model {shown(name)}; choose from {', '.join(MODELS)}")
    model = MODELS[name]
    given = parameters if isinstance(parameters, dict) else {}
    # The form that knows most of what is given is the one that is meant.
    form = max(model.forms, key=lambda form: sum(key in form.required for key in given))
    return model.predict(form.read(f"the model {name}", parameters))
