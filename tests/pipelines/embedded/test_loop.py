"""The training loop: it learns, averages, and resumes exactly where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipelines.embedded.training.loop import BatchLoss, Draw, Recipe, train

RECIPE = Recipe(steps=60, batch=8, learning_rate=0.05, seed=5, decay=0.9)


def task(model: nn.Linear) -> BatchLoss:
    def loss(rng: Draw) -> Tensor:
        inputs = torch.randn(RECIPE.batch, 3, generator=rng.torch)
        return ((model(inputs) - inputs.sum(dim=1, keepdim=True)) ** 2).mean()

    return loss


def fresh() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def test_the_loss_falls_and_the_averaged_weights_are_left_in_the_model(tmp_path: Path) -> None:
    model = fresh()
    log = train("task", RECIPE, {"model": model}, task(model), tmp_path)
    assert log[-1][0] == RECIPE.steps
    torch.testing.assert_close(model.weight, torch.ones(1, 3), atol=0.1, rtol=0)
    assert not model.weight.requires_grad


def test_a_run_interrupted_and_resumed_ends_as_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fresh()
    train("task", RECIPE, {"model": whole}, task(whole), tmp_path / "whole")

    monkeypatch.setattr("pipelines.embedded.training.loop.CHECKPOINT_EVERY_S", -1.0)
    stopped = fresh()
    until_40 = task(stopped)

    def interrupted(rng: Draw) -> Tensor:
        if rng.step == 40:
            raise KeyboardInterrupt
        return until_40(rng)

    with pytest.raises(KeyboardInterrupt):
        train("task", RECIPE, {"model": stopped}, interrupted, tmp_path / "cut")
    resumed = fresh()
    train("task", RECIPE, {"model": resumed}, task(resumed), tmp_path / "cut")
    torch.testing.assert_close(resumed.weight, whole.weight)


def test_a_diverging_stage_says_so(tmp_path: Path) -> None:
    model = fresh()
    with pytest.raises(FloatingPointError, match="diverged at step"):
        train("bad", RECIPE, {"model": model}, lambda _: model.weight.sum() * torch.nan, tmp_path)
