"""Where a pipeline's networks lie, and how they come to the device that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from accelerate import cpu_offload  # type: ignore[import-untyped]
from accelerate.hooks import ModelHook, add_hook_to_module  # type: ignore[import-untyped]
from accelerate.utils import send_to_device  # type: ignore[import-untyped]
from diffusers.models.attention_processor import AttnProcessor2_0

Offload = Literal["none", "model", "layers"]
BFLOAT16_CAPABILITY = (8, 0)
"""The first CUDA compute capability with bfloat16 arithmetic."""


def execution_device(device: str) -> torch.device:
    """The device of that name, with its index where it has one.

    ValueError, in one sentence, if it cannot be used here.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(f"device {device!r} is not usable: {reason}.") from error


def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """ValueError if `device` has no arithmetic for `dtype`.

    float16 on a CPU works, slowly unless the processor has half-precision instructions.
    """
    if device.type != "cuda" or dtype != torch.bfloat16:
        return
    capability = torch.cuda.get_device_capability(device)
    if capability < BFLOAT16_CAPABILITY:
        raise ValueError(
            f"{torch.cuda.get_device_name(device)} has no bfloat16 arithmetic (compute capability "
            f"{_version(capability)}, it takes {_version(BFLOAT16_CAPABILITY)}); use float16."
        )


def check_offload(offload: str, *, compiled: bool, quantised: bool) -> None:
    """ValueError for an unknown name, or together with something that needs weights to stay."""
    if offload not in get_args(Offload):
        raise ValueError(f"offload must be {', '.join(get_args(Offload))}, not {offload!r}.")
    if offload != "none" and compiled:
        raise ValueError(
            f"offload {offload!r} moves weights about, which compiled graphs do not follow; set "
            "compile to 'none' or offload to 'none'."
        )
    if offload == "layers" and quantised:
        raise ValueError(
            "offload 'layers' does not move quantised layers; use offload 'model' or no "
            "quantisation."
        )


def networks(pipeline: Any) -> list[torch.nn.Module]:
    """The text encoders, the UNet and the autoencoder, in the order of a picture's way."""
    names = ("text_encoder", "text_encoder_2", "unet", "vae")
    parts = (getattr(pipeline, name, None) for name in names)
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def settle_networks(pipeline: Any, *, channels_last: bool) -> None:
    """Inference only, attention in one fused kernel, and convolutions laid out as asked for."""
    for network in networks(pipeline):
        network.eval()
        network.requires_grad_(False)
    # The library's own choice too; said here because graphs and speed depend on it.
    pipeline.unet.set_attn_processor(AttnProcessor2_0())
    if channels_last:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)


def place(pipeline: Any, device: torch.device, offload: Offload) -> None:
    """Bring the networks to `device`, or have them brought there when they are called.

    "model" keeps the one network on the device that ran last, and the others in main memory: they
    must then be called from one thread. "layers" keeps everything in main memory and brings one
    layer at a time: slowest, and fits almost anywhere.
    """
    parts = networks(pipeline)
    if offload == "none":
        for network in parts:
            network.to(device)
    elif offload == "model":
        group = _Group(parts, device)
        for network in parts:
            add_hook_to_module(network, _BringsItsNetwork(group))
    else:
        for network in parts:
            # Parameters of the network itself belong to no layer, as diffusers knows too.
            cpu_offload(network, device, offload_buffers=bool(network._parameters))


class _Group:
    """Networks of which one at a time lies on the device.

    A chain of accelerate's `cpu_offload_with_hook` sends away only the network before, which fits a
    pipeline that runs from front to back once. Step batching goes back and forth between encoding,
    stepping and decoding, so here whoever is called sends all others away.
    """

    def __init__(self, members: Sequence[torch.nn.Module], device: torch.device) -> None:
        self.device = device
        self._members = tuple(members)
        self._present: torch.nn.Module | None = None
        for network in self._members:
            network.to("cpu")

    def bring(self, network: torch.nn.Module) -> None:
        if self._present is network:
            return
        with torch.inference_mode(False):  # weights outlive the call that brings them
            for other in self._members:
                if other is not network:
                    other.to("cpu")
            network.to(self.device)
        self._present = network


class _BringsItsNetwork(ModelHook):
    """Called by accelerate before a forward pass (and by diffusers before a decoding)."""

    def __init__(self, group: _Group) -> None:
        self._group = group

    def pre_forward(self, module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        self._group.bring(module)
        device = self._group.device
        return send_to_device(args, device), send_to_device(kwargs, device)


def _version(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
