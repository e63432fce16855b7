"""From requests to jobs whose texts are encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.desk import Ready
from pipelines.encoding import Embedding, PromptTooLongError
from pipelines.faults import OUT_OF_MEMORY, free_cached_memory, is_out_of_memory
from pipelines.jobs import PictureFailed, PictureRequest
from pipelines.loading import Variant
from pipelines.running import guidance_of
from pipelines.streams import stamped


def prepare_jobs(
    variant: Variant, requests: Sequence[PictureRequest], clock: Callable[[], float]
) -> tuple[list[Ready], list[PictureFailed]]:
    """Encode the texts of all requests in one call; those that cannot be are failures."""
    started_s = clock()
    fitting: list[PictureRequest] = []
    failed: list[PictureFailed] = []
    for request in requests:
        try:
            for text in texts_of(request, variant):
                variant.encoder.check_length(text or "")
            fitting.append(request)
        except PromptTooLongError as error:
            failed.append(PictureFailed(request.job_id, str(error)))
    try:
        return _encoded(variant, fitting, started_s), failed
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        free_cached_memory()
    if len(fitting) == 1:
        return [], [*failed, PictureFailed(fitting[0].job_id, OUT_OF_MEMORY)]
    ready: list[Ready] = []
    for request in fitting:  # one at a time takes less
        prepared, broken = prepare_jobs(variant, [request], clock)
        ready += prepared
        failed += broken
    return ready, failed


def texts_of(request: PictureRequest, variant: Variant) -> tuple[str | None, ...]:
    """What has to be encoded: the prompt, and with guidance the negative one (None: there is none)."""
    if guidance_of(request, variant) > 1:
        return request.prompt, request.negative_prompt or None
    return (request.prompt,)


def embeddings_of(request: PictureRequest, variant: Variant) -> tuple[Embedding, Embedding | None]:
    """The encoded prompt, and with guidance the encoded negative prompt."""
    prompt, *negative = variant.encoder.encode(texts_of(request, variant))
    return prompt, negative[0] if negative else None


def _encoded(variant: Variant, requests: Sequence[PictureRequest], started_s: float) -> list[Ready]:
    wanted = [text for request in requests for text in texts_of(request, variant)]
    embeddings = dict(zip(wanted, variant.encoder.encode(wanted), strict=True))
    ready = []
    for request in requests:
        prompt, *negative = (embeddings[text] for text in texts_of(request, variant))
        stamp = stamped(prompt.tokens)
        ready.append(Ready(request, prompt, negative[0] if negative else None, started_s, stamp))
    return ready
