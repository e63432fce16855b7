"""Prompts to embeddings, with a bounded cache."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.streams import stamped

EMBEDDINGS_KEPT = 256
PLAIN_TEXT = "a red circle"


class PromptTooLongError(ValueError):
    """The prompt has more tokens than the text encoder reads."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """One encoded text: `tokens` (1, positions, width); `pooled` (1, width) for SDXL models.

    Another stream may read it once that has passed `stamp`.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None
    stamp: torch.cuda.Event | None = None

    def parts(self) -> list[torch.Tensor]:
        """The tensors that there are."""
        return [self.tokens] if self.pooled is None else [self.tokens, self.pooled]


class Encoder:
    """Encodes texts with a loaded pipeline, the least recently used leaving the cache first.

    Several threads may call it; one waits for the other, for tokenizers are not made for two.
    """

    def __init__(self, pipeline: Any, device: torch.device, kept: int = EMBEDDINGS_KEPT) -> None:
        """`device` runs the text encoders. `kept` bounds the cache, in texts; ValueError if below 1."""
        if kept < 1:
            raise ValueError(f"The embedding cache must keep at least 1 text, got {kept}.")
        self._pipeline = pipeline
        self._device = device
        self._kept = kept
        self._cache: OrderedDict[str | None, Embedding] = OrderedDict()
        self._one_at_a_time = threading.Lock()
        second = getattr(pipeline, "tokenizer_2", None)
        self._tokenizers = [t for t in (pipeline.tokenizer, second) if t is not None]
        self._zeros_for_none = bool(pipeline.config.get("force_zeros_for_empty_prompt", False))
        self.tokens_max: int = min(int(t.model_max_length) for t in self._tokenizers)

    def __len__(self) -> int:
        return len(self._cache)

    def tokens_in(self, text: str) -> int:
        """How many tokens the text takes, its start and end marks included."""
        return max(
            len(tokenizer(text, truncation=False, padding=False, verbose=False).input_ids)
            for tokenizer in self._tokenizers
        )

    def check_length(self, text: str) -> None:
        """PromptTooLongError if the text would be cut; a picture of half a prompt is no answer."""
        marks = 2
        with self._one_at_a_time:
            tokens = self.tokens_in(text)
        if tokens > self.tokens_max:
            raise PromptTooLongError(
                f"The prompt takes {tokens - marks} tokens and the model reads "
                f"{self.tokens_max - marks}; shorten it."
            )

    def encode(self, texts: Sequence[str | None]) -> list[Embedding]:
        """The embeddings of `texts`, in order; texts not in the cache share one encoder call.

        None is "no negative prompt" and gives what the pipeline uses in its place.
        """
        with self._one_at_a_time:
            return self._encode(texts)

    def rehearse(self, count: int = 1) -> None:
        """Run the encoder on `count` plain texts, past the cache."""
        with self._one_at_a_time:
            self._run([PLAIN_TEXT] * count)

    def _encode(self, texts: Sequence[str | None]) -> list[Embedding]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
        fresh = dict(zip(missing, self._run(missing), strict=True)) if missing else {}
        found = {text: fresh.get(text) or self._cache[text] for text in texts}
        for text, embedding in found.items():
            self._cache[text] = embedding
            self._cache.move_to_end(text)
        while len(self._cache) > self._kept:
            self._cache.popitem(last=False)
        return [found[text] for text in texts]

    def _run(self, texts: Sequence[str | None]) -> list[Embedding]:
        result = self._pipeline.encode_prompt(
            [text or "" for text in texts],
            device=self._device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        tokens, pooled = result[0], result[2] if len(result) == 4 else None
        copies = []
        for row, text in enumerate(texts):
            # Copies: a view would keep the whole call's texts in memory with this one.
            own = tokens[row : row + 1].clone()
            own_pooled = None if pooled is None else pooled[row : row + 1].clone()
            if text is None and self._zeros_for_none:
                own = torch.zeros_like(own)
                own_pooled = None if own_pooled is None else torch.zeros_like(own_pooled)
            copies.append((own, own_pooled))
        stamp = stamped(tokens)
        return [Embedding(*own, stamp) for own in copies]
