"""What a step costs that was never measured: learnt from the steps of other models and devices.

A step is predicted from what its model call does (`Work`) and what the device can do
(`DeviceSpeed`), the two sides that CDMPP (arXiv 2311.09690) learns latencies from. Two forms are
compared. The roofline form adds the times that each kind of work would take alone at the device's
own rates, each with a weight that is never negative: how many times slower than the probe that kind
of work is. The corrected form multiplies this by what a ridge regression makes of the step's shape,
for small calls reach other rates than large ones. The form that predicts left-out architectures
better is kept. Needs numpy and scipy, not torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, nnls

from pipelines.cost_samples import CostStudy, DeviceSpeed, Sample, Work

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

TERMS = ("convolutions", "matrix products", "parameters", "activations", "calls")
COVERED = 0.9
"""Share of never measured steps that the stated interval is to hold."""

RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)
BETTER_BY = 0.9
"""The form with more to fit must bring the error down to this share."""

_TINY = 1e-6
_SOFT = 0.1  # errors beyond this (in logs, so about 10 %) count linearly


def terms_s(work: Work, speed: DeviceSpeed) -> Array:
    """Seconds that each kind of work would take alone at the device's rates; in the order of TERMS."""
    return np.array(
        [
            work.conv_flops / speed.conv_flops_per_s,
            work.matmul_flops / speed.matmul_flops_per_s,
            work.parameter_bytes / speed.bytes_per_s,
            work.activation_bytes / speed.bytes_per_s,
            work.calls * speed.call_s,
        ]
    )


FittedModel = TypeVar("FittedModel", bound="Model")


class Model(Protocol):
    """A fitted form."""

    def log_s(self, terms: Array) -> Array:
        """Logarithms of the seconds of steps with these terms (n, 5)."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Seconds = weights . terms."""

    weights: Array

    def log_s(self, terms: Array) -> Array:
        """See `Model`."""
        return np.log(terms @ self.weights)


@dataclass(frozen=True, slots=True)
class Corrected:
    """The roofline form times the exponential of a linear function of the step's shape."""

    roofline: Roofline
    centre: Array
    scale: Array
    slopes: Array

    def log_s(self, terms: Array) -> Array:
        """See `Model`."""
        shape = (_shape(self.roofline, terms) - self.centre) / self.scale
        return self.roofline.log_s(terms) + np.clip(shape, -3, 3) @ self.slopes


def fit_roofline(terms: Array, seconds: Array) -> Roofline:
    """The weights that make the smallest relative errors, found in logs, none negative."""
    start, _ = nnls(terms / seconds[:, None], np.ones(len(seconds)))

    def errors(weights: Array) -> Array:
        return np.log(terms @ weights) - np.log(seconds)

    def slopes(weights: Array) -> Array:
        return terms / (terms @ weights)[:, None]

    found = least_squares(
        errors,
        np.maximum(start, 10 * _TINY),
        jac=slopes,
        bounds=(_TINY, np.inf),
        loss="soft_l1",
        f_scale=_SOFT,
    )
    return Roofline(np.where(found.x > 2 * _TINY, found.x, 0.0) + 0.0)


def fit_corrected(terms: Array, seconds: Array, groups: Sequence[Hashable]) -> Corrected:
    """A roofline, and a ridge regression of what it leaves over.

    The ridge is the one of RIDGES under which the `groups` (architectures), left out in turn, are
    predicted best.
    """

    if len(set(groups)) < 3:
        return _ridge(fit_roofline(terms, seconds), terms, seconds, RIDGES[-1])
    errors = dict.fromkeys(RIDGES, 0.0)
    for out, roofline in _left_out(groups, lambda kept: fit_roofline(terms[kept], seconds[kept])):
        for ridge in RIDGES:
            model = _ridge(roofline, terms[~out], seconds[~out], ridge)
            errors[ridge] += float(np.abs(model.log_s(terms[out]) - np.log(seconds[out])).sum())
    ridge = min(errors, key=lambda one: errors[one])
    return _ridge(fit_roofline(terms, seconds), terms, seconds, ridge)


def _ridge(roofline: Roofline, terms: Array, seconds: Array, ridge: float) -> Corrected:
    shape = _shape(roofline, terms)
    centre, scale = shape.mean(0), shape.std(0) + 1e-9
    z = (shape - centre) / scale
    left = np.log(seconds) - roofline.log_s(terms)
    slopes = np.linalg.solve(z.T @ z + ridge * np.eye(z.shape[1]), z.T @ left)
    return Corrected(roofline, centre, scale, slopes)


def _shape(roofline: Roofline, terms: Array) -> Array:
    """What is dimensionless of a step: sizes of its terms, and the share of each in the whole."""
    parts = terms * roofline.weights
    shares = parts / parts.sum(1, keepdims=True)
    arithmetic = terms[:, 0] + terms[:, 1]
    return np.column_stack(
        [
            shares,
            np.log(arithmetic / terms[:, 4]),
            np.log(arithmetic / terms[:, 3]),
            np.log(terms[:, 2] / terms[:, 3]),
        ]
    )


