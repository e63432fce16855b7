"""Latents to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.decoding import Decoder
from pipelines.loading import Variant


@torch.inference_mode()
def test_a_batch_of_latents_gives_one_picture_each(full: Variant) -> None:
    torch.manual_seed(0)
    latents = torch.randn(3, 4, 8, 8)
    together = full.decoder.decode(latents)
    (alone,) = full.decoder.decode(latents[1:2])
    assert len(together) == 3
    second = together[1]
    assert second is not None
    assert alone is not None
    assert second.dtype == np.uint8
    assert second.shape == (16, 16, 3)
    assert int(np.abs(second.astype(int) - alone.astype(int)).max()) <= 1


@torch.inference_mode()
def test_latents_that_are_no_numbers_give_no_picture(full: Variant) -> None:
    latents = torch.zeros(2, 4, 8, 8)
    latents[0, 0, 0, 0] = float("nan")
    broken, sound = full.decoder.decode(latents)
    assert broken is None
    assert sound is not None


def test_an_autoencoder_with_channel_statistics_is_refused(full: Variant) -> None:
    class Config:
        latents_mean = (0.0,)
        scaling_factor = 1.0

    class Autoencoder:
        config = Config()

    with pytest.raises(ValueError, match="latents_mean"):
        Decoder(Autoencoder())
