"""What is masked stays comparable with what is in hand, and gives nothing else away."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from formats import masking


def test_the_examples_in_the_text_hold() -> None:
    assert doctest.testmod(masking).failed == 0


@given(st.text("0123456789X", min_size=18, max_size=20))
def test_a_masked_number_does_not_tell_a_birthday_nor_what_follows(number: str) -> None:
    shown = masking.number(number)
    assert len(shown) == len(number)
    assert shown[:4] + shown[16:18] == number[:4] + number[16:18]
    assert set(shown[4:16] + shown[18:]) <= {"*"}


@given(st.text("赵钱孙李周吴郑王", min_size=1, max_size=12))
def test_a_masked_name_does_not_tell_its_length(name: str) -> None:
    assert masking.name(name) == name[0] + "*"