def _left_out(
    groups: Sequence[Hashable], fit: Callable[[Mask], FittedModel]
) -> Iterator[tuple[Mask, FittedModel]]:
    """For each group, which samples are its own and the model that was fitted without them."""
    for group in dict.fromkeys(groups):
        out = np.array([one == group for one in groups])
        yield out, fit(~out)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """How a form did on what it had not seen: errors in logs (predicted over measured) by sample.

    `groups` tells what each sample was left out with.
    """

    errors: Array
    groups: tuple[Hashable, ...]

    @property
    def mean_error(self) -> float:
        """Mean relative error."""
        return float(np.abs(np.expm1(self.errors)).mean())

    def quantile(self, share: float) -> float:
        """That share of the relative errors is smaller."""
        return float(np.quantile(np.abs(np.expm1(self.errors)), share))

    @property
    def margin(self) -> float:
        """Conformal half-width in logs: a new sample like these lies within it with COVERED."""
        return _conformal(self.errors)

    @property
    def coverage(self) -> float:
        """Share of samples within the margin that the other groups give: a check of the margin.

        Samples of one group are alike, so the margin of all of them together is a little narrow.
        """
        held = 0
        for group in dict.fromkeys(self.groups):
            own = np.array([one == group for one in self.groups])
            held += int((np.abs(self.errors[own]) <= _conformal(self.errors[~own])).sum())
        return held / len(self.errors)


def _conformal(errors: Array) -> float:
    """The smallest error that ceil((n + 1) COVERED) of the sizes do not exceed (split conformal)."""
    sizes = np.sort(np.abs(errors))
    rank = min(len(sizes), math.ceil((len(sizes) + 1) * COVERED))
    return float(sizes[rank - 1])


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of a step, and the interval that holds the true value with COVERED."""

    seconds: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Predictor:
    """The kept form, fitted to the whole study, and how both forms did on what they had not seen.

    `held_out` is by form and then by split: "architecture", "batch or size", "setting".
    """

    form: str
    model: Model
    held_out: Mapping[str, Mapping[str, HeldOut]]
    rows: tuple[int, int]
    latents: tuple[int, int]

    def estimate(
        self, work: Work, speed: DeviceSpeed, *, rows: int, latents: int, known_setting: bool
    ) -> Estimate:
        """A step of an architecture that was not in the study.

        `latents` is height times width. The interval is the widest of those that apply: for a new
        architecture always, for rows or sizes outside the study's and for a device or setting that
        is not the study's if it is so.
        """
        splits = ["architecture"]
        inside = self.rows[0] <= rows <= self.rows[1]
        if not (inside and self.latents[0] <= latents <= self.latents[1]):
            splits.append("batch or size")
        if not known_setting:
            splits.append("setting")
        margin = max(self.held_out[self.form][split].margin for split in splits)
        seconds = math.exp(float(self.model.log_s(terms_s(work, speed)[None, :])[0]))
        return Estimate(seconds, seconds * math.exp(-margin), seconds * math.exp(margin))

    def report(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {
            "kept": self.form,
            "interval_is_to_hold": COVERED,
            "forms": {
                form: {split: _figures(held_out) for split, held_out in by_split.items()}
                for form, by_split in self.held_out.items()
            },
        }


def _figures(held_out: HeldOut) -> dict[str, float]:
    return {
        "mean_error": round(held_out.mean_error, 4),
        "median_error": round(held_out.quantile(0.5), 4),
        "p90_error": round(held_out.quantile(0.9), 4),
        "interval_factor": round(math.exp(held_out.margin), 4),
        "interval_held": round(held_out.coverage, 4),
        "steps": len(held_out.errors),
    }


def learn(study: CostStudy) -> Predictor:
    """Fit both forms, leave out what there is to leave out, and keep the better form.

    ValueError if the study has too little to leave anything out.
    """
    samples = tuple(study.samples)
    for name, groups in _groupings(samples):
        if len(set(groups)) < 2:
            raise ValueError(f"The cost study has only one {name}; measure at least two.")
    terms = np.array([terms_s(sample.work, study.speeds[sample.setting]) for sample in samples])
    seconds = np.array([sample.step_s.median_s for sample in samples])
    names = [sample.architecture for sample in samples]

    def corrected(kept: Mask) -> Model:
        own = [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
        return fit_corrected(terms[kept], seconds[kept], own)

    fits: Mapping[str, Callable[[Mask], Model]] = {
        "roofline": lambda kept: fit_roofline(terms[kept], seconds[kept]),
        "corrected": corrected,
    }
    held_out = {form: _hold_out(samples, terms, seconds, fit) for form, fit in fits.items()}
    unseen = {form: by_split["architecture"].mean_error for form, by_split in held_out.items()}
    better = unseen["corrected"] < BETTER_BY * unseen["roofline"]
    form = "corrected" if better else "roofline"
    rows = sorted(sample.rows for sample in samples)
    latents = sorted(sample.height * sample.width for sample in samples)
    everything = np.ones(len(samples), dtype=np.bool_)
    model = fits[form](everything)
    return Predictor(form, model, held_out, (rows[0], rows[-1]), (latents[0], latents[-1]))


def _groupings(samples: Sequence[Sample]) -> Iterator[tuple[str, list[Hashable]]]:
    yield "architecture", [sample.architecture for sample in samples]
    yield "batch", [sample.rows for sample in samples]
    yield "size", [(sample.height, sample.width) for sample in samples]
    yield "setting", [sample.setting for sample in samples]


def _hold_out(
    samples: Sequence[Sample], terms: Array, seconds: Array, fit: Callable[[Mask], Model]
) -> dict[str, HeldOut]:
    found: dict[str, HeldOut] = {}
    for name, groups in _groupings(samples):
        errors = np.empty(len(samples))
        for out, model in _left_out(groups, fit):
            errors[out] = model.log_s(terms[out]) - np.log(seconds[out])
        found[name] = HeldOut(errors, tuple(groups))
    batch, size = found.pop("batch"), found.pop("size")
    both = HeldOut(np.concatenate([batch.errors, size.errors]), (*batch.groups, *size.groups))
    return {
        "architecture": found["architecture"],
        "batch or size": both,
        "setting": found["setting"],
    }
