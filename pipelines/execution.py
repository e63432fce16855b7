"""How a denoising model is called: as it is, compiled, or as recorded CUDA graphs."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

Compile = Literal["none", "inductor", "cuda_graphs"]

Conditions = Mapping[str, torch.Tensor] | None
Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Conditions], torch.Tensor]
"""Inputs, timesteps, tokens and added conditions to outputs; see `Denoiser.__call__`."""

Record = Callable[[Callable[[], torch.Tensor]], tuple[Callable[[], None], torch.Tensor]]
"""From work on fixed tensors to a function that repeats it, and where its result appears."""

GRAPHS_MAX = 256
"""Shapes that one compiled model may be called with: every row bucket of every picture size."""

WARM_UP_CALLS = 3
"""Calls before a recording: libraries choose their kernels and make their workspaces in them."""

QUANTISED_OPTIONS: Mapping[str, bool] = {
    "coordinate_descent_tuning": True,
    "coordinate_descent_check_all_directions": True,
    "force_fuse_int_mm_with_mul": True,
}
"""What torchao recommends to inductor for its layers, here for this model alone."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a variant's networks run.

    `compile`: "none" calls the model as it is; "inductor" compiles it with torch.compile, one graph
    for every shape (minutes each for a large model, at the first call); "cuda_graphs" records the
    kernels of a call once per shape and replays them, which spares the host the launching.
    `channels_last` lays convolutions out for tensor cores (and for oneDNN on a CPU). `row_buckets`
    are the numbers of rows (pictures, and once more the guided ones) that the model may be called
    with, rising; empty means any number, or powers of two if there is something to compile.
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

    def rows_for(self, rows: int) -> int:
        """The number of rows to call with when `rows` are wanted: the smallest that holds them.

        ValueError if there is none.
        """
        if rows < 1:
            raise ValueError(f"The model is called with at least 1 row, not {rows}.")
        if not self.row_buckets:
            return rows if self.compile == "none" else 1 << (rows - 1).bit_length()
        fitting = next((bucket for bucket in self.row_buckets if bucket >= rows), None)
        if fitting is None:
            raise ValueError(
                f"The model is prepared for at most {self.row_buckets[-1]} rows in a call and "
                f"{rows} are wanted; add a larger row bucket or serve with a smaller batch."
            )
        return fitting


def check_execution(execution: Execution, device: torch.device) -> None:
    """ValueError, in one sentence, if models cannot run that way on `device` here."""
    if execution.compile == "cuda_graphs" and device.type != "cuda":
        raise ValueError(
            f"compile 'cuda_graphs' needs a CUDA device, not {device.type}; use 'none' or "
            "'inductor'."
        )
    if execution.compile != "inductor":
        return
    if device.type == "cuda":
        from torch.utils._triton import has_triton  # torch.compile's own test

        if not has_triton() or not _compiler_found(("CC",), ("cc", "gcc", "clang")):
            raise ValueError(
                "compile 'inductor' needs Triton and a C compiler for a CUDA device; install "
                "them, or use 'cuda_graphs' or 'none'."
            )
    elif not _compiler_found(("CXX",), ("g++", "clang++", "c++")):
        raise ValueError(
            "compile 'inductor' needs a C++ compiler; install g++ or clang++, or use 'none'."
        )


def _compiler_found(variables: Sequence[str], names: Sequence[str]) -> bool:
    named = [os.environ[variable] for variable in variables if os.environ.get(variable)]
    return any(shutil.which(name) for name in named or names)


class Denoiser:
    """A UNet as a plain function of tensors, which one thread at a time may call.

    The first call of a shape compiles or records it; no later one makes the host wait.
    """

    def __init__(self, unet: Any, execution: Execution, *, quantised: bool = False) -> None:
        """Take over a loaded and placed UNet.

        `quantised` tells that its layers are torchao's, which wants other compiler settings.
        """
        self.execution = execution
        if execution.compile != "none" and unet.device.type == "cuda":
            # Shapes are few and come again: let cuDNN try its convolutions instead of guessing.
            torch.backends.cudnn.benchmark = True
        if execution.compile == "inductor":
            unet = _compiled(unet, QUANTISED_OPTIONS if quantised else {})
        self._call = _as_function(unet)
        if execution.compile == "cuda_graphs":
            self._call = RecordedCalls(self._call, CudaRecorder(unet.device).record)

    def rows_for(self, rows: int) -> int:
        """See `Execution.rows_for`."""
        return self.execution.rows_for(rows)

    def within(self, wrap: Callable[[Call], Call]) -> Denoiser:
        """The same prepared model with `wrap` around its calls, for measuring."""
        wrapped = copy.copy(self)
        wrapped._call = wrap(self._call)
        return wrapped

    @torch.inference_mode()
    def __call__(
        self,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        tokens: torch.Tensor,
        added: Conditions = None,
    ) -> torch.Tensor:
        """The model's outputs (R, C, h, w).

        `inputs` (R, C, h, w) in the model's type, `timesteps` (R,), `tokens` (R, positions, width);
        `added` are SDXL's "text_embeds" (R, width) and "time_ids" (R, 6). With CUDA graphs the
        outputs lie in memory that the next call overwrites: use them up before.
        """
        return self._call(inputs, timesteps, tokens, added)


