"""查验码: a slip is found before anything is asked, and what people really type is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import checkcode
from formats.checkcode import ALPHABET, LENGTH, BadCheckCode

BODIES = st.text(ALPHABET, min_size=LENGTH - 1, max_size=LENGTH - 1)


def test_the_alphabet_holds_no_two_characters_that_look_alike() -> None:
    assert len(set(ALPHABET)) == 23
    for alike in ("0O", "1IL", "2Z", "5S", "8B", "UV"):
        assert not set(alike) & set(ALPHABET)


def test_a_new_code_reads_back_as_printed() -> None:
    for _ in range(50):
        code = checkcode.new()
        assert checkcode.parse(checkcode.shown(code)) == code


@given(BODIES, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_every_wrong_character_is_found(body: str, place: int, other: str) -> None:
    code = body + checkcode.check_char(body)
    wrong = code[:place] + other + code[place + 1 :]
    if wrong != code:
        with pytest.raises(BadCheckCode):
            checkcode.parse(wrong)


@given(BODIES, st.integers(0, LENGTH - 1), st.integers(0, LENGTH - 1))
def test_every_two_that_changed_places_are_found(body: str, first: int, second: int) -> None:
    code = list(body + checkcode.check_char(body))
    swapped = list(code)
    swapped[first], swapped[second] = code[second], code[first]
    if swapped != code:
        with pytest.raises(BadCheckCode):
            checkcode.parse("".join(swapped))


@pytest.mark.parametrize(
    "change", [str.lower, lambda c: f"  {c} ", lambda c: c.replace("-", "－"), lambda c: c.replace("-", " ")]
)
def test_what_people_type_is_understood(change: object) -> None:
    code = checkcode.new()
    assert checkcode.parse(change(checkcode.shown(code))) == code  # type: ignore[operator]


@given(st.text(max_size=80))
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    said = None
    try:
        checkcode.parse(text)
    except BadCheckCode as refused:
        said = refused
    if said is not None:
        assert (bool(said.message), bool(said.message_zh)) == (True, True)
