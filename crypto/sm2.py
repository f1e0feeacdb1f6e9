"""SM2 signatures and SM3 (GB/T 32918.2-2016, GB/T 32905-2016) through the system's libcrypto 3.x.

Signatures are DER ``SEQUENCE {r, s}`` over e = SM3(Z_A ‖ M). Verification is strict before any arithmetic: DER with minimal
lengths, exactly two positive INTEGERs below n, nothing behind them. Signatures of old files in looser encodings go through
:func:`normalise_signature` first, by a caller who says so.

Where libcrypto cannot do SM2, signatures are verified with ``gmssl`` (slow, verify only) behind the same checks, and signing is
refused by name. ``XINYIN_SM2_BACKEND=gmssl`` or :func:`backend_forced` select that path on any machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes

from crypto import _libcrypto, der
from crypto.errors import MalformedKey, MalformedSignature, SigningFailed, SigningUnavailable, UnsupportedKey

DEFAULT_ID = b"1234567812345678"
CURVE_OID = "1.2.156.10197.1.301"

# GB/T 32918.5-2017 §2: the recommended curve sm2p256v1.
P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = P - 3
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
_GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0
_CURVE_BYTES = b"".join(v.to_bytes(32, "big") for v in (A, B, _GX, _GY))

_EC_PUBLIC_KEY = der.oid("1.2.840.10045.2.1")
_CURVE = der.oid(CURVE_OID)
_ALGORITHM = der.sequence(_EC_PUBLIC_KEY, _CURVE)

Backend = Literal["libcrypto", "gmssl"]
_forced = threading.local()


def backend() -> Backend:
    """Which implementation verifies here and now; only ``libcrypto`` signs."""
    choice = getattr(_forced, "backend", None) or os.environ.get("XINYIN_SM2_BACKEND")
    if choice == "gmssl" or _libcrypto.load() is None:
        return "gmssl"
    return "libcrypto"


@contextlib.contextmanager
def backend_forced(choice: Backend) -> Iterator[None]:
    """Within the block, and in this thread, use that implementation: lets the fall-back be tested where libcrypto works."""
    before = getattr(_forced, "backend", None)
    _forced.backend = choice
    try:
        yield
    finally:
        _forced.backend = before


def describe_backend() -> str:
    """One line for ``doctor``: which library does SM2 here."""
    library = _libcrypto.load()
    if backend() == "libcrypto" and library is not None:
        return library.version
    return "gmssl (verification only)"


def _library() -> _libcrypto.Libcrypto:
    library = _libcrypto.load()
    if library is None or backend() != "libcrypto":
        raise SigningUnavailable(
            "This machine's OpenSSL cannot make SM2 signatures; install OpenSSL 3 with SM2 (Debian: libssl3) and try again.",
            "本机的 OpenSSL 不支持 SM2 签名；请安装带 SM2 的 OpenSSL 3（Debian：libssl3）后重试。",
        )
    return library


def sm3(*parts: bytes | memoryview) -> bytes:
    """SM3 digest of the parts joined, 32 bytes."""
    context: Any
    try:
        context = hashlib.new("sm3")
    except ValueError:  # Python built on a libcrypto without SM3
        context = hashes.Hash(hashes.SM3())
    for part in parts:
        context.update(part)
    result: bytes = context.digest() if hasattr(context, "digest") else context.finalize()
    return result


class Sm2PublicKey:
    """A point of the curve, checked. Shared between threads; made by :func:`load_public_key` or :func:`public_key_from_xy`."""

    __slots__ = ("_handle", "_za", "xy")

    def __init__(self, xy: bytes) -> None:
        self.xy = xy
        self._handle: Any = None
        self._za: dict[bytes, bytes] = {}

    def handle(self, library: _libcrypto.Libcrypto) -> Any:
        """The EVP_PKEY, made at first use and kept (two threads may both make one; either will do)."""
        if self._handle is None:
            self._handle = library.public(self.xy)
        return self._handle

    def za(self, user_id: bytes) -> bytes:
        known = self._za.get(user_id)
        if known is None:
            known = sm3(_id_prefix(user_id) + _CURVE_BYTES + self.xy)
            if len(self._za) < 16:  # user IDs come from files: keep the cache bounded
                self._za[user_id] = known
        return known

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo, uncompressed point."""
        return der.sequence(_ALGORITHM, der.bit_string(b"\x04" + self.xy))

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self.xy.hex()[:16]}…)"


