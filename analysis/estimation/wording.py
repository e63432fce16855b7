"""The sentences of a run's estimates, and its numbers with their intervals, from the plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Plain = Mapping[str, Any]


def number(value: float) -> str:
    """Three digits, without exponents."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def interval(band: Plain) -> str:
    """Both ends."""
    return f"{number(band['low'])} to {number(band['high'])}"


def with_interval(value: float, band: Plain) -> str:
    """A value with its interval in brackets."""
    return f"{number(value)} ({interval(band)})"


def estimated(estimate: Plain) -> str:
    """An `Estimate` with its interval in brackets."""
    return with_interval(estimate["value"], estimate["band"])


def milliseconds(estimate: Plain) -> str:
    """An `Estimate` in seconds, shown in milliseconds."""
    value, low, high = (
        1000 * one for one in (estimate["value"], estimate["band"]["low"], estimate["band"]["high"])
    )
    return f"{number(value)} ({number(low)} to {number(high)})"


def share_of(share: float, band: Plain) -> str:
    """A share with its interval, in percent."""
    return f"{share:.0%} ({band['low']:.0%} to {band['high']:.0%})"


def sentence_of(text: str) -> str:
    """The text with a full stop."""
    return text if text.endswith(".") else f"{text}."


def service_finding(topic: Plain) -> str:
    """Moments and law."""
    law, moments = topic["law"], topic["moments"]
    return (
        f"Service takes {estimated(moments['mean_s'])} s with cv2 {estimated(moments['cv2'])}; the law to"
        f" use is {law['law']}: {topic['why']}."
    )


def overheads_finding(topic: Plain) -> str:
    """What a request spends outside of the engine."""
    outside = [one for one in topic["parts"] if one["name"] not in ("engine", "queue")]
    told_of = ", ".join(f"{one['name']} {milliseconds(one['mean_s'])} ms" for one in outside)
    starts = ", ".join(f"{one['name']} {milliseconds(one['mean_s'])} ms" for one in topic["starts"])
    wait = f"{number(1000 * topic['place_wait_s'])} ms"
    return f"Outside the engine: {told_of}; {starts}; the wait for a place is {wait} on average."


def warm_up_finding(topic: Plain) -> str:
    """Where the warm-up ends."""
    if not topic["settled"]:
        return (
            f"MSER-5 finds its minimum after {topic['cut']} of {topic['n']} latencies, in the last half:"
            " the run never settled, so it is too short to speak for a steady state."
        )
    if not topic["cut"]:
        return "MSER-5 finds no warm-up: nothing is left out."
    return (
        f"MSER-5 finds a warm-up of {topic['cut']} of {topic['n']} requests, {topic['until_s']:.3g} s; the"
        f" mean latency is {number(topic['mean_of_all'])} s with it, {number(topic['mean_of_rest'])} s"
        " without."
    )


def steady_finding(topic: Plain) -> str:
    """The mean latency in steady state."""
    found = topic["batch_means"]
    sentence = (
        f"Mean latency {with_interval(found['mean'], found['band'])} s by batch means"
        f" ({found['batches']} batches)"
    )
    if found["trusted"]:
        return f"{sentence}."
    return f"{sentence}; even these are alike, so the run is too short and the interval too narrow."


def length_sentence(length: Plain) -> str:
    """What a run's length says."""
    needed = f"{length['needed']:,} requests ({length['needed_s']:,.0f} s at this rate)"
    if length["needed"] <= length["n"]:
        return f"A half-width of 5 % takes {needed}, and the run has {length['n']:,}."
    return (
        f"The run is too short for a half-width of 5 %: its {length['n']:,} requests give"
        f" {length['half_width']:.0%}, and 5 % would take {needed}."
    )


def batch_finding(topic: Plain) -> str:
    """The curve of the most frequent kind of step."""
    steps = [curve for curve in topic["curves"] if curve["call"] == "step"]
    busiest = max(steps or topic["curves"], key=lambda c: sum(p["calls"] for p in c["points"]))
    return curve_sentence(busiest)


def curve_sentence(curve: Plain) -> str:
    """What a batch-speed curve says."""
    parts = [
        f"A {curve['name']}, takes {milliseconds(curve['fixed_s'])} ms and"
        f" {milliseconds(curve['per_job_s'])} ms a job;"
        f" {curve['points'][-1]['batch']} together are {estimated(curve['speed_up'])} times as fast"
        " as one by one."
    ]
    if curve["limit_per_s"] is not None:
        parts.append(
            f"The line ends at {estimated(curve['limit_per_s'])} jobs a second, of which a batch of"
            f" {estimated(curve['near_full_batch'])} reaches 90 %."
        )
    if curve["misfit_p"] is not None:
        bent = (
            "the means are not on a line" if curve["misfit_p"] < 0.05 else "no sign against a line"
        )
        parts.append(f"Lack of fit: p {curve['misfit_p']:.2g}, {bent}.")
    if curve["power"] is not None:
        exponent = curve["power"]["exponent"]
        band = exponent["band"]
        bend = "concave" if band["high"] < 1 else "convex" if band["low"] > 1 else "perhaps a line"
        parts.append(f"With the jobs to the power of {estimated(exponent)}: {bend}.")
    return " ".join(parts)
