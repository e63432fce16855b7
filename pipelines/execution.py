"""How a denoising model is called: eagerly, compiled, or as replayed CUDA graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

Compile = Literal["none", "inductor", "cuda_graphs"]


@dataclass(frozen=True, slots=True)
class Execution:
    """How a variant's networks run.

    `compile`: "none" calls the model as it is. `channels_last` lays the convolutions' weights out
    for tensor cores. `row_buckets` are the numbers of rows (pictures, and once more the guided
    ones) that the model may be called with, rising; empty means any number.
    """

    compile: Compile = "none"
    channels_last: bool = False
    row_buckets: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """ValueError if a setting is not one that can be."""
        if self.compile not in get_args(Compile):
            known = ", ".join(get_args(Compile))
            raise ValueError(f"compile must be one of {known}, not {self.compile!r}.")
        if any(rows < 1 for rows in self.row_buckets):
            raise ValueError(f"row_buckets must be at least 1, got {self.row_buckets}.")
        if list(self.row_buckets) != sorted(set(self.row_buckets)):
            raise ValueError(f"row_buckets must rise, got {self.row_buckets}.")


class Denoiser:
    """A UNet as a plain function of tensors. Nothing in a call makes the host wait."""

    def __init__(self, unet: Any, execution: Execution) -> None:
        """Take over a loaded UNet; `execution` says how to call it."""
        self.execution = execution
        self._unet = unet

    def rows_for(self, rows: int) -> int:
        """The number of rows to call with when `rows` are wanted: the smallest bucket that holds them.

        ValueError if no bucket does.
        """
        buckets = self.execution.row_buckets
        if not buckets:
            return rows
        fitting = next((bucket for bucket in buckets if bucket >= rows), None)
        if fitting is None:
            raise ValueError(
                f"The model is prepared for at most {buckets[-1]} rows in a call and {rows} are "
                "wanted; add a larger row bucket or serve with a smaller batch."
            )
        return fitting

    def __call__(
        self,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        tokens: torch.Tensor,
        added: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The model's outputs (R, C, h, w).

        `inputs` (R, C, h, w) in the model's type, `timesteps` (R,), `tokens` (R, positions, width);
        `added` are SDXL's "text_embeds" (R, width) and "time_ids" (R, 6).
        """
        outputs: torch.Tensor = self._unet(
            inputs,
            timesteps,
            encoder_hidden_states=tokens,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return outputs
