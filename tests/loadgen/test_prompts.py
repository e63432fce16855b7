"""Reading prompts and the order they are sent in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from loadgen.prompts import prompt_order, read_prompts


def test_blank_lines_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a red circle \n\n  a blue square\n", encoding="utf-8")
    assert read_prompts(path) == ("a red circle", "a blue square")


def test_a_missing_or_empty_or_binary_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--prompts"):
        read_prompts(tmp_path / "none.txt")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no prompts"):
        read_prompts(empty)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="UTF-8"):
        read_prompts(binary)


def test_every_prompt_is_used_before_one_is_used_again() -> None:
    order = prompt_order(7, 17, seed=3)
    assert order == prompt_order(7, 17, seed=3)
    assert order != prompt_order(7, 17, seed=4)
    assert sorted(order[:7]) == list(range(7))
    assert set(Counter(order).values()) <= {2, 3}
