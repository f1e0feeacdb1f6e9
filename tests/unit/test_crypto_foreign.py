"""Algorithms outside our suites: their values are computed, unknown ones are said to be unknown, and nothing raises."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from crypto import algorithms, der, foreign
from crypto.suites import RSA_PSS_SHA256

MESSAGE = b"foreign"
SHA1, SHA256, SHA384 = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2"
RSA_1024 = rsa.generate_private_key(65537, 1024)
P384 = ec.generate_private_key(ec.SECP384R1())


def spki(key: Any) -> bytes:
    encoded: bytes = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def identifier(oid: str) -> bytes:
    return der.sequence(der.oid(oid))


CASES = [
    ("RSA-1024 with SHA-1", RSA_1024, "1.2.840.113549.1.1.5", SHA1, RSA_1024.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA1())),
    ("rsaEncryption", RSA_1024, "1.2.840.113549.1.1.1", SHA256, RSA_1024.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256())),
    ("P-384", P384, "1.2.840.10045.4.3.3", SHA384, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA384()))),
    ("id-ecPublicKey", P384, "1.2.840.10045.2.1", SHA256, P384.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))),
    *(
        (name, key, oid, "2.16.840.1.101.3.4.2.3", key.sign(MESSAGE))
        for name, key, oid in (
            ("Ed25519", ed25519.Ed25519PrivateKey.generate(), "1.3.101.112"),
            ("Ed448", ed448.Ed448PrivateKey.generate(), "1.3.101.113"),
        )
    ),
]


@pytest.mark.parametrize(("name", "key", "oid", "digest", "signature"), CASES, ids=[c[0] for c in CASES])
def test_values_are_computed(name: str, key: Any, oid: str, digest: str, signature: bytes) -> None:
    assert foreign.verify(spki(key), identifier(oid), digest, MESSAGE, signature) is True
    assert foreign.verify(spki(key), identifier(oid), digest, MESSAGE + b"!", signature) is False
    assert foreign.verify(spki(key), identifier(oid), digest, MESSAGE, signature[:-1] + bytes([signature[-1] ^ 1])) is False


@pytest.mark.parametrize("salt", [0, 20, 32, 94])
def test_pss_with_any_salt(salt: int) -> None:
    signature = RSA_1024.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    pss = algorithms.signature_identifier(RSA_PSS_SHA256)
    assert foreign.verify(spki(RSA_1024), pss, SHA256, MESSAGE, signature) is True
    assert foreign.verify(spki(RSA_1024), pss, SHA256, MESSAGE + b"!", signature) is False


def test_what_is_unknown_is_none() -> None:
    good = spki(RSA_1024)
    for encoded, oid, digest in (
        (good, "1.2.840.113549.1.1.4", "1.2.840.113549.2.5"),  # MD5
        (good, "1.2.3.4", "1.2.3.5"),
        (good, "1.2.840.10045.4.3.2", SHA256),  # ECDSA with an RSA key
        (spki(dsa.generate_private_key(1024)), "1.2.840.10040.4.3", SHA1),
        (spki(x25519.X25519PrivateKey.generate()), "1.3.101.110", SHA256),
        (b"no key", "1.2.840.113549.1.1.11", SHA256),
    ):
        assert foreign.verify(encoded, identifier(oid), digest, MESSAGE, b"s" * 128) is None
    assert foreign.verify(good, b"no identifier", SHA256, MESSAGE, b"") is None
    assert foreign.digest("1.2.3", b"") is None
    assert foreign.digest_name("1.2.3") is None


def test_digests_by_oid() -> None:
    assert foreign.digest(SHA1, b"a", memoryview(b"b")) == hashlib.sha1(b"ab").digest()
    assert foreign.digest("2.16.840.1.101.3.4.2.8", b"ab") == hashlib.sha3_256(b"ab").digest()
    assert foreign.digest("2.16.840.1.101.3.4.2.12", b"ab") == hashlib.shake_256(b"ab").digest(64)
    assert foreign.digest_name(SHA384) == "sha384"


@given(st.binary(max_size=120), st.binary(max_size=40), st.binary(max_size=140))
def test_hostile_keys_identifiers_and_values_never_raise(key: bytes, algorithm: bytes, signature: bytes) -> None:
    good = spki(P384)
    for encoded in (key, good[: len(key)] + key + good[len(key) * 2 :]):
        assert foreign.verify(encoded, algorithm, SHA256, MESSAGE, signature) in (None, False)
        assert foreign.verify(encoded, identifier("1.2.840.10045.4.3.3"), SHA384, MESSAGE, signature) in (None, False)
