"""Latents to pixels."""

from __future__ import annotations

from typing import Any

import torch

from pipelines.jobs import Picture


class Decoder:
    """Decodes with the pipeline's autoencoder."""

    def __init__(self, autoencoder: Any) -> None:
        """ValueError for an autoencoder that normalises latents by channel statistics."""
        if getattr(autoencoder.config, "latents_mean", None) is not None:
            raise ValueError(
                "Autoencoders with latents_mean in their config are not handled; use one without."
            )
        self._autoencoder = autoencoder
        self._dtype: torch.dtype = autoencoder.dtype  # asking the model walks all of its layers
        self._scale = float(autoencoder.config.scaling_factor)
        self._shift = float(getattr(autoencoder.config, "shift_factor", None) or 0.0)

    def decode(self, latents: torch.Tensor) -> list[Picture | None]:
        """Pictures of `latents` (B, C, h, w) in one call; None where a pixel is not a number."""
        scaled = latents.to(self._dtype) / self._scale + self._shift
        decoded = self._autoencoder.decode(scaled, return_dict=False)[0].float()
        sound = torch.isfinite(decoded).flatten(1).all(1).tolist()
        unit = (decoded / 2 + 0.5).clamp(0, 1).nan_to_num()
        pixels = (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return [pixels[row].copy() if fine else None for row, fine in enumerate(sound)]
