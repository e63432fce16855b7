"""From latents that are due to pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pipelines.desk import Due
from pipelines.faults import NOT_A_NUMBER, OUT_OF_MEMORY, free_cached_memory, is_out_of_memory
from pipelines.jobs import EngineEvent, PartialPicture, PictureDone, PictureFailed
from pipelines.streams import take_over


def decode_due(due: Sequence[Due], clock: Callable[[], float]) -> list[EngineEvent]:
    """Decode latents of one variant and one size in one call of the autoencoder.

    Pictures with a number that is none fail. If memory runs out the batch is halved until it fits.
    """
    try:
        for one in due:
            take_over(one.stamp, (one.latents,))
        pictures = due[0].job.variant.decoder.decode(torch.cat([one.latents for one in due]))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        free_cached_memory()
        if len(due) == 1:
            return [PictureFailed(due[0].job.request.job_id, OUT_OF_MEMORY)]
        half = len(due) // 2
        return decode_due(due[:half], clock) + decode_due(due[half:], clock)
    ended_s = clock()
    events: list[EngineEvent] = []
    for one, picture in zip(due, pictures, strict=True):
        job_id = one.job.request.job_id
        if picture is None:
            events.append(PictureFailed(job_id, NOT_A_NUMBER))
        elif one.partial is None:
            events.append(PictureDone(job_id, picture, one.job.facts(ended_s)))
        else:
            events.append(PartialPicture(job_id, one.partial, picture))
    return events
