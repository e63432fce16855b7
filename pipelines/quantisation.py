"""UNets with 8-bit weights, by torchao.

Only the linear layers of the attention blocks are quantised: 64 % of the floating-point operations
of SDXL's UNet at 1024 x 1024, 29 % of SD 1.5's at 512 x 512 (counted on the architectures of
pipelines.benchmarks). Convolutions and the embeddings of time and size stay as they are.

torchao is no requirement of the server's: where it is installed diffusers imports it at every start,
which takes half a second and says on stderr what it does not find.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Literal, get_args

import torch

TORCHAO = "torchao==0.18.0"
"""The version that this was tested with."""

Quantisation = Literal["none", "int8_weights", "int8", "float8"]
FLOAT8_CAPABILITY = (8, 9)
"""The first CUDA compute capability with 8-bit floating-point matrix products."""

MULTIPLE_OF: dict[str, int] = {"int8_weights": 1, "int8": 8, "float8": 16}
"""What both sides of a weight matrix must be multiples of for the 8-bit products."""


def check_quantisation(
    quantisation: str, dtype: torch.dtype, device: torch.device, *, compiled: bool
) -> None:
    """ValueError, in one sentence, if weights cannot be quantised that way here.

    `compiled`: whether torch.compile will take the model.
    """
    if quantisation not in get_args(Quantisation):
        known = ", ".join(get_args(Quantisation))
        raise ValueError(f"quantisation must be {known}, not {quantisation!r}.")
    if quantisation != "none" and importlib.util.find_spec("torchao") is None:
        raise ValueError(
            f"quantisation {quantisation!r} needs the package torchao; install {TORCHAO}, or use "
            "'none'."
        )
    if quantisation == "int8" and device.type == "cuda" and not compiled:
        raise ValueError(
            "quantisation 'int8' on a CUDA device needs compile 'inductor', for its uncompiled "
            "kernels make the host wait at every layer; use that, or 'int8_weights'."
        )
    if quantisation != "float8":
        return
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < FLOAT8_CAPABILITY:
        raise ValueError(
            "quantisation 'float8' needs a CUDA device of compute capability 8.9 or more (Ada, "
            "Hopper or later); use 'int8' or 'int8_weights'."
        )
    if dtype != torch.bfloat16:
        raise ValueError("quantisation 'float8' needs dtype bfloat16; set that.")


def quantise(unet: Any, quantisation: Quantisation) -> int:
    """Replace the weights of the UNet's attention blocks, in place; returns how many layers.

    "int8_weights" keeps 8-bit integers, one scale a row, and multiplies in the model's type: half
    the memory. "int8" also rounds the activations, one scale a row, and multiplies integers.
    "float8" does the same in e4m3. ValueError if the model has no layer that fits.
    """
    if quantisation == "none":
        return 0
    from torchao import quantize_  # type: ignore[import-untyped]

    chosen = {
        name
        for name, module in unet.named_modules()
        if _fits(name, module, MULTIPLE_OF[quantisation])
    }
    if not chosen:
        raise ValueError(
            f"quantisation {quantisation!r} finds no attention layer whose sides are multiples of "
            f"{MULTIPLE_OF[quantisation]}; use 'none'."
        )
    quantize_(unet, _settings(quantisation, unet.device), filter_fn=lambda _, name: name in chosen)
    return len(chosen)


def _fits(name: str, module: torch.nn.Module, multiple: int) -> bool:
    if not isinstance(module, torch.nn.Linear) or "attentions." not in name:
        return False
    return module.in_features % multiple == 0 and module.out_features % multiple == 0


def _settings(quantisation: Quantisation, device: torch.device) -> Any:
    """torchao's own; the compiler's settings stay with the model that is compiled."""
    from torchao import quantization
    from torchao.utils import should_reduce_range  # type: ignore[import-untyped]

    if quantisation == "int8_weights":
        return quantization.Int8WeightOnlyConfig(set_inductor_config=False)
    if quantisation == "int8":
        return quantization.Int8DynamicActivationInt8WeightConfig(
            set_inductor_config=False, reduce_range=should_reduce_range(device)
        )
    return quantization.Float8DynamicActivationFloat8WeightConfig(
        granularity=quantization.PerRow(), set_inductor_config=False
    )