class Sm2PrivateKey:
    """A private key in memory, held by libcrypto. Development and tests only."""

    __slots__ = ("_handle", "public_key")

    def __init__(self, handle: Any, public_key: Sm2PublicKey) -> None:
        self._handle = handle
        self.public_key = public_key

    @property
    def handle(self) -> Any:
        return self._handle

    def __repr__(self) -> str:
        return f"Sm2PrivateKey({self.public_key!r})"


def _id_prefix(user_id: bytes) -> bytes:
    """ENTL_A ‖ ID_A: the ID's length in bits as two bytes, then the ID (GB/T 32918.2-2016 §5.5)."""
    if len(user_id) > 0x1FFF:
        raise MalformedKey(
            "The SM2 user ID is longer than 8191 bytes; use the agreed ID, normally 1234567812345678.",
            "SM2 用户标识超过 8191 字节；请使用约定的标识（通常为 1234567812345678）。",
        )
    return (len(user_id) * 8).to_bytes(2, "big") + user_id


def _bad_point() -> MalformedKey:
    return MalformedKey(
        "The SM2 public key is not a point of the curve; the certificate or key file is damaged or forged.",
        "SM2 公钥不在曲线上；证书或密钥文件已损坏或系伪造。",
    )


def is_sm2_spki(spki: bytes) -> bool:
    """Whether DER SubjectPublicKeyInfo is an ecPublicKey on the SM2 curve (1.2.156.10197.1.301)."""
    try:
        outer = der.expect(spki, der.SEQUENCE)
        algorithm = der.read(spki, outer.body, outer.end)
    except der.NotDer:
        return False
    return spki[algorithm.start : algorithm.end] == _ALGORITHM


