"""A CLIP tokenizer whose vocabulary is this model's own words, each one token; any other text falls back to single bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from transformers import CLIPTokenizer

MAX_TOKENS = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(words: Sequence[str], folder: Path) -> CLIPTokenizer:
    """Write vocab.json and merges.txt for `words` into `folder` and return the tokenizer made from them.

    Byte-pair merges spell every word from its left end, so that a known word is one token and an unknown one is the tokens of
    its known beginnings and bytes: unknown words cost tokens but never fail.
    """
    alphabet = _byte_symbols()
    tokens = [*alphabet, *(symbol + "</w>" for symbol in alphabet)]
    merges: list[tuple[str, str]] = []
    for word in words:
        symbols = [*word[:-1], word[-1] + "</w>"]
        left = symbols[0]
        for right in symbols[1:]:
            if (left, right) not in merges:
                merges.append((left, right))
                tokens.append(left + right)
            left += right
    vocabulary = list(dict.fromkeys([*tokens, START, END]))
    folder.mkdir(parents=True, exist_ok=True)
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocab_file.write_text(
        json.dumps({token: index for index, token in enumerate(vocabulary)}, ensure_ascii=False)
    )
    merges_file.write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges)
    )
    tokenizer = CLIPTokenizer(
        vocab=str(vocab_file), merges=str(merges_file), model_max_length=MAX_TOKENS
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def _byte_symbols() -> list[str]:
    """The printable stand-ins for the 256 bytes, in the order that byte-level BPE (GPT-2, CLIP) defines."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
