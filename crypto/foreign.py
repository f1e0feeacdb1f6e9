"""Verification, never signing, with algorithms that no suite of ours covers: RSA below 2048 bits or with SHA-1, other
curves, EdDSA.

A foreign document's *integrity* can then be told apart from its *trust*: a caller learns that the signature value is
arithmetically right, and still has to say that the algorithm is not accepted.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from crypto import der
from crypto.algorithms import EC_PUBLIC_KEY, RSA_ENCRYPTION, RSASSA_PSS, identifier_oid

_DIGESTS: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "1.3.14.3.2.26": ("sha1", hashes.SHA1()),  # noqa: S303 - read only, and reported as weak
    "2.16.840.1.101.3.4.2.4": ("sha224", hashes.SHA224()),
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256()),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384()),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512()),
    "2.16.840.1.101.3.4.2.8": ("sha3-256", hashes.SHA3_256()),
    "2.16.840.1.101.3.4.2.9": ("sha3-384", hashes.SHA3_384()),
    "2.16.840.1.101.3.4.2.10": ("sha3-512", hashes.SHA3_512()),
}
_IN_SIGNATURE = {  # signature algorithms that name their digest
    "1.2.840.113549.1.1.5": "1.3.14.3.2.26",
    "1.2.840.113549.1.1.11": "2.16.840.1.101.3.4.2.1",
    "1.2.840.113549.1.1.12": "2.16.840.1.101.3.4.2.2",
    "1.2.840.113549.1.1.13": "2.16.840.1.101.3.4.2.3",
    "1.2.840.113549.1.1.14": "2.16.840.1.101.3.4.2.4",
    "1.2.840.10045.4.1": "1.3.14.3.2.26",
    "1.2.840.10045.4.3.1": "2.16.840.1.101.3.4.2.4",
    "1.2.840.10045.4.3.2": "2.16.840.1.101.3.4.2.1",
    "1.2.840.10045.4.3.3": "2.16.840.1.101.3.4.2.2",
    "1.2.840.10045.4.3.4": "2.16.840.1.101.3.4.2.3",
}
_ECDSA = {EC_PUBLIC_KEY, *(oid for oid in _IN_SIGNATURE if oid.startswith("1.2.840.10045."))}
_PKCS1 = {RSA_ENCRYPTION, *(oid for oid in _IN_SIGNATURE if oid.startswith("1.2.840.113549."))}
_SHAKE256_512 = "2.16.840.1.101.3.4.2.12"


def digest_name(oid: str) -> str | None:
    """A digest's common name, None for an unknown one."""
    known = _DIGESTS.get(oid)
    return known[0] if known else None


def digest(oid: str, *parts: bytes | memoryview) -> bytes | None:
    """Digest of the concatenated parts by OID (SHA-1, SHA-2, SHA-3, SHAKE256-512); None for an unknown one."""
    algorithm: hashes.HashAlgorithm
    if oid == _SHAKE256_512:
        algorithm = hashes.SHAKE256(64)
    elif oid in _DIGESTS:
        algorithm = _DIGESTS[oid][1]
    else:
        return None
    context = hashes.Hash(algorithm)
    for part in parts:
        context.update(part)
    return context.finalize()


def verify(spki: bytes, identifier: bytes, digest_oid: str, message: bytes, signature: bytes) -> bool | None:
    """Whether ``signature`` over ``message`` is right; None where key or algorithm are unknown here.

    :param identifier: DER AlgorithmIdentifier of the signature
    :param digest_oid: the digest named beside it, used where the identifier names none
    """
    try:
        key: Any = serialization.load_der_public_key(spki)
        oid = identifier_oid(identifier)
    except (ValueError, TypeError, UnsupportedAlgorithm, der.NotDer):
        return None
    except Exception:  # noqa: BLE001 - the parsers of cryptography raise their own kinds on hostile keys
        return None
    chosen = _DIGESTS.get(_IN_SIGNATURE.get(oid, digest_oid))
    try:
        if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
            key.verify(signature, message)
        elif chosen is None:
            return None
        elif isinstance(key, ec.EllipticCurvePublicKey) and oid in _ECDSA:
            key.verify(signature, message, ec.ECDSA(chosen[1]))
        elif isinstance(key, rsa.RSAPublicKey) and oid == RSASSA_PSS:
            # MGF1 with the digest of the message: other masks are not met outside test suites.
            key.verify(signature, message, padding.PSS(padding.MGF1(chosen[1]), padding.PSS.AUTO), chosen[1])
        elif isinstance(key, rsa.RSAPublicKey) and oid in _PKCS1:
            key.verify(signature, message, padding.PKCS1v15(), chosen[1])
        else:
            return None
    except InvalidSignature:
        return False
    except (ValueError, UnsupportedAlgorithm):
        return None
    return True
