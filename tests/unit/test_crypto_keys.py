"""Keys of three suites: what one signs the other verifies, and every near miss is refused."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import algorithms, der, keys, sm2
from crypto.errors import MalformedSignature, SchemeMismatch, UnsupportedKey
from crypto.keys import PublicKey, SoftwareKey
from crypto.suites import (
    ECDSA_P256_SHA256,
    RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
    SCHEMES,
    SM2_SM3,
    DigestAlgorithm,
    Scheme,
    Suite,
    default_scheme,
)

KEYS = {suite: SoftwareKey.generate(suite) for suite in Suite}
MESSAGE = b"the message" * 30


def spki(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


@pytest.mark.parametrize("scheme", list(SCHEMES.values()), ids=lambda s: s.name)
def test_every_scheme_signs_and_verifies_and_nothing_else_does(scheme: Scheme) -> None:
    key = KEYS[scheme.suite]
    signature = key.sign(MESSAGE, scheme)
    assert key.public_key.verify(MESSAGE, signature, scheme)
    assert not key.public_key.verify(MESSAGE + b"\0", signature, scheme)
    assert not SoftwareKey.generate(scheme.suite).public_key.verify(MESSAGE, signature, scheme)
    for other in SCHEMES.values():
        if other is not scheme:
            assert not key.public_key.verify(MESSAGE, signature, other)
    for place in (0, len(signature) // 2, len(signature) - 1):
        damaged = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        assert not key.public_key.verify(MESSAGE, damaged, scheme)
    for wrong in (b"", signature[:-1], signature + b"\0", b"\0" + signature):
        assert not key.public_key.verify(MESSAGE, wrong, scheme)


@cache
def _longer(bits: int) -> SoftwareKey:
    return SoftwareKey.generate(Suite.RSA, rsa_bits=bits)


@pytest.mark.parametrize("bits", [3072, 4096])
@pytest.mark.parametrize("scheme", [s for s in SCHEMES.values() if s.suite is Suite.RSA], ids=lambda s: s.name)
def test_longer_rsa_keys(bits: int, scheme: Scheme) -> None:
    key = _longer(bits)
    assert key.public_key.bits == bits
    signature = key.sign(MESSAGE, scheme)
    assert len(signature) * 8 == bits
    assert key.public_key.verify(MESSAGE, signature, scheme)


@pytest.mark.parametrize("suite", list(Suite))
def test_private_keys_survive_export_and_openssl_reads_them(suite: Suite, tmp_path: Path) -> None:
    key = KEYS[suite]
    encoded = key.to_pkcs8()
    again = SoftwareKey.from_pkcs8(encoded)
    assert again.public_key == key.public_key
    assert key.public_key.verify(MESSAGE, again.sign(MESSAGE))
    (tmp_path / "key").write_bytes(encoded)
    done = subprocess.run(
        ["openssl", "pkey", "-inform", "DER", "-in", "key", "-pubout", "-outform", "DER"],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == key.public_key.spki


def test_sec1_private_key_of_openssl_is_read(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "ecparam", "-name", "SM2", "-genkey", "-noout", "-outform", "DER", "-out", "key"], cwd=tmp_path, check=True
    )
    key = sm2.load_private_key((tmp_path / "key").read_bytes())
    done = subprocess.run(
        ["openssl", "pkey", "-inform", "DER", "-in", "key", "-pubout", "-outform", "DER"],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    assert sm2.public_spki(key) == done.stdout


def test_keys_outside_the_suites_are_refused_by_name() -> None:
    refused = [
        spki(ec.generate_private_key(ec.SECP384R1()).public_key()),
        spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
        spki(ed25519.Ed25519PrivateKey.generate().public_key()),
        spki(dsa.generate_private_key(1024).public_key()),
        spki(rsa.generate_private_key(65537, 1024).public_key()),
        b"", b"\x30\x00", b"no key", KEYS[Suite.RSA].public_key.spki + b"\0", KEYS[Suite.SM2].public_key.spki + b"\0",
        KEYS[Suite.SM2].public_key.spki[:-1], KEYS[Suite.P256].public_key.spki[:-1],
    ]  # fmt: skip
    for encoded in refused:
        with pytest.raises(UnsupportedKey):
            PublicKey.from_spki(encoded)
    with pytest.raises(UnsupportedKey):
        SoftwareKey.generate(Suite.RSA, rsa_bits=1024)
    for encoded in (b"", b"\x30\x03\x02\x01\x01", KEYS[Suite.SM2].to_pkcs8()[:-1]):
        with pytest.raises(UnsupportedKey):
            SoftwareKey.from_pkcs8(encoded)


@pytest.mark.parametrize("suite", [Suite.P256, Suite.SM2])
def test_points_off_the_curve_and_at_infinity_are_refused(suite: Suite) -> None:
    good = KEYS[suite].public_key.spki
    x, y = good[-64:-32], good[-32:]
    prime = sm2.P if suite is Suite.SM2 else 2**256 - 2**224 + 2**192 + 2**96 - 1
    bad_points = [
        b"\x04" + x + y[:-1] + bytes([y[-1] ^ 1]), b"\x04" + y + x, b"\x04" + bytes(64), b"\x04" + x + bytes(32),
        b"\x04" + prime.to_bytes(32, "big") + y, b"\x04" + b"\xff" * 64, b"\x00", b"", b"\x04" + x, b"\x05" + x + y,
        b"\x06" + x + bytes(32), b"\x04" + x + y + b"\0", b"\x02" + b"\xff" * 32,
    ]  # fmt: skip
    outer = der.children(good, der.read(good))
    algorithm = good[outer[0].start : outer[0].end]
    for point in bad_points:
        with pytest.raises(UnsupportedKey):
            PublicKey.from_spki(der.sequence(algorithm, der.bit_string(point)))


def test_compressed_sm2_points_are_the_same_key() -> None:
    key = KEYS[Suite.SM2]
    xy = key.public_key.spki[-64:]
    algorithm = key.public_key.spki[2:23]
    compressed = der.sequence(algorithm, der.bit_string(bytes([2 + (xy[-1] & 1)]) + xy[:32]))
    assert PublicKey.from_spki(compressed).verify(MESSAGE, key.sign(MESSAGE))


def test_a_scheme_of_another_suite_does_not_sign() -> None:
    for key in KEYS.values():
        for scheme in SCHEMES.values():
            if scheme.suite is not key.suite:
                with pytest.raises(SchemeMismatch):
                    key.sign(MESSAGE, scheme)


def test_rsa_near_misses_are_refused() -> None:
    """In the spirit of Wycheproof: numbers at the edge of the modulus, forged padding, another salt length."""
    key = KEYS[Suite.RSA]
    private: rsa.RSAPrivateKey = key._private
    numbers = private.private_numbers()
    n, d, size = numbers.public_numbers.n, numbers.d, 256
    digest = keys.digest(DigestAlgorithm.SHA256, MESSAGE)
    info = der.sequence(
        der.sequence(der.oid(algorithms.DIGEST_OIDS[DigestAlgorithm.SHA256]), b"\5\0"), der.octet_string(digest)
    )

    def forge(block: bytes) -> bytes:
        return pow(int.from_bytes(block, "big"), d, n).to_bytes(size, "big")

    short = b"\0\1" + b"\xff" * 8 + b"\0" + info
    forged = [
        *(v.to_bytes(size, "big") for v in (0, 1, n - 1, n)),
        forge(short.ljust(size, b"\0")), forge(b"\0\2" + b"\xff" * (size - 3 - len(info)) + b"\0" + info),
        forge(b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest),
        forge(b"\0\1" + b"\xff" * (size - 4 - len(info)) + b"\0" + info + b"x"),
    ]  # fmt: skip
    proper = forge(b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info)
    assert key.public_key.verify(MESSAGE, proper, RSA_PKCS1_SHA256)
    for signature in forged:
        assert not key.public_key.verify(MESSAGE, signature, RSA_PKCS1_SHA256)
    for salt in (0, 20, 31, 33, padding.PSS.MAX_LENGTH):
        odd = private.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
        assert not key.public_key.verify(MESSAGE, odd, RSA_PSS_SHA256)
    mixed = private.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA384()), 32), hashes.SHA256())
    assert not key.public_key.verify(MESSAGE, mixed, RSA_PSS_SHA256)


def test_p256_near_misses_are_refused() -> None:
    key = KEYS[Suite.P256]
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    signature = key.sign(MESSAGE)
    r, s = (der.read_unsigned(signature, part) for part in der.children(signature, der.read(signature)))
    i = der.integer
    near = [
        der.sequence(i(a), i(b))
        for a, b in [
            (0, s),
            (r, 0),
            (0, 0),
            (n, s),
            (r, n),
            (r + n, s),
            (r, s + n),
            (-r, s),
            (r, -s),
            (1, 1),
            (s, r),
            (n - r, s),
        ]
    ]
    near += [
        signature + b"\0", der.sequence(i(r), i(s), i(1)), der.sequence(i(r)), b"\x30\x81" + signature[1:], signature[2:],
        b"\x30\x80" + signature[2:] + b"\0\0", der.sequence(der.tlv(2, b"\0\0" + r.to_bytes(32, "big")), i(s)),
        r.to_bytes(32, "big") + s.to_bytes(32, "big"),
    ]  # fmt: skip
    for wrong in near:
        assert not key.public_key.verify(MESSAGE, wrong, ECDSA_P256_SHA256)


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_no_bytes_make_signature_reading_fail_otherwise_than_by_name(data: bytes) -> None:
    for reader in (sm2.der_to_raw, sm2.normalise_signature, sm2.raw_to_der):
        try:
            value = reader(data)
        except MalformedSignature:
            continue
        assert len(value) in (64, *range(8, 73))
    assert KEYS[Suite.SM2].public_key.verify(MESSAGE, data) is False


@settings(max_examples=200)
@given(r=st.integers(1, sm2.N - 1), s=st.integers(1, sm2.N - 1))
def test_signature_encodings_are_one_value(r: int, s: int) -> None:
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    strict = sm2.raw_to_der(raw)
    assert sm2.der_to_raw(strict) == raw
    bare = der.sequence(*(der.tlv(der.INTEGER, v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (r, s)))
    padded = der.sequence(*(der.tlv(der.INTEGER, b"\0" * 3 + v.to_bytes(32, "big")) for v in (r, s)))
    assert {sm2.normalise_signature(form) for form in (strict, raw, bare, padded)} == {strict}


@given(st.integers(-(2**200), 2**200), st.lists(st.integers(0, 2**70), max_size=6), st.binary(max_size=400))
def test_der_writers_and_readers_agree(number: int, arcs: list[int], content: bytes) -> None:
    encoded = der.integer(number)
    element = der.read(encoded)
    assert int.from_bytes(encoded[element.body : element.end], "big", signed=True) == number
    dotted = ".".join(map(str, (2, 5, *arcs)))
    assert der.read_oid(der.oid(dotted), der.read(der.oid(dotted))) == dotted
    wrapped = der.sequence(der.octet_string(content), der.bit_string(content))
    parts = der.children(wrapped, der.expect(wrapped, der.SEQUENCE))
    assert [wrapped[p.body : p.end] for p in parts] == [content, b"\0" + content]


def test_default_schemes_and_identifiers_lead_back_to_themselves() -> None:
    for scheme in SCHEMES.values():
        assert algorithms.read_signature(algorithms.signature_identifier(scheme)) is scheme
        assert algorithms.read_signature(algorithms.signature_identifier(scheme), scheme.digest) is scheme
        wrong = DigestAlgorithm.SHA512 if scheme.digest is not DigestAlgorithm.SHA512 else DigestAlgorithm.SHA256
        assert algorithms.read_signature(algorithms.signature_identifier(scheme), wrong) is None
    assert default_scheme(Suite.SM2) is SM2_SM3
    bare_rsa = der.sequence(der.oid(algorithms.RSA_ENCRYPTION), b"\5\0")
    assert algorithms.read_signature(bare_rsa) is None
    assert algorithms.read_signature(bare_rsa, DigestAlgorithm.SHA256) is RSA_PKCS1_SHA256
