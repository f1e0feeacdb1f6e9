"""Public keys, the signing seam, and software keys for development."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from crypto import sm2
from crypto.errors import SchemeMismatch as SchemeMismatch
from crypto.errors import UnsupportedKey as UnsupportedKey
from crypto.suites import DigestAlgorithm, Scheme, Suite, default_scheme

_HASHES: dict[DigestAlgorithm, hashes.HashAlgorithm] = {
    DigestAlgorithm.SHA256: hashes.SHA256(),
    DigestAlgorithm.SHA384: hashes.SHA384(),
    DigestAlgorithm.SHA512: hashes.SHA512(),
}


def digest(algorithm: DigestAlgorithm, *parts: bytes | memoryview) -> bytes:
    """Digest of the parts joined; SM3 by the system's libcrypto (GB/T 32905-2016)."""
    if algorithm is DigestAlgorithm.SM3:
        return sm2.sm3(*parts)
    context = hashlib.new(algorithm.value)
    for part in parts:
        context.update(part)
    return context.digest()


@dataclass(frozen=True)
class PublicKey:
    """A public key as DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), with the suite it belongs to.

    Make one with :meth:`from_spki`, which refuses keys outside the suites and points that are not on the curve.
    """

    suite: Suite
    spki: bytes
    bits: int
    _key: Any = field(repr=False, compare=False)

    @classmethod
    def from_spki(cls, spki: bytes) -> PublicKey:
        """Parse DER SubjectPublicKeyInfo; one object per key, so that what libraries prepare for a key is prepared once.

        :raises UnsupportedKey: not RSA (2048 to 8192 bits), P-256 or SM2, or not a valid key of that kind
        """
        return _load(spki)

    @classmethod
    def _parse(cls, spki: bytes) -> PublicKey:
        if sm2.is_sm2_spki(spki):
            return cls(Suite.SM2, spki, 256, sm2.load_public_key(spki))
        try:
            key = serialization.load_der_public_key(spki)
        except Exception as exc:
            raise UnsupportedKey(
                "The public key cannot be read; RSA, P-256 and SM2 keys are supported.",
                "无法读取公钥；支持 RSA、P-256 与 SM2 密钥。",
            ) from exc
        if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 8192:
            return cls(Suite.RSA, spki, key.key_size, key)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
            return cls(Suite.P256, spki, 256, key)
        raise UnsupportedKey(
            "This kind of public key is not supported; use RSA of at least 2048 bits, P-256 or SM2.",
            "不支持此类公钥；请使用 2048 位以上的 RSA、P-256 或 SM2。",
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo in lower-case hex: what other regions pin."""
        return hashlib.sha256(self.spki).hexdigest()

    def verify(self, message: bytes, signature: bytes, scheme: Scheme | None = None, *, sm2_id: bytes = sm2.DEFAULT_ID) -> bool:
        """Whether ``signature`` over ``message`` is this key's under ``scheme`` (default: the suite's default scheme).

        SM2 signatures are DER; a negative or oversized integer, trailing bytes or a third integer make it False. For signatures
        found in old files in looser encodings see :func:`crypto.sm2.normalise_signature`.
        """
        scheme = scheme or default_scheme(self.suite)
        if scheme.suite is not self.suite:
            return False
        if self.suite is Suite.SM2:
            return sm2.verify(self._key, message, signature, user_id=sm2_id)
        try:
            self._key.verify(signature, message, *_parameters(scheme))
        except InvalidSignature:
            return False
        return True


@lru_cache(maxsize=4096)
def _load(spki: bytes) -> PublicKey:
    return PublicKey._parse(spki)


@lru_cache
def _parameters(scheme: Scheme) -> tuple[Any, ...]:
    """What ``cryptography`` wants behind the message: padding and hash, or the ECDSA object."""
    algorithm = _HASHES[scheme.digest]
    if scheme.suite is Suite.P256:
        return (ec.ECDSA(algorithm),)
    if scheme.padding == "pss":
        return padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH), algorithm
    return padding.PKCS1v15(), algorithm


class Signer(Protocol):
    """The signing seam: ``sign(message)`` with one key. Tokens (``hsm``) and :class:`SoftwareKey` fill it.

    ``message`` is what the format signs (DER of the tbs part, of the signed attributes, of TBS_Sign), never a digest: the
    driver digests it, computes e with Z_A, or leaves that to the token.
    """

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        """Signature value, encoded as :class:`crypto.suites.Scheme` says."""
        ...


class SoftwareKey:
    """A private key in memory. Development, tests and benches only: production policy refuses custody ``software``."""

    def __init__(self, suite: Suite, private: Any, public_key: PublicKey) -> None:
        self.suite = suite
        self._private = private
        self._public_key = public_key

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    @classmethod
    def generate(cls, suite: Suite, *, rsa_bits: int = 2048) -> SoftwareKey:
        """A fresh key.

        :raises UnsupportedKey: ``rsa_bits`` is not 2048, 3072 or 4096
        """
        if rsa_bits not in (2048, 3072, 4096):
            raise UnsupportedKey(
                f"RSA keys of {rsa_bits} bits are not made; choose 2048, 3072 or 4096.",
                f"不生成 {rsa_bits} 位的 RSA 密钥；请选择 2048、3072 或 4096 位。",
            )
        if suite is Suite.SM2:
            private = sm2.generate_private_key()
            return cls(suite, private, PublicKey.from_spki(sm2.public_spki(private)))
        key: Any = rsa.generate_private_key(65537, rsa_bits) if suite is Suite.RSA else ec.generate_private_key(ec.SECP256R1())
        spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return cls(suite, key, PublicKey.from_spki(spki))

    def sign(self, message: bytes, scheme: Scheme | None = None) -> bytes:
        """:raises SchemeMismatch: the scheme is another suite's"""
        scheme = scheme or default_scheme(self.suite)
        if scheme.suite is not self.suite:
            raise SchemeMismatch(
                f"A {self.suite} key cannot sign with {scheme.name}; choose a scheme of its own suite.",
                f"{self.suite} 密钥不能使用 {scheme.name} 签名；请选择该算法套件的签名方案。",
            )
        if self.suite is Suite.SM2:
            return sm2.sign(self._private, message)
        signature: bytes = self._private.sign(message, *_parameters(scheme))
        return signature

    @classmethod
    def from_pkcs8(cls, data: bytes) -> SoftwareKey:
        """A key from unencrypted PKCS#8 in DER.

        :raises UnsupportedKey: no such key, or of a kind that no suite covers
        """
        try:
            key: Any = serialization.load_der_private_key(data, None)
        except Exception:  # noqa: BLE001 - SM2 is unknown there, and hostile keys raise several kinds
            sm2_key = sm2.load_private_key(data)
            return cls(Suite.SM2, sm2_key, PublicKey.from_spki(sm2_key.public_key.spki))
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise UnsupportedKey(
                "This kind of private key is not supported; use RSA of at least 2048 bits, P-256 or SM2.",
                "不支持此类私钥；请使用 2048 位以上的 RSA、P-256 或 SM2。",
            )
        spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        public = PublicKey.from_spki(spki)
        return cls(public.suite, key, public)

    def to_pkcs8(self) -> bytes:
        """The key as unencrypted PKCS#8 in DER: development only, the file is the key."""
        if self.suite is Suite.SM2:
            return sm2.export_private_key(self._private)
        encoded: bytes = self._private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return encoded
