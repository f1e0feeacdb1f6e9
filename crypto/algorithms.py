"""Algorithm identifiers in DER, both ways: a scheme's on the way out, a scheme (or nothing) on the way in.

RFC 5754 (SHA-2 in CMS), RFC 4055 and RFC 8017 (RSA, PSS), RFC 5758 (ECDSA), GM/T 0006 and GB/T 35275-2017 (SM2, SM3).
"""

from __future__ import annotations

from functools import lru_cache

from crypto import der
from crypto.suites import ECDSA_P256_SHA256, SCHEMES, SM2_SM3, DigestAlgorithm, Scheme, Suite

DIGEST_OIDS: dict[DigestAlgorithm, str] = {
    DigestAlgorithm.SHA256: "2.16.840.1.101.3.4.2.1",
    DigestAlgorithm.SHA384: "2.16.840.1.101.3.4.2.2",
    DigestAlgorithm.SHA512: "2.16.840.1.101.3.4.2.3",
    DigestAlgorithm.SM3: "1.2.156.10197.1.401",
}
_DIGESTS = {oid: digest for digest, oid in DIGEST_OIDS.items()}
DIGEST_SIZES = {DigestAlgorithm.SHA256: 32, DigestAlgorithm.SHA384: 48, DigestAlgorithm.SHA512: 64, DigestAlgorithm.SM3: 32}

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
RSASSA_PSS = "1.2.840.113549.1.1.10"
MGF1 = "1.2.840.113549.1.1.8"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
SM2_SIGNATURE = "1.2.156.10197.1.301.1"
"""SM2-1, the signature algorithm: what GB/T 35275 wants in a SignerInfo, the digest being named apart."""

_PKCS1_OIDS = {
    DigestAlgorithm.SHA256: "1.2.840.113549.1.1.11",
    DigestAlgorithm.SHA384: "1.2.840.113549.1.1.12",
    DigestAlgorithm.SHA512: "1.2.840.113549.1.1.13",
}
_ECDSA_SHA256 = "1.2.840.10045.4.3.2"
_SM2_WITH_SM3 = "1.2.156.10197.1.501"
_SM2_OIDS = {_SM2_WITH_SM3, SM2_SIGNATURE, "1.2.156.10197.1.301"}  # the curve's own, in old files
_NULL = der.tlv(der.NULL, b"")


@lru_cache
def digest_identifier(digest: DigestAlgorithm) -> bytes:
    """AlgorithmIdentifier of a digest, without parameters (RFC 5754 §2)."""
    return der.sequence(der.oid(DIGEST_OIDS[digest]))


@lru_cache
def signature_identifier(scheme: Scheme, *, gm35275: bool = False) -> bytes:
    """AlgorithmIdentifier of a scheme as a SignerInfo or certificate carries it; ``gm35275`` names SM2 without its digest."""
    if scheme.suite is Suite.SM2:
        return der.sequence(der.oid(SM2_SIGNATURE if gm35275 else _SM2_WITH_SM3))
    if scheme.suite is Suite.P256:
        return der.sequence(der.oid(_ECDSA_SHA256))
    if scheme.padding == "pkcs1v15":
        return der.sequence(der.oid(_PKCS1_OIDS[scheme.digest]), _NULL)
    digest = der.sequence(der.oid(DIGEST_OIDS[scheme.digest]), _NULL)
    parameters = der.sequence(
        der.tlv(0xA0, digest),
        der.tlv(0xA1, der.sequence(der.oid(MGF1), digest)),
        der.tlv(0xA2, der.integer(DIGEST_SIZES[scheme.digest])),
    )
    return der.sequence(der.oid(RSASSA_PSS), parameters)


def identifier_oid(identifier: bytes) -> str:
    """The OID of an AlgorithmIdentifier.

    :raises crypto.der.NotDer: not one
    """
    outer = der.expect(identifier, der.SEQUENCE)
    return der.read_oid(identifier, der.read(identifier, outer.body, outer.end))


def read_digest(identifier: bytes) -> DigestAlgorithm | None:
    """The digest an AlgorithmIdentifier names; None for one that no suite uses (SHA-1, MD5 …).

    :raises crypto.der.NotDer: not an AlgorithmIdentifier
    """
    return _DIGESTS.get(identifier_oid(identifier))


@lru_cache(maxsize=256)
def read_signature(identifier: bytes, digest: DigestAlgorithm | None = None) -> Scheme | None:
    """The scheme an AlgorithmIdentifier names; None for one that no suite covers (SHA-1, PSS parameters of another kind).

    :param digest: the digest named beside it, for identifiers that leave it open (rsaEncryption, SM2-1); one that contradicts
        the identifier gives None
    :raises crypto.der.NotDer: not an AlgorithmIdentifier
    """
    oid = identifier_oid(identifier)
    found: Scheme | None = None
    if oid in _SM2_OIDS:
        found = SM2_SM3
    elif oid == _ECDSA_SHA256 or (oid == EC_PUBLIC_KEY and digest is DigestAlgorithm.SHA256):
        found = ECDSA_P256_SHA256
    elif oid == RSASSA_PSS:
        found = _read_pss(identifier)
    elif oid == RSA_ENCRYPTION:
        found = next((s for s in SCHEMES.values() if s.padding == "pkcs1v15" and s.digest is digest), None)
    else:
        named = next((d for d, o in _PKCS1_OIDS.items() if o == oid), None)
        found = next((s for s in SCHEMES.values() if s.padding == "pkcs1v15" and s.digest is named), None)
    if found is not None and digest is not None and found.digest is not digest:
        return None
    return found


def _read_pss(identifier: bytes) -> Scheme | None:
    """PSS with one digest in both places, a salt of its length and the usual trailer; other parameters give None."""
    shape = _contents(identifier)
    return next((s for s in SCHEMES.values() if s.padding == "pss" and _contents(signature_identifier(s)) == shape), None)


def _contents(identifier: bytes) -> list[bytes]:
    """The primitive elements of an encoding in order, NULLs left out: equal for encodings that differ only in absent NULLs."""
    found: list[bytes] = []
    pending = [der.expect(identifier, der.SEQUENCE)]
    while pending:
        element = pending.pop()
        if element.tag & 0x20:
            found.append(bytes([element.tag]))
            pending.extend(reversed(der.children(identifier, element, 100)))
        elif element.tag != der.NULL:
            found.append(identifier[element.start : element.end])
    return found
