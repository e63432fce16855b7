"""8-bit weights: pictures near the float's, and a sentence where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.execution import Execution
from pipelines.loading import LoadError, Variant, load_variant
from pipelines.quantisation import check_quantisation, quantise
from tests.pipelines.test_execution import compilers_warnings, model_inputs
from tests.pipelines.test_placement import picture

EMBEDDED = Path(__file__).parents[2] / "pipelines" / "embedded" / "weights" / "full"
MEAN_OF_255 = {"int8_weights": 0.5, "int8": 1.5}
"""Bounds on a picture's mean difference, in levels of 255. Measured over three pictures each of the
embedded model and the two tiny ones: at most 0.25 and 0.69."""
CARD = torch.device("cuda:0")

needs_float8 = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 9),
    reason="needs a CUDA device of compute capability 8.9 or more: float8 products",
)


def whole_picture(variant: Variant, size: int, steps: int) -> npt.NDArray[np.float64]:
    """What the library's pipeline makes with the variant's networks, in levels of 255."""
    made = variant.pipeline(
        "a red circle",
        num_inference_steps=steps,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(0),
        width=size,
        height=size,
        output_type="np",
    )
    return 255 * np.asarray(made.images[0], dtype=np.float64)


@pytest.mark.parametrize("quantisation", ["int8_weights", "int8"])
@pytest.mark.parametrize("family", ["v_prediction", "xl", "embedded"])
def test_pictures_stay_near_the_floats(
    folders: dict[str, Path], family: str, quantisation: Any
) -> None:
    source, size, steps = (EMBEDDED, 64, 12) if family == "embedded" else (folders[family], 16, 6)
    exact = whole_picture(load_variant("v", source), size, steps)
    variant = load_variant("v", source, quantisation=quantisation)
    difference = np.abs(whole_picture(variant, size, steps) - exact)
    assert 0 < difference.mean() <= MEAN_OF_255[quantisation]


def test_only_attention_layers_are_quantised(folders: dict[str, Path]) -> None:
    plain = load_variant("v", folders["xl"])
    variant = load_variant("v", folders["xl"], quantisation="int8_weights")
    before, after = (dict(v.unet.named_parameters()) for v in (plain, variant))
    changed = {name for name in after if type(after[name].data) is not type(before[name].data)}
    linear = {
        f"{name}.weight"
        for name, module in plain.unet.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert changed == {name for name in linear if ".attentions." in name}
    assert linear - changed  # the embeddings of time and size
    assert variant.unet.dtype == torch.float32


def test_quantised_networks_can_be_offloaded_whole(folders: dict[str, Path]) -> None:
    here = load_variant("v", folders["xl"], quantisation="int8_weights")
    offloaded = load_variant("v", folders["xl"], quantisation="int8_weights", offload="model")
    outputs, pixels = picture(here)
    for _ in range(2):
        again, same_pixels = picture(offloaded)
        assert torch.equal(again, outputs)
        assert np.array_equal(same_pixels, pixels)


def test_a_model_without_layers_that_fit_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="finds no attention layer"):
        quantise(load_variant("v", folders["xl"]).pipeline.text_encoder, "int8")


@pytest.mark.parametrize(
    ("quantisation", "said"),
    [
        ("int4", "quantisation must be none, int8_weights, int8, float8, not 'int4'"),
        ("float8", "'float8' needs a CUDA device of compute capability 8.9"),
    ],
)
def test_quantisations_that_cannot_be_are_refused(
    folders: dict[str, Path], quantisation: Any, said: str
) -> None:
    with pytest.raises(LoadError, match=f"'v': .*{said}"):
        load_variant("v", folders["v_prediction"], quantisation=quantisation)


def test_what_a_card_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    with pytest.raises(ValueError, match=r"8\.9 or more"):
        check_quantisation("float8", torch.bfloat16, CARD, compiled=True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    with pytest.raises(ValueError, match="needs dtype bfloat16"):
        check_quantisation("float8", torch.float16, CARD, compiled=True)
    with pytest.raises(ValueError, match="'int8' on a CUDA device needs compile 'inductor'"):
        check_quantisation("int8", torch.bfloat16, CARD, compiled=False)
    check_quantisation("float8", torch.bfloat16, CARD, compiled=False)
    check_quantisation("int8_weights", torch.float16, CARD, compiled=False)


@needs_float8
@compilers_warnings
@pytest.mark.parametrize(
    ("quantisation", "compile_"),
    [
        ("int8_weights", "cuda_graphs"),
        ("int8", "inductor"),
        ("float8", "none"),
        ("float8", "inductor"),
        ("float8", "cuda_graphs"),
    ],
)
def test_on_a_card_quantised_models_stay_near_bfloat16(
    folders: dict[str, Path], quantisation: Any, compile_: Any
) -> None:
    options: dict[str, Any] = {"device": "cuda", "dtype": "bfloat16"}
    plain = load_variant("v", folders["xl"], **options)
    options["execution"] = Execution(compile=compile_, channels_last=True)
    variant = load_variant("v", folders["xl"], quantisation=quantisation, **options)
    given = model_inputs(plain, 4)
    expected = plain.denoiser(*given).float()
    difference = variant.denoiser(*given).float() - expected
    assert difference.norm() < 0.1 * expected.norm()


def test_what_has_to_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs the package torchao; install torchao==0\.18\.0"):
        check_quantisation("int8", torch.float32, torch.device("cpu"), compiled=False)
