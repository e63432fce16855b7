"""Numbers as words, and where their lines may break."""

from __future__ import annotations

import pytest

from analysis.report.telling import HOLD, MINUS, band, listed, off_by, per_cent, plain, unbroken


def test_numbers_have_their_sign_and_unit() -> None:
    assert per_cent(-0.125) == f"{MINUS}12.5 %"
    assert off_by(0.05) == "+5.0 %"
    assert off_by(None) == ""
    assert band(-1, 2, 1) == f"{MINUS}1.0 to 2.0"
    assert plain(12345.6) == "12,346"
    assert plain(float("nan")) == "nan"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"]) == "a"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("0.59 (0.51 to 0.67)", "0.59 (0.51~to~0.67)"),
        ("0.59 [0.51, 0.67]", "0.59 [0.51,~0.67]"),
        ("9 % (1 to 17) *", "9~% (1~to~17)~*"),
        ("25.2 to 37.8", "25.2~to~37.8"),
        ("1.2 %", "1.2~%"),
        ("774, 1548, 3096 / 371, 758, 1532", "774, 1548, 3096 / 371, 758, 1532"),
        ("+1.2% passed, in the band *", "+1.2% passed, in the band~*"),
        ("missed (a b) by far", "missed (a~b) by far"),
    ],
)
def test_a_figure_breaks_before_its_bracket_and_words_break_anywhere(cell: str, shown: str) -> None:
    assert unbroken(cell) == shown.replace("~", HOLD)
