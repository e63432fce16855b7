"""Stations one behind the other: encode, denoise, decode, each with servers and a line of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.models.general import allen_cunneen_wait_s
from analysis.models.laws import FittedLaw, convolve, service_masses
from analysis.models.lines import erlang_c
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array, Deterministic, Gamma, ServiceTime


@dataclass(frozen=True, slots=True)
class Station:
    """`servers` behind one line; services by mean and squared coefficient of variation."""

    mean_s: float
    cv2: float = 1.0
    servers: int = 1

    def __post_init__(self) -> None:
        if not (self.mean_s > 0 and math.isfinite(self.mean_s)):
            raise ValueError(f"a station's mean_s {self.mean_s} must be a finite number above 0")
        if not (self.cv2 >= 0 and math.isfinite(self.cv2)):
            raise ValueError(f"a station's cv2 {self.cv2} must be a finite number, at least 0")
        if self.servers < 1:
            raise ValueError(f"a station's servers {self.servers} must be at least 1")

    def service(self) -> ServiceTime:
        """The law taken for the service."""
        return Gamma(self.mean_s, self.cv2) if self.cv2 > 0 else Deterministic(self.mean_s)


def tandem(rate_per_s: float, stations: Sequence[Station]) -> Prediction:
    """Poisson arrivals to the first station; what leaves one enters the next.

    Waits by Allen and Cunneen, with the variability of each station's output as its successor's
    input (Whitt 1983, the Queueing Network Analyzer, Bell System Tech. J. 62). A delayed job's wait is
    taken as exponential, stations as independent. All this is exact where every service is
    exponential and only the first and the last station have several servers (Burke 1956, 1969;
    Jackson 1957). utilisation is the busiest station's. error_estimate is the share of the response
    that rests on approximation, halved: a station's wait may be wrong by half.
    ValueError for parameters that cannot be; Unstable if a station cannot serve the rate.
    """
    if not stations:
        raise ValueError("a tandem needs at least one station")
    if not (rate_per_s > 0 and math.isfinite(rate_per_s)):
        raise ValueError(f"rate_per_s {rate_per_s} must be a finite number above 0")
    loads = [rate_per_s * station.mean_s / station.servers for station in stations]
    if max(loads) >= 1:
        raise Unstable(max(loads))
    waits_s, ca2 = [], 1.0
    for station, load in zip(stations, loads, strict=True):
        waits_s.append(
            allen_cunneen_wait_s(rate_per_s, ca2, station.mean_s, station.cv2, station.servers)
        )
        output = 1 + load**2 / math.sqrt(station.servers) * (max(station.cv2, 0.2) - 1)
        ca2 = output + (1 - load**2) * (ca2 - 1)
    exact = all(station.cv2 == 1 for station in stations) and all(
        station.servers == 1 for station in stations[1:-1]
    )
    wait_s, service_s = sum(waits_s), sum(station.mean_s for station in stations)
    return prediction(
        wait_s,
        service_s,
        _law(rate_per_s, stations, waits_s),
        max(loads),
        rate_per_s,
        f"tandem of {len(stations)}: "
        + ("exact (Jackson, Burke)" if exact else "decomposition by two moments (approximation)"),
        error_estimate=1e-6 if exact else 0.5 * wait_s / (wait_s + service_s),
    )


def _law(rate_per_s: float, stations: Sequence[Station], waits_s: Sequence[float]) -> FittedLaw:
    def build(points: int, step_s: float) -> Array:
        masses = np.zeros(points)
        masses[0] = 1.0
        for station, wait_s in zip(stations, waits_s, strict=True):
            one = service_masses(station.service(), points, step_s)
            delayed = erlang_c(rate_per_s * station.mean_s, station.servers)
            if wait_s > 0:
                wait = delayed * service_masses(Gamma(wait_s / delayed, 1.0), points, step_s)
                wait[0] += 1 - delayed
                one = convolve(one, wait)
            masses = convolve(masses, one)
        return masses

    service_s = sum(station.mean_s for station in stations)
    return FittedLaw(build, service_s + sum(waits_s))
