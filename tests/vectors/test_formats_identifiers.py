"""Identifiers agree with published ones, and every wrong character is noticed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.identifiers import (
    BadIdentifier,
    LicenceIdentifier,
    check_char,
    resident_id_check,
    uscc_check,
    uscc_check_char,
)

# Identifiers printed as examples in public interface documents of four authorities.
PUBLISHED = [
    "1.2.156.3005.2.11100000000013338W087.11370800MB28559184.37080001202411010001.001.3",
    "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
    "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.002.S",
    "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
    "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
]
# One published example follows neither rule; it is read, and remarked upon.
PUBLISHED_ODD = "1.2.156.3005.2.11100000000013661B006.113700000045046442.209FA4E88F9E4C878F3E9BED2CE7EA49.001.M"


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_licence_identifiers_pass_their_check(text: str) -> None:
    found = LicenceIdentifier.parse(text)
    assert found.remarks() == []
    assert str(found) == text
    assert (
        LicenceIdentifier.build(
            type_code=found.type_code, issuer_code=found.issuer_code, serial=found.serial, version=found.version
        )
        == found
    )


def test_a_wrong_check_is_remarked_upon_and_not_refused() -> None:
    assert [r.code for r in LicenceIdentifier.parse(PUBLISHED_ODD).remarks()] == ["licence-identifier-check"]


def test_the_province_that_counts_a_as_eleven_gets_a_remark_of_its_own() -> None:
    base = LicenceIdentifier.parse(PUBLISHED[0])
    body = f"{base.type_code}{base.issuer_code}{base.serial}{base.version:03d}"
    odd = LicenceIdentifier(base.type_code, base.issuer_code, base.serial, base.version, check_char(body, a=11))
    assert [r.code for r in LicenceIdentifier.parse(str(odd)).remarks()] == ["licence-identifier-check-a11"]


@given(st.text(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=40), st.data())
def test_mod_37_36_notices_every_single_wrong_character(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([c for c in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c != text[at]]))
    assert check_char(text[:at] + other + text[at + 1 :]) != check_char(text)


@pytest.mark.parametrize(
    "text",
    ["", "1.2.156.3005.2", "1.2.156.3005.2.a.b.c.001.1", "1.2.156.3005.2.A.B..001.1", "1.2.156.3005.2.A.B.C.1.1", "9" * 100000],
)
def test_what_has_no_readable_form_is_refused(text: str) -> None:
    with pytest.raises(BadIdentifier):
        LicenceIdentifier.parse(text)


def test_parts_with_dots_cannot_smuggle_another_identifier() -> None:
    with pytest.raises(BadIdentifier):
        LicenceIdentifier.build(type_code="11100000MB0143028R001", issuer_code="1.2", serial="1")


@pytest.mark.parametrize(
    "code", ["91350100M000100Y43", "11100000MB0143028R", "91110000100000000" + uscc_check_char("91110000100000000")]
)
def test_genuine_social_credit_codes_pass(code: str) -> None:
    assert uscc_check(code) == []


@pytest.mark.parametrize(
    ("code", "remark"),
    [("91350100M000100Y44", "uscc-check"), ("91350100M000100Y4", "uscc-form"), ("91350100I000100Y43", "uscc-alphabet")],
)
def test_wrong_social_credit_codes_get_a_remark(code: str, remark: str) -> None:
    assert [r.code for r in uscc_check(code)] == [remark]


def test_resident_numbers_are_checked_and_never_echoed() -> None:
    assert resident_id_check("11010519491231002X") == []  # the example of GB 11643 itself
    for wrong, code in (
        ("110105194912310021", "resident-id-check"),
        ("11010519491331002X", "resident-id-birth-date"),
        ("1101051949123100", "resident-id-form"),
    ):
        remarks = resident_id_check(wrong)
        assert code in [r.code for r in remarks]
        assert all(wrong not in r.message + r.message_zh for r in remarks)
