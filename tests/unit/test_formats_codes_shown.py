"""Codes that phones show: two signatures, small enough for a screen, and nothing that a copy of the credential could make."""

from __future__ import annotations

import base64
import secrets
import zlib
from dataclasses import replace
from datetime import timedelta

import cbor2
import cwt
import pytest
import segno
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from crypto.keys import PublicKey, SoftwareKey
from crypto.suites import Suite
from formats import cbor
from formats.codes import (
    MAX_CREDENTIAL,
    MAX_SHOWN,
    BadCode,
    Claims,
    ShownCode,
    SignedCode,
    WithoutHolder,
    decode,
    encode,
    encode_credential,
    encode_shown,
    key_id,
    read_credential,
)
from formats.statuslist import StatusRef
from tests.credentials import AT, CREDENTIAL, ISSUER, PHONE, RAW, unpacked

URL = encode_shown(RAW, PHONE, "yunjiang.example", at=AT, challenge="4711")


def _url(raw: bytes) -> str:
    return "https://yunjiang.example/v#" + base64.urlsafe_b64encode(zlib.compress(raw, 9)).rstrip(b"=").decode()


def _pem(key: PublicKey) -> bytes:
    public = serialization.load_der_public_key(key.spki)
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_a_shown_code_comes_back_as_issuer_and_phone_signed_it() -> None:
    code = decode(URL)
    assert isinstance(code, ShownCode)
    assert code.credential.claims == CREDENTIAL
    assert code.credential.raw == RAW
    assert (code.host, code.shown_at, code.challenge, code.kid) == ("yunjiang.example", AT, "4711", key_id(ISSUER.public_key))
    assert code.verify(ISSUER.public_key)
    assert code.held()
    assert not code.verify(PHONE.public_key)


def test_a_credential_is_small_and_eight_claims_in_the_longest_names_still_fit() -> None:
    assert len(RAW) <= 520
    longest = replace(
        CREDENTIAL,
        issuer="云江市滨江新区（自由贸易试验区）行政审批服务局市场监管分局",
        licence_type="中华人民共和国残疾人证",
        holder="云江市" + "青禾" * 20 + "有限责任公司",
        bearer="样本 " + "名" * 10,
        matters=("road-transport-permit", "open-bank-account", "food-business-permit"),
        status=StatusRef("https://licence.yunjiang-province.gov.example/status/3f9a1c20", 65535),
    )
    raw = encode_credential(longest, ISSUER)
    url = encode_shown(raw, PHONE, "licence.yunjiang-province.gov.example", at=AT, challenge="12345678")
    assert len(raw) <= MAX_CREDENTIAL
    assert len(unpacked(url)) <= MAX_SHOWN
    assert segno.make(url, error="l", micro=False).version <= 30


def test_what_does_not_fit_a_phones_screen_is_refused_when_it_is_issued() -> None:
    with pytest.raises(BadCode) as refusal:
        encode_credential(replace(CREDENTIAL, matters=tuple(f"matter-number-{n:08}" for n in range(30))), ISSUER)
    assert "matters" in refusal.value.message
    with pytest.raises(BadCode):
        encode_credential(replace(CREDENTIAL, role="visitor"), ISSUER)
    with pytest.raises(BadCode):
        encode_credential(CREDENTIAL, SoftwareKey.generate(Suite.RSA))


def test_an_independent_cwt_implementation_accepts_credential_and_code() -> None:
    claims = cwt.decode(RAW, keys=cwt.COSEKey.from_pem(_pem(ISSUER.public_key), kid=key_id(ISSUER.public_key)))
    assert claims[2] == CREDENTIAL.subject
    assert claims[65535] == {"status_list": {"idx": 54321, "uri": "https://yunjiang.example/status/3f9a1c20"}}
    assert set(claims[8][1]) == {1, -1, -2, -3}


def test_the_bare_credential_is_not_a_code() -> None:
    with pytest.raises(WithoutHolder):
        decode(_url(RAW))


def test_a_code_made_with_another_key_is_not_held() -> None:
    stolen = decode(encode_shown(RAW, SoftwareKey.generate(Suite.P256), "yunjiang.example", at=AT))
    assert isinstance(stolen, ShownCode)
    assert stolen.verify(ISSUER.public_key)
    assert not stolen.held()


