"""From requests to jobs whose texts are encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.calls import Calls, Key
from pipelines.desk import Ready
from pipelines.encoding import Embedding, PromptTooLongError
from pipelines.jobs import PictureFailed, PictureRequest
from pipelines.loading import Variant
from pipelines.running import guidance_of
from pipelines.service_costs import ServiceCosts


def prepare_jobs(
    variant: Variant,
    requests: Sequence[PictureRequest],
    clock: Callable[[], float],
    calls: Calls,
    costs: ServiceCosts,
) -> tuple[list[Ready], list[PictureFailed]]:
    """Encode the texts of all requests in one call; those that cannot be are failures."""
    started_s = clock()
    ready: list[Ready] = []
    refused: list[PictureFailed] = []

    def encode(first: int, last: int) -> None:
        began_s = costs.clock()
        faults = {one.job_id: _too_long(one, variant) for one in requests[first:last]}
        fitting = [one for one in requests[first:last] if faults[one.job_id] is None]
        wanted = [text for one in fitting for text in texts_of(one, variant)]
        embeddings = dict(zip(wanted, variant.encoder.encode(wanted), strict=True))
        for one in fitting:
            prompt, *negative = (embeddings[text] for text in texts_of(one, variant))
            ready.append(Ready(one, prompt, negative[0] if negative else None, started_s))
        refused.extend(
            PictureFailed(job_id, said, "error") for job_id, said in faults.items() if said
        )
        costs.encoded(variant.name, last - first, began_s)

    key = Key(variant.name, 0, 0, "encode")
    failed = calls.run(key, requests, encode, variant.encoder.rehearse)
    return ready, refused + failed


def texts_of(request: PictureRequest, variant: Variant) -> tuple[str | None, ...]:
    """What has to be encoded: the prompt, and with guidance the negative one (None: there is none)."""
    if guidance_of(request, variant) > 1:
        return request.prompt, request.negative_prompt or None
    return (request.prompt,)


def embeddings_of(request: PictureRequest, variant: Variant) -> tuple[Embedding, Embedding | None]:
    """The encoded prompt, and with guidance the encoded negative prompt."""
    prompt, *negative = variant.encoder.encode(texts_of(request, variant))
    return prompt, negative[0] if negative else None


def _too_long(request: PictureRequest, variant: Variant) -> str | None:
    try:
        for text in texts_of(request, variant):
            variant.encoder.check_length(text or "")
    except PromptTooLongError as error:
        return str(error)
    return None
