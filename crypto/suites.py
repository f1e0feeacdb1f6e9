"""Algorithm suites and signature schemes by name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Suite(StrEnum):
    """A family of keys. Three stand side by side (design: Keys, certificates, seals)."""

    RSA = "rsa"
    P256 = "p256"
    SM2 = "sm2"


class DigestAlgorithm(StrEnum):
    """Digests in use; the value is the name that asn1crypto and pyHanko know it by."""

    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    SM3 = "sm3"


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a key of a suite signs: digest and, for RSA, the padding (``pkcs1v15`` or ``pss``).

    Signature values: RSA big-endian of the modulus length; ECDSA and SM2 DER ``SEQUENCE {r, s}``. PSS uses MGF1 with the same
    digest and a salt of the digest's length (RFC 8017 §9.1). SM2 signs e = SM3(Z_A ‖ M) (GB/T 32918.2-2016 §6.1).
    """

    name: str
    suite: Suite
    digest: DigestAlgorithm
    padding: str | None = None


RSA_PKCS1_SHA256 = Scheme("rsa-pkcs1v15-sha256", Suite.RSA, DigestAlgorithm.SHA256, "pkcs1v15")
RSA_PKCS1_SHA384 = Scheme("rsa-pkcs1v15-sha384", Suite.RSA, DigestAlgorithm.SHA384, "pkcs1v15")
RSA_PKCS1_SHA512 = Scheme("rsa-pkcs1v15-sha512", Suite.RSA, DigestAlgorithm.SHA512, "pkcs1v15")
RSA_PSS_SHA256 = Scheme("rsa-pss-sha256", Suite.RSA, DigestAlgorithm.SHA256, "pss")
RSA_PSS_SHA384 = Scheme("rsa-pss-sha384", Suite.RSA, DigestAlgorithm.SHA384, "pss")
RSA_PSS_SHA512 = Scheme("rsa-pss-sha512", Suite.RSA, DigestAlgorithm.SHA512, "pss")
ECDSA_P256_SHA256 = Scheme("ecdsa-p256-sha256", Suite.P256, DigestAlgorithm.SHA256)
SM2_SM3 = Scheme("sm2-sm3", Suite.SM2, DigestAlgorithm.SM3)

SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512,
        RSA_PSS_SHA256,
        RSA_PSS_SHA384,
        RSA_PSS_SHA512,
        ECDSA_P256_SHA256,
        SM2_SM3,
    )
}

_DEFAULTS = {Suite.RSA: RSA_PKCS1_SHA256, Suite.P256: ECDSA_P256_SHA256, Suite.SM2: SM2_SM3}


def default_scheme(suite: Suite) -> Scheme:
    """The scheme a key of this suite signs with unless told otherwise."""
    return _DEFAULTS[suite]