def test_a_printed_code_is_never_taken_for_a_phones_nor_the_other_way() -> None:
    printed = decode(
        encode(
            Claims("局", "1.2", "营业执照", "公司", "9", AT, secrets.token_bytes(8), status=StatusRef("https://h/status/1", 7)),
            ISSUER,
            "yunjiang.example",
        )
    )
    assert isinstance(printed, SignedCode)
    assert printed.claims.status == StatusRef("https://h/status/1", 7)
    with pytest.raises(BadCode):
        read_credential(unpacked(printed.url))


def test_an_annotated_copy_says_what_it_is_for_and_until_when() -> None:
    claims = Claims(
        issuer="云江市市场监督管理局",
        subject="1.2.156.3005.2.11100000MB0143028R001.11310000MB2F30000X.0000000001.001.7",
        licence_type="营业执照",
        holder="云江市青禾信息科技有限公司",
        number="91310000MA1FL00000",
        issued=AT,
        token_id=secrets.token_bytes(8),
        region="310000",
        status=StatusRef("https://yunjiang.example/status/1", 3),
        copy_id="copy_0123456789abcdef",
        purpose="仅用于办理银行开户，他用无效",
        purpose_until=AT + timedelta(days=30),
        matter="open-bank-account",
        sample=True,
    )
    url = encode(claims, ISSUER, "yunjiang.example")
    code = decode(url)
    assert isinstance(code, SignedCode)
    assert code.claims == claims
    assert code.verify(ISSUER.public_key)
    assert len(url) <= 900


@given(st.integers(0, 10_000))
def test_no_changed_bit_leaves_both_signatures_standing(bit: int) -> None:
    raw = bytearray(unpacked(URL))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 1 << bit % 8
    try:
        code = decode(_url(bytes(raw)))
    except BadCode:
        return
    assert not (isinstance(code, ShownCode) and code.verify(ISSUER.public_key) and code.held())


def _payload(change: dict[int, object]) -> str:
    outer = cbor2.loads(unpacked(URL)).value.value
    body = {**cbor2.loads(outer[2]), **change}
    return _url(cbor.write(cbor2.CBORTag(61, cbor2.CBORTag(18, [outer[0], {}, cbor.write(body), outer[3]]))))


@pytest.mark.parametrize(
    "change",
    [
        {6: "now"}, {6: 1e9}, {6: 1 << 70}, {6: True}, {7: b""}, {7: b"x" * 400}, {-70013: "text"}, {-70013: b""},
        {-70013: RAW + b"\0"}, {-70013: b"\0" * 3000}, {-70014: 4711}, {-70014: "1" * 200}, {99: 1}, {8: {}},
    ],
    ids=lambda change: "-".join(map(str, change)),
)  # fmt: skip
def test_hostile_payloads_are_refused_with_one_named_error(change: dict[int, object]) -> None:
    with pytest.raises(BadCode):
        decode(_payload(change))


@pytest.mark.parametrize(
    "cnf",
    [{}, {1: {}}, {1: {1: 2, -1: 1, -2: b"\xff" * 32, -3: True}}, {1: {1: 2, -1: 2, -2: b"\1" * 32, -3: True}}, {1: 7}, "key"],
    ids=str,
)
def test_a_credential_for_no_real_key_is_refused(cnf: object) -> None:
    outer = cbor2.loads(RAW).value.value
    body = {**cbor2.loads(outer[2]), 8: cnf}
    raw = cbor.write(cbor2.CBORTag(61, cbor2.CBORTag(18, [outer[0], {}, cbor.write(body), outer[3]])))
    with pytest.raises(BadCode):
        read_credential(raw)


def test_the_same_showing_is_known_again_and_the_next_is_another() -> None:
    first, again, following = decode(URL), decode(URL), decode(encode_shown(RAW, PHONE, "yunjiang.example", at=AT))
    assert isinstance(first, ShownCode)
    assert isinstance(again, ShownCode)
    assert isinstance(following, ShownCode)
    assert first.token == again.token != following.token


def test_true_is_no_key_that_passes_for_one() -> None:
    with pytest.raises(cbor.Malformed):
        cbor.read(b"\xa2\x01\x00\xf5\x00")
    assert cbor.read(b"\x83\xf4\xf5\xf6") == [False, True, None]
