"""Counts a prompt's tokens on the event loop, beside the engine's threads."""

from __future__ import annotations

import copy

from pipelines.loading import Variant
from serve.messages import Failed, Order

MARK_TOKENS = 2  # the start and end marks around every prompt


class PromptMeter:
    """Counts tokens with tokenizers of its own: those of the variant belong to the engine's threads."""

    def __init__(self, variant: Variant) -> None:
        pipeline = variant.pipeline
        second = getattr(pipeline, "tokenizer_2", None)
        self._tokenizers = [copy.deepcopy(t) for t in (pipeline.tokenizer, second) if t is not None]
        self._tokens_max = variant.encoder.tokens_max - MARK_TOKENS

    def tokens(self, text: str) -> int:
        """Tokens of the text itself, without its marks."""
        return (
            max(
                len(tokenizer(text, truncation=False, padding=False, verbose=False).input_ids)
                for tokenizer in self._tokenizers
            )
            - MARK_TOKENS
        )

    def fault(self, order: Order) -> Failed | None:
        """Which of the order's texts the model could not read to its end, if any."""
        for param, text in (("prompt", order.prompt), ("negative_prompt", order.negative_prompt)):
            tokens = self.tokens(text)
            if tokens > self._tokens_max:
                message = (
                    f"The {param} has {tokens} tokens and the model reads {self._tokens_max};"
                    " shorten it."
                )
                return Failed(message, "error", param)
        return None
