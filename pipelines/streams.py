"""Work beside the batch on an accelerator: a stream of its own, and tensors that change streams.

On the CPU all of this is nothing: a call has done its work when it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch


class SideStream:
    """The stream on which texts are encoded and pictures decoded while the batch goes on."""

    def __init__(self, device: torch.device) -> None:
        """On a CUDA device a stream beside the default one, on the CPU nothing."""
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def used(self) -> AbstractContextManager[object]:
        """Within it, calls go to this stream."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def stamped(tensor: torch.Tensor) -> torch.cuda.Event | None:
    """A mark in the present stream, behind everything that made `tensor`; None on the CPU."""
    if not tensor.is_cuda:
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def take_over(event: torch.cuda.Event | None, tensors: Sequence[torch.Tensor]) -> None:
    """Let the present stream use tensors that another one made, once that has passed `event`."""
    if event is None:
        return
    stream = torch.cuda.current_stream()
    stream.wait_event(event)
    for tensor in tensors:
        tensor.record_stream(stream)  # its memory must not be given away before we are done


def synchronise(device: torch.device) -> None:
    """Wait for the accelerator; work on the CPU is never pending."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
