"""Variants of a step engine that compute next to nothing and bill virtual seconds.

The engine around them is the real one: its desk, batches, slots, plans and exits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import diffusers
import numpy as np
import torch

from pipelines.decoding import Decoder
from pipelines.encoding import Embedding, Encoder
from pipelines.execution import Denoiser, Execution
from pipelines.jobs import Picture
from pipelines.loading import Variant

library: Any = diffusers  # its classes are untyped
SIDE = 8
"""Pixels along a side: one latent number a channel."""

KEPT = "kept"
"""A prompt that begins so stands in every encoder's cache already."""

UNGUIDED = frozenset({"turbo"})
NOISE = library.DDIMScheduler(prediction_type="epsilon", clip_sample=False, steps_offset=1)


class RowCosts:
    """Seconds of one kind of engine; `pace` scales all of them.

    A step costs by the rows that the model is called with: one a job, and one more if it is guided.
    """

    def __init__(self, pace: float = 1.0) -> None:
        self._pace = pace

    def encode_s(self, variant: str) -> float:
        return self._pace * 0.0131

    def rows_s(self, variant: str, rows: int) -> float:
        return self._pace * (0.0223 + 0.00417 * rows) * (1.0 if variant == "full" else 0.53)

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        twice = 0 if variant in UNGUIDED else batch if guided is None else guided
        return self.rows_s(variant, batch + twice)

    def decode_s(self, variant: str, batch: int) -> float:
        return self._pace * (0.0057 + 0.0119 * batch)


class Bill:
    """The virtual seconds that the work under way has cost so far."""

    def __init__(self) -> None:
        self.due_s = 0.0

    def charge(self, time_s: float) -> None:
        self.due_s += time_s

    def settle(self) -> float:
        paid_s, self.due_s = self.due_s, 0.0
        return paid_s


class BilledEncoder:
    tokens_max = 77

    def __init__(self, name: str, costs: RowCosts, bill: Bill) -> None:
        self._name, self._costs, self._bill = name, costs, bill
        self._known: set[str | None] = {None}

    def check_length(self, text: str) -> None:
        pass

    def encode(self, texts: Sequence[str | None]) -> list[Embedding]:
        for text in dict.fromkeys(texts):
            if text not in self._known and not (text or "").startswith(KEPT):
                self._bill.charge(self._costs.encode_s(self._name))
            self._known.add(text)
        return [Embedding(torch.zeros(1, 1, 1), None) for _ in texts]

    def rehearse(self) -> None:
        pass


class BilledDecoder:
    def __init__(self, name: str, costs: RowCosts, bill: Bill) -> None:
        self._name, self._costs, self._bill = name, costs, bill

    def decode(self, latents: torch.Tensor) -> list[Picture | None]:
        self._bill.charge(self._costs.decode_s(self._name, len(latents)))
        return [np.zeros((SIDE, SIDE, 3), np.uint8) for _ in latents]


class BilledUNet:
    device = torch.device("cpu")
    config = SimpleNamespace(in_channels=1, sample_size=1)

    def __init__(self, name: str, costs: RowCosts, bill: Bill) -> None:
        self._name, self._costs, self._bill = name, costs, bill

    def __call__(self, inputs: torch.Tensor, *rest: Any, **named: Any) -> tuple[torch.Tensor]:
        self._bill.charge(self._costs.rows_s(self._name, len(inputs)))
        return (0.1 * inputs,)


def spell(text: str, **_: Any) -> Any:
    """A tokenizer to which every letter is a token, with a mark before and after."""
    return SimpleNamespace(input_ids=[0, *map(ord, text), 0])


def variant(name: str, costs: RowCosts, bill: Bill) -> Variant:
    guided = name not in UNGUIDED
    unet = BilledUNet(name, costs, bill)
    pipeline = SimpleNamespace(
        unet=unet, scheduler=NOISE, vae_scale_factor=SIDE, tokenizer=spell, config={}
    )
    return Variant(
        name=name,
        pipeline=pipeline,
        dtype="float32",
        device=torch.device("cpu"),
        offload="none",
        quantisation="none",
        sampler="ddim",
        steps=20,
        guidance_scale=5.0 if guided else 1.0,
        fixed_schedule=not guided,
        guided=guided,
        encoder=cast(Encoder, BilledEncoder(name, costs, bill)),
        decoder=cast(Decoder, BilledDecoder(name, costs, bill)),
        denoiser=Denoiser(unet, Execution()),
        autoencoder_digest="one",
    )


def variants(names: Sequence[str], costs: RowCosts, bill: Bill) -> Mapping[str, Variant]:
    return {name: variant(name, costs, bill) for name in names}
