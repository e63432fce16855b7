"""What the study measured, as data: kept in quality.json, and priced without making a picture again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.costs import CostTable
from pipelines.quality_study.intervals import Estimate
from pipelines.quality_study.settings import Setting

FORMAT_VERSION = 1
CATEGORIES: tuple[str, ...] = ("one_object", "two_objects")
BOTH = "both"
_COST_BATCH_MAX = 8


@dataclass(frozen=True, slots=True)
class MeanSteps:
    """Mean steps a picture ran in one variant: with guidance (two network rows each), and without (one)."""

    guided: float
    plain: float

    @property
    def rows(self) -> float:
        """Mean evaluations of the network a picture."""
        return 2 * self.guided + self.plain


@dataclass(frozen=True, slots=True)
class Converged:
    """What the convergence exit promised and kept.

    `threshold` is the tuner's last. Of all pictures, `exited_share` ended early; `loss` is the mean
    of their ||e_exit - e_last|| / ||e_last||, None if none did; `loss_of_all` counts the others as 0.
    """

    loss_budget: float
    threshold: float
    audited_share: float
    exited_share: float
    loss: Estimate | None
    loss_of_all: Estimate


@dataclass(frozen=True, slots=True)
class Point:
    """One setting measured.

    `steps` by variant, `ended_in` the variant that ran the last step. `accuracy` by category:
    the share of pictures with every attribute of the prompt right; `attributes` the share of each;
    `right` a 1 or 0 for every picture. `lost` by category and for both: accuracy lost against the
    reference on the same prompts and seeds (0.01 is a point). `ssim` and `feature_distance` are to
    the reference's picture of the same prompt and seed.
    """

    setting: Setting
    pictures: int
    steps: Mapping[str, MeanSteps]
    ended_in: str
    accuracy: Mapping[str, Estimate]
    attributes: Mapping[str, Mapping[str, float]]
    right: Mapping[str, str]
    lost: Mapping[str, Estimate]
    ssim: Estimate
    feature_distance: Estimate
    fid: float
    kid: float
    converged: Converged | None

    @property
    def steps_run(self) -> float:
        """Mean steps a picture."""
        return sum(one.guided + one.plain for one in self.steps.values())

    @property
    def guided_steps(self) -> float:
        """Mean steps with guidance a picture."""
        return sum(one.guided for one in self.steps.values())

    @property
    def rows(self) -> float:
        """Mean network evaluations a picture."""
        return sum(one.rows for one in self.steps.values())

    @property
    def mean_accuracy(self) -> float:
        """Over the categories, which weigh alike."""
        return sum(one.value for one in self.accuracy.values()) / len(self.accuracy)


@dataclass(frozen=True, slots=True)
class CurveStep:
    """Medians over the reference's pictures after one step: as an `Audit` has them.

    `change` is None after the first step, which has nothing to be compared with.
    """

    step: int
    change: float | None
    loss: float


@dataclass(frozen=True)
class Study:
    """All settings measured; the first point is the reference.

    `meta` says how and on what: command, commit, machine, versions, seed, prompts.
    `fixed_schedules` are the variants that cannot be re-planned, `row_gflops` the billion
    operations of one network evaluation by variant. `drawings` are FID and KID of other drawings
    of the same kinds of scenes. `curve` is how the reference's clean estimate settles.
    """

    meta: Mapping[str, Any]
    fixed_schedules: tuple[str, ...]
    row_gflops: Mapping[str, float]
    drawings: Mapping[str, float]
    curve: tuple[CurveStep, ...]
    points: tuple[Point, ...]

    @property
    def reference(self) -> Point:
        """What every other setting is held against."""
        return self.points[0]

    @cached_property
    def by_name(self) -> Mapping[str, Point]:
        """Points by their setting's name."""
        return {point.setting.name: point for point in self.points}

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        document = {"version": FORMAT_VERSION, **asdict(self)}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Study:
        """Read what `save` wrote; ValueError says what is wrong with the file."""
        again = "make it with `python -m pipelines quality`"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or 'cannot be read'}; {again}.") from error
        except ValueError as error:
            raise ValueError(f"{path} is not JSON ({error}); {again}.") from error
        try:
            version = document.pop("version", None)
            if version != FORMAT_VERSION:
                raise ValueError(f"format version {version!r} where {FORMAT_VERSION} is expected")
            points = tuple(_point(one) for one in document.pop("points"))
            if not points:
                raise ValueError("it holds no settings")
            fixed = tuple(document.pop("fixed_schedules"))
            curve = tuple(CurveStep(**one) for one in document.pop("curve"))
            return cls(points=points, fixed_schedules=fixed, curve=curve, **document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is not usable: {error}; {again}.") from error


def _point(one: dict[str, Any]) -> Point:
    converged = one.pop("converged")
    if converged is not None:
        loss = converged.pop("loss")
        converged = Converged(
            loss=None if loss is None else Estimate(**loss),
            loss_of_all=Estimate(**converged.pop("loss_of_all")),
            **converged,
        )
    return Point(
        setting=Setting(**one.pop("setting")),
        steps={name: MeanSteps(**steps) for name, steps in one.pop("steps").items()},
        accuracy={name: Estimate(**value) for name, value in one.pop("accuracy").items()},
        lost={name: Estimate(**value) for name, value in one.pop("lost").items()},
        ssim=Estimate(**one.pop("ssim")),
        feature_distance=Estimate(**one.pop("feature_distance")),
        converged=converged,
        **one,
    )


@dataclass(frozen=True)
class Pricing:
    """What one picture of each setting costs: engine seconds, or without a table network operations.

    `values` are in the table's seconds a picture, or in billions of operations; `unit` says which,
    in words for a heading. `shares` are the same relative to the reference.
    """

    unit: str
    values: tuple[float, ...]
    source: str

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(value / self.values[0] for value in self.values)


def price(study: Study, table: CostTable | None = None) -> Pricing:
    """Price every point.

    With a table: encoding one prompt, the steps at the largest batch (at most 8) that the table has
    for all variants, and the decoding. Without a table: rows times the operations of one.
    ValueError if the table lacks a variant or a batch.
    """
    if table is None:
        operations = tuple(
            sum(steps.rows * study.row_gflops[name] for name, steps in point.steps.items())
            for point in study.points
        )
        return Pricing("GFLOP", operations, "operations of the denoising networks alone")
    batch = min(_COST_BATCH_MAX, *(table.max_batch(name) for name in study.row_gflops))
    seconds = tuple(_seconds(point, table, batch) for point in study.points)
    source = f"at batch {batch}, {table} on {table.machine}, commit {table.commit}"
    return Pricing("s", seconds, source)


def _seconds(point: Point, table: CostTable, batch: int) -> float:
    total_s = sum(table.encode_s(name) for name in {point.setting.variant, point.ended_in})
    total_s += table.decode_s(point.ended_in, batch) / batch
    for name, steps in point.steps.items():
        if steps.guided:
            total_s += steps.guided * table.step_s(name, batch) / batch
        if steps.plain:
            total_s += steps.plain * table.step_s(name, batch, 0) / batch
    return total_s
