"""Pictures as bytes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.images import MEDIA_TYPES, encode_image
from pipelines.jobs import Picture


def picture() -> Picture:
    tile = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (32, 1))
    return np.stack([tile, tile[:, ::-1], np.full_like(tile, 99)], axis=2)


@pytest.mark.parametrize("output_format", sorted(MEDIA_TYPES))
def test_each_format_reads_back_as_itself(output_format: str) -> None:
    with Image.open(io.BytesIO(encode_image(picture(), output_format))) as image:
        assert (image.format or "").lower() == output_format
        back = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(back - picture()).mean() < 2


def test_png_loses_nothing_at_any_compression() -> None:
    for compression in (0, 100):
        data = encode_image(picture(), "png", compression)
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image), picture())


def test_a_large_png_loses_nothing_either() -> None:
    large = np.tile(picture(), (16, 8, 1))
    with Image.open(io.BytesIO(encode_image(large))) as image:
        assert np.array_equal(np.asarray(image), large)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_more_compression_is_a_lower_number_and_a_smaller_file(output_format: str) -> None:
    noisy = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sizes = [len(encode_image(noisy, output_format, level)) for level in (0, 50, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 3


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="'gif' is unknown; use one of png"):
        encode_image(picture(), "gif")
    with pytest.raises(ValueError, match="0 to 100, got 101"):
        encode_image(picture(), "jpeg", 101)
    with pytest.raises(ValueError, match="uint8 of shape"):
        encode_image(picture()[:, :, 0])
