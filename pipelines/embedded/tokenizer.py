"""A CLIP tokenizer whose vocabulary is this model's own words, each one token; any other text falls back to single bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

MAX_TOKENS = 32
START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(words: Sequence[str], folder: Path) -> CLIPTokenizer:
    """Write vocab.json and merges.txt for `words` into `folder` and return the tokenizer made from them.

    A word's merges are added after those of the words before it and only join what those left apart, so every word ends as one
    token. Text made of other words is spelled in pieces: unknown words cost tokens but never fail.
    """
    alphabet = _byte_symbols()
    tokens = [*alphabet, *(symbol + "</w>" for symbol in alphabet)]
    merges: list[tuple[str, str]] = []
    for word in words:
        while len(symbols := _merged(word, merges)) > 1:
            merges.append((symbols[0], symbols[1]))
            tokens.append(symbols[0] + symbols[1])
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


def _merged(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """The word after byte-pair encoding: of the merges that apply, the earliest goes first."""
    symbols = [*word[:-1], word[-1] + "</w>"]
    while True:
        pairs = list(pairwise(symbols))
        merge = next((merge for merge in merges if merge in pairs), None)
        if merge is None:
            return symbols
        at = pairs.index(merge)
        symbols[at : at + 2] = [merge[0] + merge[1]]


def _byte_symbols() -> list[str]:
    """The printable stand-ins for the 256 bytes, in the order that byte-level BPE (GPT-2, CLIP) defines."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]