def _decompress(point: bytes) -> bytes:
    """X‖Y of an encoded point (SEC 1 §2.3.4): 04‖X‖Y, or 02/03‖X."""
    if len(point) == 65 and point[0] == 4:
        return point[1:]
    if len(point) == 33 and point[0] in (2, 3):
        x = int.from_bytes(point[1:], "big")
        if x < P:
            y = pow((x * x * x + A * x + B) % P, (P + 1) // 4, P)  # p ≡ 3 (mod 4)
            return point[1:] + (y if y & 1 == point[0] & 1 else P - y).to_bytes(32, "big")
    raise _bad_point()


def public_key_from_xy(xy: bytes) -> Sm2PublicKey:
    """A public key from X‖Y, 64 bytes.

    :raises MalformedKey: not 64 bytes, a coordinate of p or more, or not on the curve
    """
    x, y = int.from_bytes(xy[:32], "big"), int.from_bytes(xy[32:], "big")
    if len(xy) != 64 or x >= P or y >= P or (y * y - (x * x * x + A * x + B)) % P:
        raise _bad_point()
    return Sm2PublicKey(xy)


@lru_cache(maxsize=4096)
def load_public_key(spki: bytes) -> Sm2PublicKey:
    """A public key from DER SubjectPublicKeyInfo (GB/T 35276-2017 §7.1 in RFC 5480 form); cached, so that the
    certificates of one signer share one EVP_PKEY.

    :raises UnsupportedKey: not an SM2 key
    :raises MalformedKey: an SM2 key with a bad point or a malformed encoding
    """
    if not is_sm2_spki(spki):
        raise UnsupportedKey("The public key is not an SM2 key; hand in an SM2 key.", "该公钥不是 SM2 公钥，请提供 SM2 公钥。")
    try:
        outer = der.expect(spki, der.SEQUENCE)
        parts = der.children(spki, outer, 2)
        if outer.end != len(spki) or len(parts) != 2 or parts[1].tag != der.BIT_STRING or spki[parts[1].body] != 0:
            raise _bad_point()
    except (der.NotDer, IndexError) as exc:
        raise _bad_point() from exc
    return public_key_from_xy(_decompress(spki[parts[1].body + 1 : parts[1].end]))


def generate_private_key() -> Sm2PrivateKey:
    """A fresh key pair.

    :raises SigningUnavailable: libcrypto here has no SM2
    """
    library = _library()
    try:
        handle = library.generate()
        xy = library.number(handle, "qx") + library.number(handle, "qy")
    except _libcrypto.LibcryptoFailure as exc:
        raise _failed() from exc
    return Sm2PrivateKey(handle, Sm2PublicKey(xy))


def private_key_from_number(d: int) -> Sm2PrivateKey:
    """The private key d.

    :raises MalformedKey: not 1 ≤ d ≤ n − 2 (GB/T 32918.1-2016 §6.1)
    """
    if not 1 <= d <= N - 2:
        raise MalformedKey(
            "The SM2 private key is out of range; the key file is damaged.", "SM2 私钥超出取值范围；密钥文件已损坏。"
        )
    library = _library()
    number = d.to_bytes(32, "big")
    try:
        xy = library.multiply_base(number)
        return Sm2PrivateKey(library.private(number, xy), Sm2PublicKey(xy))
    except _libcrypto.LibcryptoFailure as exc:
        raise _failed() from exc


def load_private_key(data: bytes) -> Sm2PrivateKey:
    """A private key from unencrypted PKCS#8 (RFC 5208) or SEC 1 ECPrivateKey (RFC 5915) in DER. Development only.

    :raises MalformedKey: neither, another curve, or a public half that does not belong to it
    """
    try:
        return _load_private_key(data)
    except der.NotDer as exc:
        raise MalformedKey(
            "The file is no unencrypted SM2 key in PKCS#8 or SEC 1 form; convert it with openssl pkcs8 -topk8 -nocrypt.",
            "该文件不是未加密的 PKCS#8 或 SEC 1 格式 SM2 私钥；请用 openssl pkcs8 -topk8 -nocrypt 转换。",
        ) from exc


def _load_private_key(data: bytes) -> Sm2PrivateKey:
    outer = der.expect(data, der.SEQUENCE)
    parts = der.children(data, outer)
    named_curve = False
    if len(parts) >= 3 and parts[1].tag == der.SEQUENCE and parts[2].tag == der.OCTET_STRING:
        if data[parts[1].start : parts[1].end] != _ALGORITHM:
            raise der.NotDer("another kind of key")
        named_curve = True
        data = data[parts[2].body : parts[2].end]
        parts = der.children(data, der.expect(data, der.SEQUENCE))
    if len(parts) < 2 or der.read_unsigned(data, parts[0]) != 1 or parts[1].tag != der.OCTET_STRING:
        raise der.NotDer("no ECPrivateKey")
    optional = {part.tag: data[part.body : part.end] for part in parts[2:]}
    if not (optional.get(0xA0) == _CURVE or (named_curve and 0xA0 not in optional)):
        raise der.NotDer("no SM2 curve")
    key = private_key_from_number(int.from_bytes(data[parts[1].body : parts[1].end], "big"))
    if 0xA1 in optional and optional[0xA1][-64:] != key.public_key.xy:
        raise der.NotDer("a public half that does not belong to the private one")
    return key


def export_private_key(key: Sm2PrivateKey) -> bytes:
    """Unencrypted PKCS#8 in DER. Development only: production keys never leave their token."""
    number = _library().number(key.handle, "priv")
    ec = der.sequence(der.integer(1), der.octet_string(number), der.tlv(0xA1, der.bit_string(b"\x04" + key.public_key.xy)))
    return der.sequence(der.integer(0), _ALGORITHM, der.octet_string(ec))


def public_spki(private: Sm2PrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of a private key's public half."""
    return private.public_key.spki


def za(key: Sm2PublicKey, user_id: bytes = DEFAULT_ID) -> bytes:
    """Z_A = SM3(ENTL_A ‖ ID_A ‖ a ‖ b ‖ x_G ‖ y_G ‖ x_A ‖ y_A), 32 bytes (GB/T 32918.2-2016 §5.5)."""
    return key.za(user_id)


def digest_e(key: Sm2PublicKey, message: bytes, *, user_id: bytes = DEFAULT_ID) -> bytes:
    """e = SM3(Z_A ‖ M), 32 bytes: what a token that takes digests is given."""
    return sm3(key.za(user_id) + message)


def sign(private: Sm2PrivateKey, message: bytes, *, user_id: bytes = DEFAULT_ID) -> bytes:
    """DER signature over ``message``.

    :raises SigningUnavailable: libcrypto here has no SM2
    """
    return sign_e(private, digest_e(private.public_key, message, user_id=user_id))


def sign_e(private: Sm2PrivateKey, e: bytes) -> bytes:
    """DER signature over a given e (32 bytes)."""
    if len(e) != 32:
        raise MalformedSignature(
            "SM2 signs a digest e of 32 bytes; hand in SM3(Z_A ‖ M).", "SM2 签名的摘要 e 须为 32 字节；请传入 SM3(Z_A ‖ M)。"
        )
    try:
        return _library().sign_e(private.handle, e)
    except _libcrypto.LibcryptoFailure as exc:
        raise _failed() from exc


def verify(key: Sm2PublicKey, message: bytes, signature: bytes, *, user_id: bytes = DEFAULT_ID) -> bool:
    """Whether the strict DER ``signature`` over ``message`` is the key's; False for any malformed signature."""
    return verify_e(key, digest_e(key, message, user_id=user_id), signature)


def verify_e(key: Sm2PublicKey, e: bytes, signature: bytes) -> bool:
    """Whether the strict DER ``signature`` over a given e (32 bytes) is the key's."""
    try:
        raw = der_to_raw(signature)
    except MalformedSignature:
        return False
    if len(e) != 32:
        return False
    if backend() == "gmssl":
        return _verify_with_gmssl(key.xy, e, raw)
    library = _library()
    try:
        return library.verify_e(key.handle(library), e, signature)
    except _libcrypto.LibcryptoFailure as exc:
        raise _failed() from exc


def _verify_with_gmssl(xy: bytes, e: bytes, raw: bytes) -> bool:
    from gmssl.sm2 import CryptSM2

    verifier = CryptSM2(private_key="", public_key="")
    # Set past the constructor: its lstrip("04") eats leading 0 and 4 digits of X as well.
    verifier.public_key = xy.hex()
    try:
        return bool(verifier.verify(raw.hex(), e))
    except (TypeError, ValueError):  # the point at infinity on the way: its converters return None
        return False


def der_to_raw(signature: bytes) -> bytes:
    """r‖s, 64 bytes, from a strict DER signature.

    :raises MalformedSignature: not DER, not exactly two INTEGERs, negative or padded ones, not 1 ≤ r, s < n, trailing bytes
    """
    try:
        outer = der.expect(signature, der.SEQUENCE)
        if outer.end != len(signature):
            raise der.NotDer("bytes after the signature")
        parts = der.children(signature, outer, 2)
        if len(parts) != 2:
            raise der.NotDer("not two INTEGERs")
        r, s = (der.read_unsigned(signature, part) for part in parts)
    except der.NotDer as exc:
        raise _malformed() from exc
    if not (1 <= r < N and 1 <= s < N):
        raise _malformed()
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def raw_to_der(raw: bytes) -> bytes:
    """DER ``SEQUENCE {r, s}`` from r‖s, 64 bytes.

    :raises MalformedSignature: not 64 bytes, or not 1 ≤ r, s < n
    """
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if len(raw) != 64 or not (1 <= r < N and 1 <= s < N):
        raise _malformed()
    return der.sequence(der.integer(r), der.integer(s))


def normalise_signature(signature: bytes) -> bytes:
    """Strict DER of a signature found in a file: DER, DER whose r or s lacks (or has too many) leading zeros, or raw r‖s.

    The value never changes, only its encoding; anything else (trailing bytes, a third INTEGER, r or s out of range) is refused.

    :raises MalformedSignature: none of these
    """
    try:
        return raw_to_der(der_to_raw(signature))
    except MalformedSignature:
        if len(signature) == 64:
            return raw_to_der(signature)
    try:
        outer = der.expect(signature, der.SEQUENCE)
        parts = der.children(signature, outer, 2)
    except der.NotDer as exc:
        raise _malformed() from exc
    if outer.end != len(signature) or len(parts) != 2 or any(part.tag != der.INTEGER for part in parts):
        raise _malformed()
    numbers = [signature[part.body : part.end].lstrip(b"\0") for part in parts]
    if any(len(number) > 32 for number in numbers):
        raise _malformed()
    return raw_to_der(b"".join(number.rjust(32, b"\0") for number in numbers))


def _malformed() -> MalformedSignature:
    return MalformedSignature(
        "The SM2 signature value is malformed (DER of two numbers from 1 to n-1 is expected); the file is damaged or forged.",
        "SM2 签名值格式错误（应为 DER 编码、介于 1 与 n 之间的两个整数）；文件已损坏或系伪造。",
    )


def _failed() -> SigningFailed:
    return SigningFailed(
        "The system's libcrypto refused an SM2 operation; run xinyin doctor.",
        "系统 libcrypto 拒绝执行 SM2 运算；请运行 xinyin doctor。",
    )
