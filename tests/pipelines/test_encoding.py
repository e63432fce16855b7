"""The prompt cache: bounded, batched, and right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.encoding import Encoder, PromptTooLongError
from pipelines.loading import Variant, load_variant

CPU = torch.device("cpu")


class CountingPipeline:
    """Counts the texts that really go through the text encoder."""

    def __init__(self, pipeline: Any) -> None:
        self.calls: list[list[str]] = []
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def encode_prompt(self, texts: list[str], **options: Any) -> Any:
        self.calls.append(texts)
        return self._pipeline.encode_prompt(texts, **options)


@torch.inference_mode()
def test_the_cache_is_bounded_and_drops_the_least_recently_used(full: Variant) -> None:
    pipeline = CountingPipeline(full.pipeline)
    encoder = Encoder(pipeline, CPU, kept=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        encoder.encode([text])
        assert len(encoder) <= 2
    assert pipeline.calls == [["a"], ["b"], ["c"], ["b"]]


@torch.inference_mode()
def test_new_texts_share_one_call_even_beyond_the_bound(full: Variant) -> None:
    pipeline = CountingPipeline(full.pipeline)
    encoder = Encoder(pipeline, CPU, kept=1)
    embeddings = encoder.encode(["a", "b", "a", "c"])
    assert pipeline.calls == [["a", "b", "c"]]
    assert embeddings[0] is embeddings[2]
    assert len(encoder) == 1


@torch.inference_mode()
def test_an_embedding_does_not_depend_on_its_company(full: Variant) -> None:
    together = Encoder(full.pipeline, CPU).encode(["red", "a blue square"])[1]
    (alone,) = Encoder(full.pipeline, CPU).encode(["a blue square"])
    assert torch.allclose(together.tokens, alone.tokens, atol=1e-5)


@torch.inference_mode()
def test_no_prompt_is_zeros_where_the_pipeline_says_so(folders: dict[str, Path]) -> None:
    empty, said = load_variant("full", folders["xl"]).encoder.encode([None, "red"])
    assert empty.pooled is not None
    assert said.pooled is not None
    assert not empty.tokens.any()
    assert not empty.pooled.any()
    assert said.tokens.any()


def test_a_prompt_that_would_be_cut_is_refused(full: Variant) -> None:
    full.encoder.check_length("red " * 30)
    with pytest.raises(PromptTooLongError, match="takes 31 tokens and the model reads 30"):
        full.encoder.check_length("red " * 31)


def test_a_cache_needs_room(full: Variant) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Encoder(full.pipeline, CPU, kept=0)
