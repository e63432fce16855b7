"""Pictures as bytes: PNG, JPEG and WebP."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

ImageFormat = Literal["png", "jpeg", "webp"]
MEDIA_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
PNG_QUICK_FROM = 512 * 512
"""Pixels from which PNG is compressed by the quickest level: a smooth picture of 1024x1024 with a
little grain takes 93 ms and 1.5 MB so, and 730 ms and 1.3 MB at Pillow's own level."""
FULL_COLOUR_QUALITY = 90  # from here on, JPEG keeps colour at full resolution


def encode_image(
    image: npt.NDArray[np.uint8], output_format: str = "png", output_compression: int = 100
) -> bytes:
    """The picture (height, width, 3) as a file's bytes.

    `output_compression` is OpenAI's field of that name: 0 gives the smallest file, 100 the best
    picture. PNG is lossless and ignores it. ValueError for another format, number or array.
    """
    if output_format not in MEDIA_TYPES:
        raise ValueError(
            f"output_format {output_format!r} is unknown; use one of {', '.join(MEDIA_TYPES)}."
        )
    if not 0 <= output_compression <= 100:
        raise ValueError(f"output_compression must be 0 to 100, got {output_compression}.")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"A picture must be uint8 of shape (height, width, 3), got {image.dtype} {image.shape}."
        )
    buffer = io.BytesIO()
    picture = Image.fromarray(image)
    if output_format == "png":
        pixels = picture.width * picture.height
        picture.save(buffer, "PNG", compress_level=6 if pixels < PNG_QUICK_FROM else 1)
    elif output_format == "webp":
        picture.save(buffer, "WEBP", quality=output_compression)
    else:
        subsampling = 0 if output_compression >= FULL_COLOUR_QUALITY else 2
        picture.save(buffer, "JPEG", quality=output_compression, subsampling=subsampling)
    return buffer.getvalue()
