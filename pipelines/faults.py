"""What can go wrong with a job in the engine, in one sentence each for its client."""

from __future__ import annotations

import torch

NOT_A_NUMBER = (
    "The picture's numbers overflowed and it was given up; try another seed, a lower guidance "
    "scale, or a model in float32 or bfloat16."
)
OUT_OF_MEMORY = (
    "The accelerator ran out of memory; ask for a smaller picture, or serve with a smaller batch."
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on an accelerator or on the CPU.

    The CPU's allocator has no exception of its own, only this text.
    """
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_cached_memory() -> None:
    """Give memory that torch keeps for later back to the accelerator, after it ran out."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
