"""A status list says what its maker signed about each place, and nothing of what is not its own."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey

from crypto.keys import SoftwareKey
from crypto.suites import Suite
from formats import cbor, jose
from formats.statuslist import (
    MAX_ARRAY,
    BadStatusList,
    StatusList,
    StatusListToken,
    StatusRef,
    from_json,
    read_cwt,
    read_jwt,
    ref_from_json,
    ref_to_json,
    sign_cwt,
    sign_jwt,
)

URI = "https://sh.example.cn/status/k3"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DRAFT_2 = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


def _token(uri: str = URI) -> StatusListToken:
    statuses = StatusList.sparse(1 << 16, {7: 1, 9: 2, 65535: 3}, 2)
    return StatusListToken(uri, NOW, statuses, NOW + timedelta(days=1), timedelta(seconds=60))


def test_two_bits_pack_as_the_draft_draws_them() -> None:
    packed = StatusList.pack(DRAFT_2, 2)
    assert packed.array.hex() == "c944f9"
    assert packed.compress().hex() == "78da3be9f2130003df0207"
    assert list(packed.values()) == DRAFT_2


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_width_comes_back_as_it_went_in(bits: int) -> None:
    values = [(place * 7 + 3) % (1 << bits) for place in range(64)]
    again = StatusList.decompress(StatusList.pack(values, bits).compress(), bits)
    assert list(again.values()) == values


def test_a_signed_list_says_its_places_its_age_and_how_long_it_may_be_kept() -> None:
    key = SoftwareKey.generate(Suite.P256)
    text = sign_jwt(_token(), key, kid=key.public_key.fingerprint)
    read = read_jwt(text, [SoftwareKey.generate(Suite.P256).public_key, key.public_key], uri=URI)
    assert [read.statuses[place] for place in (0, 7, 9, 65535)] == [0, 1, 2, 3]
    assert (read.issued, read.expires, read.ttl) == (NOW, NOW + timedelta(days=1), timedelta(seconds=60))
    header, claims = jose.claimed(text, max_payload=100_000)
    assert header == {"alg": "ES256", "typ": "statuslist+jwt", "kid": key.public_key.fingerprint}
    assert set(claims) == {"sub", "iat", "exp", "ttl", "status_list"}


def test_a_list_of_another_address_or_by_a_stranger_or_of_another_kind_is_refused() -> None:
    key = SoftwareKey.generate(Suite.P256)
    text = sign_jwt(_token("https://sh.example.cn/status/other"), key, kid="1")
    with pytest.raises(BadStatusList, match="another address"):
        read_jwt(text, [key.public_key], uri=URI)
    with pytest.raises(BadStatusList, match="no key"):
        read_jwt(sign_jwt(_token(), key, kid="1"), [SoftwareKey.generate(Suite.P256).public_key], uri=URI)
    other = jose.sign({"typ": "JWT"}, {"sub": URI, "iat": 1, "status_list": {}}, key)
    with pytest.raises(BadStatusList, match="something else"):
        read_jwt(other, [key.public_key], uri=URI)
    with pytest.raises(BadStatusList):
        read_jwt("eyJhbGciOiJub25lIn0.e30.", [key.public_key], uri=URI)


def test_a_small_bomb_does_not_become_a_large_array() -> None:
    bomb = zlib.compress(bytes(MAX_ARRAY + 1), 9)
    assert len(bomb) < 10_000
    with pytest.raises(BadStatusList, match="too large"):
        StatusList.decompress(bomb, 2)
    assert len(StatusList.decompress(zlib.compress(bytes(MAX_ARRAY), 9), 2)) == MAX_ARRAY * 4


@pytest.mark.parametrize(
    "content",
    [{}, {"bits": 3, "lst": "eNrbuRgAAhcBXQ"}, {"bits": 1, "lst": "eNrbuRg"}, {"bits": "1", "lst": "eNrbuRgAAhcBXQ"}, [], None],
)
def test_content_of_another_form_is_refused(content: object) -> None:
    with pytest.raises(BadStatusList):
        from_json(content)


def test_nothing_is_said_of_a_place_that_a_list_does_not_have() -> None:
    with pytest.raises(BadStatusList, match="no place 16"):
        _ = StatusList.pack([1] * 16, 1)[16]


def test_a_reference_is_written_as_the_draft_says() -> None:
    ref = StatusRef(URI, 412)
    assert ref_to_json(ref) == {"status_list": {"idx": 412, "uri": URI}}
    assert ref_from_json(ref_to_json(ref)) == ref
    for wrong in ({}, {"status_list": {"idx": -1, "uri": URI}}, {"status_list": {"idx": True, "uri": URI}}, None):
        with pytest.raises(BadStatusList):
            ref_from_json(wrong)


# --- the CWT form -------------------------------------------------------------------------------------------------------


def test_the_cwt_form_says_the_same_and_an_independent_reader_accepts_it() -> None:
    key = SoftwareKey.generate(Suite.P256)
    raw = sign_cwt(_token(), key, kid=b"12345678")
    assert read_cwt(raw, [key.public_key], uri=URI) == _token()
    public = serialization.load_der_public_key(key.public_key.spki)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = cbor2.loads(cwt.COSE.new().decode(raw, cwt.COSEKey.from_pem(pem, kid=b"12345678")))
    assert (claims[2], claims[65534]) == (URI, 60)
    assert zlib.decompress(claims[65533]["lst"]) == _token().statuses.array


def test_a_cwt_list_of_another_address_or_by_a_stranger_or_changed_is_refused() -> None:
    key = SoftwareKey.generate(Suite.P256)
    raw = sign_cwt(_token(), key, kid=b"12345678")
    with pytest.raises(BadStatusList, match="another address"):
        read_cwt(raw, [key.public_key], uri=URI + "x")
    with pytest.raises(BadStatusList, match="no key"):
        read_cwt(raw, [SoftwareKey.generate(Suite.P256).public_key], uri=URI)
    with pytest.raises(BadStatusList):
        read_cwt(raw[:-1] + bytes([raw[-1] ^ 1]), [key.public_key], uri=URI)
    with pytest.raises(BadStatusList):
        sign_cwt(_token(), SoftwareKey.generate(Suite.RSA), kid=b"1")


@pytest.mark.parametrize(
    "header",
    [
        {1: -7},
        {1: -7, 16: "application/cwt"},
        {1: -8, 16: "application/statuslist+cwt"},
        {1: -7, 16: "application/statuslist+cwt", 2: [99]},
    ],
    ids=str,
)
def test_a_cwt_of_another_type_is_no_status_list(header: dict[int, object]) -> None:
    claims = {2: URI, 6: 1, 65533: {"bits": 1, "lst": zlib.compress(b"a")}}
    raw = cbor.write(cbor2.CBORTag(18, [cbor.write(header), {}, cbor.write(claims), bytes(64)]))
    with pytest.raises(BadStatusList, match="cannot be read"):
        read_cwt(raw, [], uri=URI)


@given(st.binary(max_size=120))
def test_random_bytes_are_refused_with_one_named_error(raw: bytes) -> None:
    with pytest.raises(BadStatusList):
        read_cwt(raw, [], uri=URI)


def test_signed_json_with_a_name_that_occurs_twice_is_refused() -> None:
    key = ECKey.generate_key("P-256")
    text = jws.serialize_compact({"alg": "ES256"}, b'{"sub":"a","sub":"b"}', key)
    with pytest.raises(jose.BadJws):
        jose.claimed(text, max_payload=1000)
    with pytest.raises(jose.BadJws):
        jose.verify(text, [jose.public_key(key.as_dict(private=False))], max_payload=1000)
