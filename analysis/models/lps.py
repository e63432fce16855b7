"""A batching engine as a birth-death chain: limited processor sharing, first come first served.

Assumption: arrivals are Poisson and the engine's completions are exponential, at a total rate that
depends on the number n of jobs in it only. Up to `places` jobs run and share that rate equally;
the others wait in line. The tagged job, whose response time is followed, may go through `stages`
equal exponential stages instead (Erlang's method: a picture's denoising steps), so that its own
service varies as little as a real picture's while the others around it come and go as the chain
says. In processor sharing the mean does not depend on the stages; the percentiles do, much.

Within the assumption everything here is exact; see `analysis.models.inflight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.models.absorption import AbsorptionLaw
from analysis.models.inflight import InFlight, in_flight_prediction, tagged_law
from analysis.models.steady import Prediction
from analysis.textbook.models import Poisson


def lps(
    rate_per_s: float,
    rates_per_s: Sequence[float],
    places: int | None = None,
    stages: int = 1,
) -> Prediction:
    """Prediction for Poisson arrivals at `rate_per_s` to an engine with these completion rates.

    rates_per_s[n-1] is the total rate with n jobs in the system, and the last entry holds for all
    larger n. `places` is how many run at once (default: as many as there are rates). More rates
    than places describe a server that speeds up as its line grows: a threshold controller that
    re-plans in flight. `stages` are those of the tagged job. utilisation is the share of time with
    at least one job. ValueError for rates that cannot be; Unstable if the last rate does not exceed
    the arrival rate.

    error_estimate: with `stages` it allows for the others' runs being exponential in the model only.
    """
    chain = build_chain(rate_per_s, rates_per_s, places)
    method = (
        f"birth-death chain, {chain.places} places shared equally, exponential completions: exact;"
        f" percentiles by uniformisation of a tagged job of {stages} stages"
    )
    ours = in_flight_prediction(chain, None, method, by_place=False, stages=stages)
    # Real runs vary less than exponential ones, which can halve the wait.
    doubt = 0.5 * ours.mean_wait_s / ours.mean_response_s if stages > 1 else 0.0
    return replace(ours, error_estimate=max(doubt, 1e-9))


def build_chain(
    rate_per_s: float, rates_per_s: Sequence[float], places: int | None = None
) -> InFlight:
    """The chain; errors as in `lps`."""
    rates = tuple(float(rate) for rate in rates_per_s)
    running = len(rates) if places is None else places
    return InFlight(Poisson(rate_per_s), (rates,), running)


def lps_law(chain: InFlight, stages: int = 1) -> AbsorptionLaw:
    """Response time of an arriving job of `stages` stages; ValueError for less than one stage."""
    return tagged_law(chain, stages)