def _as_function(unet: Any) -> Call:
    def call(
        inputs: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor, added: Conditions
    ) -> torch.Tensor:
        outputs: torch.Tensor = unet(
            inputs,
            timesteps,
            encoder_hidden_states=tokens,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return outputs

    return call


def _compiled(unet: Any, options: Mapping[str, bool]) -> Any:
    """One specialised graph a shape; an error, not a slow call, if the model cannot be compiled."""
    compile_model: Any = torch.compile  # its overloads leave out the last two settings
    return compile_model(
        unet,
        fullgraph=True,
        dynamic=False,
        options=dict(options) or None,
        recompile_limit=GRAPHS_MAX,
        isolate_recompiles=True,
    )


class RecordedCalls:
    """A model whose calls are recorded on tensors of their own, one for every shape, and replayed.

    The recordings share memory: each computes all that it reads from its own inputs, but a replay
    may overwrite what another one put out.
    """

    def __init__(self, call: Call, record: Record) -> None:
        """`record` is called once for every shape."""
        self._call = call
        self._record = record
        self._recordings: dict[tuple[torch.Size, torch.Size], _Recording] = {}

    def __len__(self) -> int:
        return len(self._recordings)

    def __call__(
        self,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        tokens: torch.Tensor,
        added: Conditions,
    ) -> torch.Tensor:
        """As the model's call, with outputs that the next call may overwrite."""
        shapes = (inputs.shape, tokens.shape)
        if shapes not in self._recordings:
            recording = _Recording(self._call, self._record, inputs, timesteps, tokens, added)
            self._recordings[shapes] = recording
        return self._recordings[shapes].replay(inputs, timesteps, tokens, added)


class _Recording:
    """One recorded call with its static inputs and outputs."""

    def __init__(
        self,
        call: Call,
        record: Record,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        tokens: torch.Tensor,
        added: Conditions,
    ) -> None:
        first, second, third = inputs.clone(), timesteps.clone(), tokens.clone()
        others = None if added is None else {name: part.clone() for name, part in added.items()}
        self._inputs = (first, second, third)
        self._added = others or {}
        self._repeat, self._outputs = record(lambda: call(first, second, third, others))

    def replay(
        self,
        inputs: torch.Tensor,
        timesteps: torch.Tensor,
        tokens: torch.Tensor,
        added: Conditions,
    ) -> torch.Tensor:
        for static, given in zip(self._inputs, (inputs, timesteps, tokens), strict=True):
            static.copy_(given, non_blocking=True)
        for name, static in self._added.items():
            static.copy_((added or {})[name], non_blocking=True)
        self._repeat()
        return self._outputs


class CudaRecorder:
    """Records CUDA graphs that share one memory pool and never run at the same time."""

    def __init__(self, device: torch.device) -> None:
        """Everything recorded runs on `device`."""
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], torch.Tensor]) -> tuple[Callable[[], None], torch.Tensor]:
        """Warm up on a side stream and record there, as torch's notes on CUDA graphs ask for."""
        with torch.cuda.device(self._device):
            present = torch.cuda.current_stream()
            self._stream.wait_stream(present)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_CALLS):
                    work()
            present.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            try:
                # Another thread may encode texts or decode pictures meanwhile, and what it
                # allocates would break a recording in the default mode.
                with torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._stream,
                    capture_error_mode="thread_local",
                ):
                    outputs = work()
            except RuntimeError as error:
                # Running out of memory breaks the recording, and so ending it fails as well; the
                # engine is to learn the reason, not the consequence.
                if isinstance(error.__context__, torch.OutOfMemoryError):
                    raise error.__context__ from error
                raise
        return graph.replay, outputs
