"""From latents that are due to pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from pipelines.calls import Calls, Key
from pipelines.desk import Due
from pipelines.faults import NOT_A_NUMBER
from pipelines.jobs import EngineEvent, PartialPicture, PictureDone, PictureFailed
from pipelines.loading import Variant
from pipelines.service_costs import ServiceCosts
from pipelines.streams import take_over


def decode_due(
    variant: Variant,
    due: Sequence[Due],
    clock: Callable[[], float],
    calls: Calls,
    costs: ServiceCosts,
) -> list[EngineEvent]:
    """Decode latents of one variant and one size in one call of the autoencoder.

    Pictures with a number that is none fail.
    """
    requests = [one.job.request for one in due]
    size = requests[0].width, requests[0].height
    events: list[EngineEvent] = []

    def decode(first: int, last: int) -> None:
        began_s = costs.clock()
        for one in due[first:last]:
            take_over(one.stamp, (one.latents,))
        pictures = variant.decoder.decode(torch.cat([one.latents for one in due[first:last]]))
        ended_s = clock()
        for one, picture in zip(due[first:last], pictures, strict=True):
            job_id = one.job.request.job_id
            if picture is None:
                events.append(PictureFailed(job_id, NOT_A_NUMBER, "not_a_number"))
            elif one.partial is None:
                events.append(PictureDone(job_id, picture, one.job.facts(ended_s)))
            else:
                events.append(PartialPicture(job_id, one.partial, picture))
        costs.decoded(variant.name, size, last - first, began_s)

    key, proof = Key(variant.name, *size, "decode"), partial(rehearse_decoding, variant, *size)
    failed = calls.run(key, requests, decode, proof)
    return [*events, *failed]


def rehearse_decoding(variant: Variant, width: int, height: int, count: int = 1) -> None:
    """Decode `count` pictures of zeros."""
    shape = (count, *variant.latent_shape(width, height)[1:])
    variant.decoder.decode(torch.zeros(shape, device=variant.device))
