"""What a UNet call does and what a device can do, as numbers that predict how long the call takes.

The program's side is counted on torch's meta device: no weights, no arithmetic, only shapes. The
device's side is measured by short probes. After CDMPP (arXiv 2311.09690), which predicts the
latency of tensor programs it has never run, on devices it has never run them on, from the same two
sides; its learned embedding of the program is here a handful of counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from pipelines.cost_samples import DeviceSpeed, Work, WorkByRows
from pipelines.loading import DTYPES
from pipelines.probes import Probe, steady, timed

library: Any = diffusers  # its classes are untyped

MATMUL_SIDE = 512
CONV_CHANNELS, CONV_SIDE, CONV_ROWS = 96, 16, 4
COPY_BYTES = 2**26
USUAL_TOKENS = 77  # positions of CLIP text encoders
PROBE_CALLS = 5  # timed one after the other, every time that it is a probe's turn
SMALL_CALLS = 60
"""Operator calls in one timing of small calls: they are too short to be timed alone."""

_FREE = frozenset({"aten::_unsafe_view", "aten::empty", "aten::detach", "aten::lift_fresh"})


def count_work(
    config: Mapping[str, Any], latent: tuple[int, int], dtype: str, tokens: int
) -> WorkByRows:
    """Count one call of the UNet with that diffusers config, without weights.

    `latent` is (height, width); `tokens` the positions of the text. ValueError for a config that is
    no UNet's, or wants conditions that are not handled.
    """
    # Not diffusers' own `to`, which warns of parts that it may want in float32.
    unet = torch.nn.Module.to(_hollow_unet(config), DTYPES[dtype])
    one, two = (_count_call(unet, rows, latent, tokens) for rows in (1, 2))
    return WorkByRows(one, two)


def _hollow_unet(config: Mapping[str, Any]) -> Any:
    kind = config.get("_class_name", "UNet2DConditionModel")
    if kind != "UNet2DConditionModel":
        raise ValueError(f"The config is a {kind}'s; costs are predicted for UNet2DConditionModel.")
    if config.get("addition_embed_type") not in (None, "text_time"):
        raise ValueError(
            f"addition_embed_type {config['addition_embed_type']!r} is not handled; costs are "
            "predicted for models without added conditions and for SDXL's text_time."
        )
    try:
        with torch.device("meta"):
            return library.UNet2DConditionModel.from_config(dict(config)).eval()
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError(
            f"The config makes no UNet ({error}); give a whole config.json."
        ) from error


def _count_call(unet: Any, rows: int, latent: tuple[int, int], tokens: int) -> Work:
    empty = partial(torch.empty, device="meta", dtype=unet.dtype)
    config = unet.config
    added = None
    if config.addition_embed_type == "text_time":
        ids = 6 * config.addition_time_embed_dim
        width = config.projection_class_embeddings_input_dim - ids
        added = {"text_embeds": empty(rows, width), "time_ids": empty(rows, 6)}
    attention, operators = _Attention(), _Operators(unet.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as flops, attention, operators:
        unet(
            empty(rows, config.in_channels, *latent),
            empty(rows),
            encoder_hidden_states=empty(rows, tokens, config.cross_attention_dim),
            added_cond_kwargs=added,
        )
    total = float(flops.get_total_flops())
    by_operator = flops.get_flop_counts()["Global"]
    conv = float(by_operator.get(torch.ops.aten.convolution, 0))
    return Work(
        conv_flops=conv,
        matmul_flops=total - conv + attention.flops,
        parameter_bytes=float(sum(_bytes(parameter) for parameter in unet.parameters())),
        activation_bytes=operators.bytes + attention.bytes,
        calls=operators.calls + attention.calls,
    )


class _Attention(TorchFunctionMode):
    """Counts attention as the one fused operator that it is on real devices."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.bytes, self.calls = 0.0, 0.0, 0.0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is not torch.nn.functional.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
        query, key, value = given["query"], given["key"], given["value"]
        answer = query.new_empty((*query.shape[:-1], value.shape[-1]))
        self.flops += sdpa_flop_count(query.shape, key.shape, value.shape)
        self.bytes += sum(_bytes(tensor) for tensor in (query, key, value, answer))
        self.calls += 1
        return answer


