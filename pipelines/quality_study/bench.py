"""Measures one setting after the other on the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.convergence import Audit
from pipelines.embedded.captions import read
from pipelines.embedded.judge import load_judge
from pipelines.embedded.scenes import PICTURE_PX, Scene
from pipelines.loading import Variant
from pipelines.quality import Pictures, accuracy, judged, score, unseen_prompts
from pipelines.quality_study.intervals import Estimate, bootstrap_mean, wilson
from pipelines.quality_study.measures import (
    Drawings,
    feature_distances,
    features_of,
    similarity,
)
from pipelines.quality_study.results import BOTH, CATEGORIES, Converged, MeanSteps, Point
from pipelines.quality_study.runs import AUDITED_SHARE, Made, Maker, Subject
from pipelines.quality_study.settings import Setting

_SEEDS_APART = 100_000  # between the pictures' seeds of neighbouring studies
_OTHER_PROMPTS = 50_000  # from where the seeds of the warm-up's pictures start


@dataclass(frozen=True)
class Reference:
    """The full pictures and what was learnt on them, category after category.

    right (2, N) of 0 and 1. `audits` are those of its own pictures, `known` those of the warm-up.
    """

    pictures: Pictures
    features: Tensor
    right: NDArray[np.float64]
    audits: Mapping[int, Audit]
    known: tuple[Audit, ...]


class Bench:
    """The prompts, the judge, the drawings, and the variants that are measured on them."""

    def __init__(
        self, variants: Mapping[str, Variant], *, prompts: int, seed: int, max_batch: int
    ) -> None:
        """`prompts` in each category. ValueError for variants that the judge cannot read."""
        for variant in variants.values():
            if variant.native_size != PICTURE_PX or variant.is_xl:
                raise ValueError(
                    f"Variant {variant.name!r} makes pictures of {variant.native_size} pixels; the"
                    f" judge reads those of the embedded model, {PICTURE_PX} x {PICTURE_PX}."
                )
        self._seed = seed
        self._prompts = prompts
        self._judge = load_judge()
        self._drawings = Drawings.of_held_out_scenes(self._judge, prompts, seed)
        self._maker = Maker(variants, max_batch, 1, seed)
        self._subjects = self._draw_subjects(prompts, seed, seed * _SEEDS_APART)

    def warm_up_audits(self, setting: Setting, per_category: int) -> tuple[Audit, ...]:
        """Audits of other prompts and seeds, for a convergence tuner to begin with."""
        first = self._seed * _SEEDS_APART + _OTHER_PROMPTS
        subjects = self._draw_subjects(per_category, self._seed + 1000, first)
        made = self._maker.audited(setting, subjects)
        # The categories come one after the other; a tuner weighs the newest apart, so mix them.
        order = np.random.default_rng(self._seed).permutation(len(subjects))
        return tuple(made.audits[int(index)] for index in order)

    def reference(self, setting: Setting, known: Sequence[Audit]) -> Reference:
        """Make the reference's pictures, audited on their way."""
        made = self._maker.audited(setting, self._subjects)
        return Reference(
            pictures=made.pictures,
            features=features_of(self._judge, made.pictures),
            right=self._right(judged(self._judge, made.pictures)),
            audits=made.audits,
            known=tuple(known),
        )

    def measure(self, setting: Setting, reference: Reference) -> Point:
        """Make the setting's pictures and say how good they are and what they took."""
        known = reference.known if setting.strategy == "converge" else ()
        made = self._maker.make(setting, self._subjects, known)
        features = features_of(self._judge, made.pictures)
        scenes = judged(self._judge, made.pictures)
        right = self._right(scenes)
        lost = reference.right - right
        return Point(
            setting=setting,
            pictures=len(made.pictures),
            steps=_mean_steps(made),
            ended_in=made.facts[-1].variant,
            accuracy={
                name: wilson(int(one.sum()), len(one))
                for name, one in zip(CATEGORIES, right, strict=True)
            },
            attributes=self._attributes(scenes),
            right={
                name: "".join(str(int(flag)) for flag in one)
                for name, one in zip(CATEGORIES, right, strict=True)
            },
            lost={
                name: bootstrap_mean(one, self._seed)
                for name, one in (
                    *((c, lost[i : i + 1]) for i, c in enumerate(CATEGORIES)),
                    (BOTH, lost),
                )
            },
            ssim=self._mean(similarity(made.pictures, reference.pictures)),
            feature_distance=self._mean(feature_distances(features, reference.features)),
            fid=self._drawings.fid(features),
            kid=self._drawings.kid(features),
            converged=self._converged(setting, made, reference),
        )

    def other_drawings(self) -> dict[str, float]:
        """FID and KID of other drawings: what perfect pictures in this number would get."""
        others = Drawings.of_held_out_scenes(self._judge, self._prompts, self._seed + 1).features
        return {"fid": self._drawings.fid(others), "kid": self._drawings.kid(others)}

    def _draw_subjects(self, per_category: int, seed: int, first: int) -> list[Subject]:
        prompts = [
            prompt
            for items in (1, 2)
            for prompt in unseen_prompts(per_category, seed + items, items=items)
        ]
        return [Subject(prompt, first + number) for number, prompt in enumerate(prompts)]

    def _right(self, scenes: Sequence[Scene]) -> NDArray[np.float64]:
        """(2, N): 1 where every attribute of the prompt is right."""
        flags = [
            all(score(read(subject.prompt), scene).values())
            for subject, scene in zip(self._subjects, scenes, strict=True)
        ]
        return np.array(flags, dtype=np.float64).reshape(len(CATEGORIES), self._prompts)

    def _attributes(self, scenes: Sequence[Scene]) -> dict[str, dict[str, float]]:
        figures = {}
        for index, name in enumerate(CATEGORIES):
            chosen = slice(index * self._prompts, (index + 1) * self._prompts)
            prompts = [subject.prompt for subject in self._subjects[chosen]]
            figures[name] = dict(accuracy(prompts, scenes[chosen]).attributes)
        return figures

    def _mean(self, values: NDArray[np.float64]) -> Estimate:
        return bootstrap_mean(values.reshape(len(CATEGORIES), self._prompts), self._seed)

    def _converged(self, setting: Setting, made: Made, reference: Reference) -> Converged | None:
        if setting.loss_budget is None or made.tuner is None:
            return None
        losses = np.zeros(len(made.facts))
        exited = np.zeros(len(made.facts), dtype=bool)
        for index, facts in enumerate(made.facts):
            if facts.early_exit == "converged":
                exited[index] = True
                losses[index] = reference.audits[index].losses[facts.steps_run - 1]
        return Converged(
            loss_budget=setting.loss_budget,
            threshold=made.tuner.threshold,
            audited_share=AUDITED_SHARE,
            exited_share=float(exited.mean()),
            loss=bootstrap_mean(losses[exited][None, :], self._seed) if exited.any() else None,
            loss_of_all=self._mean(losses),
        )


def _mean_steps(made: Made) -> dict[str, MeanSteps]:
    names = sorted({name for steps in made.steps for name in steps})
    return {
        name: MeanSteps(
            guided=float(np.mean([one[name].guided if name in one else 0 for one in made.steps])),
            plain=float(np.mean([one[name].plain if name in one else 0 for one in made.steps])),
        )
        for name in names
    }
