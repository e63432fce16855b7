"""One training loop for every stage: seeded batches, warm-up and cosine decay, moving averages, checkpoints, resume.

Everything that is random in step k is drawn from (seed, k), so a resumed run continues with exactly the batches that an
uninterrupted one would have seen. Checkpoints are safetensors: weights, averages and Adam's moments, no code.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CHECKPOINT_EVERY_S = 120.0
LOG_EVERY_STEPS = 100


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stage is trained. `decay` is the moving average's share of the old weights per step."""

    steps: int
    batch: int
    learning_rate: float
    seed: int
    decay: float = 0.999
    weight_decay: float = 0.01
    warmup_share: float = 0.03


@dataclass(frozen=True, slots=True)
class Draw:
    """The randomness of one step: numpy's for scenes and wording, torch's (on CPU) for noise."""

    step: int
    numpy: np.random.Generator
    torch: torch.Generator


BatchLoss = Callable[[Draw], Tensor]


def draw_for(seed: int, step: int) -> Draw:
    """The generators of step `step` of a run with `seed`."""
    rng = np.random.default_rng([seed, step])
    return Draw(step, rng, torch.Generator("cpu").manual_seed(int(rng.integers(2**62))))


def train(
    name: str,
    recipe: Recipe,
    modules: Mapping[str, nn.Module],
    batch_loss: BatchLoss,
    folder: Path,
    *,
    averages: Mapping[str, nn.Module] | None = None,
) -> list[tuple[int, float]]:
    """Train `modules` in place; at the end they hold their moving averages. Returns the (step, loss) log.

    A checkpoint `folder/name.safetensors` is written every two minutes and resumed from if it is there. `averages` may pass
    modules that are to hold the running averages during training (distillation needs its average as teacher).
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters = {
        f"{key}.{inner}": value
        for key, module in modules.items()
        for inner, value in module.named_parameters()
        if value.requires_grad
    }
    held = {
        f"{key}.{inner}": value
        for key, module in (averages or {}).items()
        for inner, value in module.named_parameters()
    }
    average = {
        key: held[key].detach() if key in held else value.detach().clone()
        for key, value in parameters.items()
    }
    optimiser = torch.optim.AdamW(
        parameters.values(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        betas=(0.9, 0.99),
    )
    checkpoint = folder / f"{name}.safetensors"
    start, log = _resume(checkpoint, parameters, average, optimiser)
    recent, saved_at = [], time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
    )
    for module in modules.values():
        module.train()
    with Progress(*columns) as progress:
        task = progress.add_task(
            name, total=recipe.steps, completed=start, loss=log[-1][1] if log else math.nan
        )
        for step in range(start, recipe.steps):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _rate(step, recipe)
            loss = batch_loss(draw_for(recipe.seed, step))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
            optimiser.step()
            decay = min(recipe.decay, (step + 1) / (step + 10))
            torch._foreach_lerp_(
                list(average.values()), [value.detach() for value in parameters.values()], 1 - decay
            )
            recent.append(loss.detach())
            if (step + 1) % LOG_EVERY_STEPS == 0 or step + 1 == recipe.steps:
                mean_loss = float(torch.stack(recent).mean())
                if not math.isfinite(mean_loss):
                    raise FloatingPointError(
                        f"Stage {name} diverged at step {step + 1}: its loss is {mean_loss}; lower its learning rate."
                    )
                log.append((step + 1, mean_loss))
                recent = []
                progress.update(task, loss=mean_loss)
                if not progress.console.is_terminal:
                    progress.console.print(
                        f"{name}: step {step + 1} of {recipe.steps}, loss {mean_loss:.5f}"
                    )
            progress.update(task, completed=step + 1)
            if time.monotonic() - saved_at > CHECKPOINT_EVERY_S or step + 1 == recipe.steps:
                _save(checkpoint, step + 1, log, parameters, average, optimiser)
                saved_at = time.monotonic()
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(average[key])
    for module in modules.values():
        module.eval().requires_grad_(False)
    return log


def _rate(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate: linear warm-up, then half a cosine down to 1 %."""
    warmup = max(1, int(recipe.steps * recipe.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.01 + 0.99 * 0.5 * (
        1 + math.cos(math.pi * (step - warmup) / max(1, recipe.steps - warmup))
    )


def _save(
    path: Path,
    step: int,
    log: list[tuple[int, float]],
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.AdamW,
) -> None:
    tensors: dict[str, Tensor] = {}
    for key, value in parameters.items():
        tensors[f"weight/{key}"] = value.detach().contiguous()
        tensors[f"average/{key}"] = average[key].contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{moment}/{key}"] = optimiser.state[value][moment].contiguous()
    unfinished = path.with_suffix(".part")
    save_file(tensors, unfinished, metadata={"step": str(step), "log": json.dumps(log)})
    unfinished.replace(path)


def _resume(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimiser: torch.optim.AdamW,
) -> tuple[int, list[tuple[int, float]]]:
    if not path.exists():
        return 0, []
    with safe_open(path, framework="pt") as stored, torch.no_grad():
        metadata = stored.metadata()
        for key, value in parameters.items():
            value.copy_(stored.get_tensor(f"weight/{key}"))
            average[key].copy_(stored.get_tensor(f"average/{key}"))
            moments = {
                moment: stored.get_tensor(f"{moment}/{key}").to(value.device)
                for moment in ("exp_avg", "exp_avg_sq")
            }
            optimiser.state[value] = {"step": torch.tensor(float(metadata["step"])), **moments}
    return int(metadata["step"]), [
        (int(step), float(loss)) for step, loss in json.loads(metadata["log"])
    ]


def pick_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