class _Operators(TorchDispatchMode):
    """Counts operators that do something, and the bytes of what they read and write."""

    def __init__(self, parameters: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._parameters = {_storage(parameter) for parameter in parameters}
        self.bytes, self.calls = 0.0, 0.0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        answer = function(*args, **(kwargs or {}))
        if not function.is_view and function.name().split(".")[0] not in _FREE:
            touched = _tensors((args, kwargs, answer))
            self.bytes += sum(_bytes(t) for t in touched if _storage(t) not in self._parameters)
            self.calls += 1
        return answer


def _tensors(nested: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(nested)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    """The same for a tensor and its views."""
    return tensor.untyped_storage()._cdata


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def speed_probes(device: torch.device, dtype: str) -> dict[str, Probe]:
    """What `speed_of` wants the median seconds of, by name."""
    number = DTYPES[dtype]
    generator = torch.Generator("cpu").manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(device, number)

    left, right = numbers(MATMUL_SIDE, MATMUL_SIDE), numbers(MATMUL_SIDE, MATMUL_SIDE)
    pictures = numbers(CONV_ROWS, CONV_CHANNELS, CONV_SIDE, CONV_SIDE)
    kernel = numbers(CONV_CHANNELS, CONV_CHANNELS, 3, 3)
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    layers = [torch.nn.GroupNorm(4, 8), torch.nn.SiLU(), torch.nn.Conv2d(8, 8, 1)]
    small = torch.nn.Sequential(*layers * (SMALL_CALLS // len(layers))).to(device, number)
    few = numbers(1, 8, 2, 2)
    work: dict[str, Callable[[], object]] = {
        "matmul": lambda: left @ right,
        "conv": lambda: torch.nn.functional.conv2d(pictures, kernel, padding=1),
        "copy": lambda: target.copy_(source),
        "calls": lambda: small(few),
    }
    return {
        name: steady(_without_gradients(each, device), PROBE_CALLS) for name, each in work.items()
    }


def _without_gradients(work: Callable[[], object], device: torch.device) -> Probe:
    @torch.inference_mode()
    def run() -> float:
        return timed(work, device)

    return run


def speed_of(seconds: Mapping[str, float]) -> DeviceSpeed:
    """The speeds that these times of `speed_probes` mean."""
    conv_flops = 2 * 9 * CONV_ROWS * CONV_SIDE**2 * CONV_CHANNELS**2
    return DeviceSpeed(
        matmul_flops_per_s=2 * MATMUL_SIDE**3 / seconds["matmul"],
        conv_flops_per_s=conv_flops / seconds["conv"],
        bytes_per_s=2 * COPY_BYTES / seconds["copy"],
        call_s=seconds["calls"] / SMALL_CALLS,
    )


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What there is to know of a variant before it is loaded.

    `latent_factor` are pixels per latent along each side, `tokens` the positions of the text.
    """

    config: Mapping[str, Any]
    latent_factor: int = 8
    tokens: int = USUAL_TOKENS

    def latent(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) of a picture's latents; ValueError if the size is no multiple."""
        if (
            min(width, height) < self.latent_factor
            or width % self.latent_factor
            or height % self.latent_factor
        ):
            raise ValueError(
                f"Width and height must be multiples of {self.latent_factor}, got {width}x{height}."
            )
        return height // self.latent_factor, width // self.latent_factor


def read_shape(folder: Path) -> ModelShape:
    """The shape of a pipeline folder, its weights unread; ValueError if a part is missing."""
    vae = read_config(folder / "vae" / "config.json")
    text = read_config(folder / "text_encoder" / "config.json")
    return ModelShape(
        config=read_config(folder / "unet" / "config.json"),
        latent_factor=2 ** (len(vae.get("block_out_channels", ())) - 1),
        tokens=int(text.get("max_position_embeddings", USUAL_TOKENS)),
    )


def read_config(path: Path) -> dict[str, Any]:
    """A model's config.json; ValueError says what is wrong with the file."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}; name a folder with its config.json."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no object of settings.")
    return config
