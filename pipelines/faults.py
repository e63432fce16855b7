"""What can go wrong with a job in the engine, in one sentence each for its client."""

from __future__ import annotations

import gc
from typing import NamedTuple

import torch

from pipelines.jobs import FailureKind

NOT_A_NUMBER = (
    "The picture's numbers overflowed and it was given up; try another seed, a lower guidance "
    "scale, or a model in float32 or bfloat16."
)
OUT_OF_MEMORY = (
    "The accelerator ran out of memory; ask for a smaller picture, or serve with a smaller batch."
)
TEXT_KEPT = 200
_NO_MEMORY = (
    "can't allocate memory",  # the CPU's allocator has no exception of its own
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Unable to find a valid cuDNN algorithm",  # none whose workspace fits
)


class EngineBroken(RuntimeError):
    """The engine can compute no more, `cause` says why in one sentence; `suspects` are the ids of the
    jobs one of which may have broken it."""

    def __init__(self, cause: str, suspects: frozenset[str]) -> None:
        super().__init__(cause, suspects)
        self.cause = cause
        self.suspects = suspects

    def __str__(self) -> str:
        return self.cause


class Failure(NamedTuple):
    """What a client is told of its job; `message` is one sentence."""

    message: str
    kind: FailureKind


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on an accelerator or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(text in str(error) for text in _NO_MEMORY)


def told(error: BaseException) -> str:
    """The exception's type and the beginning of its text, on one line."""
    text = " ".join(str(error).split())[:TEXT_KEPT]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failure_of(error: BaseException) -> Failure:
    """What the client of a job is told of an error that is the job's own."""
    if is_out_of_memory(error):
        return Failure(OUT_OF_MEMORY, "out_of_memory")
    return Failure(f"The picture could not be made ({told(error)}).", "error")


def free_cached_memory() -> None:
    """Give back what failed calls and torch still hold of the accelerator's memory."""
    gc.collect()  # an exception in a cycle keeps its frames, and they the activations
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
