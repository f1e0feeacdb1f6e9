"""Where a credential's state is published, and how: Token Status Lists (draft-ietf-oauth-status-list-21).

A list is an array of 1, 2, 4 or 8 bits a place, packed from the least significant bit of each byte, compressed with zlib and
signed. Who holds a reference ``{uri, idx}`` looks up one place in it; the list tells nothing about whose place it is.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from crypto.suites import ECDSA_P256_SHA256, Suite
from formats import cbor, jose

JWT_TYPE = "statuslist+jwt"
MEDIA_TYPE_JWT = "application/statuslist+jwt"
MEDIA_TYPE_CWT = "application/statuslist+cwt"
WIDTHS = (1, 2, 4, 8)
MAX_ARRAY = 4 * 1024 * 1024
"""Bytes of an unpacked list that anyone's may have: sixteen million places of two bits."""
MAX_COMPRESSED = MAX_ARRAY + 1024
_MAX_TEXT = 2048
_ES256, _TAG_SIGN1 = -7, 18
_SUB, _EXP, _IAT, _LIST, _TTL = 2, 4, 6, 65533, 65534  # claims of the CWT (§5.2)


class BadStatusList(BadInput):
    """A status list that must not be used, or a place that it does not have."""

    code = "bad-status-list"


@dataclass(frozen=True)
class StatusRef:
    """A place in a Token Status List (§6 of the draft): the list's address, and an index that counts from 0."""

    uri: str
    index: int


@dataclass(frozen=True)
class StatusList:
    """The packed array (§4.1): ``bits`` a place, ``array`` as it is before compression. Make one with :meth:`pack`."""

    bits: int
    array: bytes

    @classmethod
    def pack(cls, values: Sequence[int], bits: int) -> StatusList:
        """From one value a place. :raises BadStatusList: a value that does not fit, or another width"""
        return cls.sparse(len(values), {place: value for place, value in enumerate(values) if value}, bits)

    @classmethod
    def sparse(cls, size: int, values: Mapping[int, int], bits: int) -> StatusList:
        """``size`` places that are 0 but for those in ``values``.

        :raises BadStatusList: a value or place that does not fit, or another width
        """
        _check_width(bits)
        if not 0 < size <= MAX_ARRAY * 8 // bits:
            raise _refused("its size is not allowed", "其大小不符合要求")
        array = bytearray(-(-size * bits // 8))
        for place, value in values.items():
            if not (0 <= value < 1 << bits and 0 <= place < size):
                raise _refused("a value does not fit", "有值超出范围")
            byte, offset = divmod(place * bits, 8)
            array[byte] |= value << offset
        return cls(bits, bytes(array))

    @classmethod
    def decompress(cls, data: bytes, bits: int) -> StatusList:
        """Bounded: a small bomb does not become a large array. :raises BadStatusList: no zlib stream, too large, wrong width"""
        _check_width(bits)
        if len(data) > MAX_COMPRESSED:
            raise _refused("it is too large", "列表过大")
        unzip = zlib.decompressobj()
        try:
            array = unzip.decompress(data, MAX_ARRAY)
        except zlib.error as exc:
            raise _refused("it cannot be decompressed", "无法解压") from exc
        if not unzip.eof or unzip.unused_data:
            raise _refused("it is cut off or too large", "内容不完整或过大")
        return cls(bits, array)

    def compress(self) -> bytes:
        """DEFLATE in zlib at the highest level, as §4.1 recommends."""
        return zlib.compress(self.array, 9)

    def __len__(self) -> int:
        """Places. At the end of the last byte there may be a few that nobody was given."""
        return len(self.array) * 8 // self.bits

    def __getitem__(self, place: int) -> int:
        """:raises BadStatusList: no such place: nothing can be said about what refers to it (§8.3)"""
        if not 0 <= place < len(self):
            raise _refused(f"it has no place {place}", f"其中没有位置 {place}")
        byte, offset = divmod(place * self.bits, 8)
        return self.array[byte] >> offset & (1 << self.bits) - 1

    def values(self) -> Iterable[int]:
        """All of them, in order."""
        return (self[place] for place in range(len(self)))


@dataclass(frozen=True)
class StatusListToken:
    """A list with what its signature covers (§5): its own address, when it was signed, until when its maker wants it used
    (None: says nothing), and how long it may be kept before a fresh copy is fetched.
    """

    uri: str
    issued: datetime
    statuses: StatusList
    expires: datetime | None = None
    ttl: timedelta | None = None


def sign_jwt(token: StatusListToken, signer: Signer, *, kid: str) -> str:
    """The list as JWT (§5.1). One signature."""
    claims: dict[str, Any] = {"sub": token.uri, "iat": int(token.issued.timestamp())}
    if token.expires is not None:
        claims["exp"] = int(token.expires.timestamp())
    if token.ttl is not None:
        claims["ttl"] = int(token.ttl.total_seconds())
    claims["status_list"] = to_json(token.statuses)
    return jose.sign({"typ": JWT_TYPE, "kid": kid}, claims, signer)


def read_jwt(text: str | bytes, keys: Iterable[PublicKey], *, uri: str) -> StatusListToken:
    """Check a list's signature, that it is the one at ``uri``, and its shape (§8.3). How old it may be is the caller's to say.

    :param keys: those that may sign it
    :raises BadStatusList: anything else
    """
    compact = (text.decode("ascii", "replace") if isinstance(text, bytes) else text).strip()
    try:
        header, claims, _ = jose.verify(compact, keys, max_payload=MAX_COMPRESSED * 4 // 3 + 4096)
    except jose.BadJws as exc:
        raise _refused("no key that may sign it did", "未由有权签署的密钥签署") from exc
    if str(header.get("typ", "")).lower().removeprefix("application/") != JWT_TYPE:
        raise _refused("it is something else", "不是状态列表")
    if claims.get("sub") != uri:
        raise _refused("it is the list of another address", "属于另一地址的列表")
    try:
        expires, ttl = claims.get("exp"), claims.get("ttl")
        return StatusListToken(
            uri=uri,
            issued=moment(claims["iat"]),
            statuses=from_json(claims["status_list"]),
            expires=moment(expires) if expires is not None else None,
            ttl=duration(ttl) if ttl is not None else None,
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise _refused(f"its content cannot be read ({type(exc).__name__})", "其内容无法读取") from exc


def sign_cwt(token: StatusListToken, signer: Signer, *, kid: bytes) -> bytes:
    """The list as CWT (§5.2): a COSE_Sign1 under its own tag and no other, ES256. One signature.

    :raises BadStatusList: a key other than P-256
    """
    if signer.public_key.suite is not Suite.P256:
        raise _refused("it would not be signed with a P-256 key", "须使用 P-256 密钥签署")
    claims: dict[int, Any] = {_SUB: token.uri, _IAT: int(token.issued.timestamp())}
    if token.expires is not None:
        claims[_EXP] = int(token.expires.timestamp())
    if token.ttl is not None:
        claims[_TTL] = int(token.ttl.total_seconds())
    claims[_LIST] = {"bits": token.statuses.bits, "lst": token.statuses.compress()}
    protected, payload = cbor.write({1: _ES256, 4: kid, 16: MEDIA_TYPE_CWT}), cbor.write(claims)
    r, s = decode_dss_signature(signer.sign(_sig_structure(protected, payload), ECDSA_P256_SHA256))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return cbor.write(cbor2.CBORTag(_TAG_SIGN1, [protected, {}, payload, signature]))


def read_cwt(raw: bytes, keys: Iterable[PublicKey], *, uri: str) -> StatusListToken:
    """As :func:`read_jwt`, for the CWT form. :raises BadStatusList: anything else than the list at ``uri``, signed by a key"""
    token, signed, signature = _take_apart(raw)
    r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
    der = encode_dss_signature(r, s)
    if not any(key.suite is Suite.P256 and key.verify(signed, der, ECDSA_P256_SHA256) for key in keys):
        raise _refused("no key that may sign it did", "未由有权签署的密钥签署")
    if token.uri != uri:
        raise _refused("it is the list of another address", "属于另一地址的列表")
    return token


def _take_apart(raw: bytes) -> tuple[StatusListToken, bytes, bytes]:
    """(what it says, what was signed, r ‖ s); nothing is checked yet but the form."""
    if len(raw) > MAX_COMPRESSED + 4096:
        raise _refused("it is too large", "列表过大")
    try:
        outer = cbor.read(raw)
        (protected, _, payload, signature) = outer.value
        header, claims = cbor.read(protected), cbor.read(payload)
        found, expires, ttl = claims[_LIST], claims.get(_EXP), claims.get(_TTL)
        as_said = (outer.tag, header[1], header[16]) == (_TAG_SIGN1, _ES256, MEDIA_TYPE_CWT) and 2 not in header
        if not as_said or len(signature) != 64 or not all(isinstance(x, bytes) for x in (signature, payload, found["lst"])):
            raise ValueError("form")
        if type(found["bits"]) is not int or not isinstance(claims[_SUB], str) or len(claims[_SUB]) > _MAX_TEXT:
            raise ValueError("claims")
        token = StatusListToken(
            uri=claims[_SUB],
            issued=moment(claims[_IAT]),
            statuses=StatusList.decompress(found["lst"], found["bits"]),
            expires=moment(expires) if expires is not None else None,
            ttl=duration(ttl) if ttl is not None else None,
        )
    except (AttributeError, LookupError, TypeError, ValueError) as exc:
        raise _refused(f"its content cannot be read ({type(exc).__name__})", "其内容无法读取") from exc
    return token, _sig_structure(protected, payload), signature


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    """What the signer of a COSE_Sign1 signs (RFC 9052 §4.4)."""
    return cbor.write(["Signature1", protected, b"", payload])


def to_json(statuses: StatusList) -> dict[str, Any]:
    """``{"bits", "lst"}`` (§4.2)."""
    packed = base64.urlsafe_b64encode(statuses.compress()).rstrip(b"=").decode("ascii")
    return {"bits": statuses.bits, "lst": packed}


def from_json(found: Any) -> StatusList:
    """:raises BadStatusList: not a list of this form"""
    try:
        bits, packed = found["bits"], found["lst"]
        if type(bits) is not int or not isinstance(packed, str) or len(packed) > MAX_COMPRESSED * 4 // 3 + 4:
            raise ValueError("form")
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as exc:
        raise _refused("its content cannot be read", "其内容无法读取") from exc
    return StatusList.decompress(data, bits)


def ref_to_json(ref: StatusRef) -> dict[str, Any]:
    """The ``status`` claim of a credential (§6.2)."""
    return {"status_list": {"idx": ref.index, "uri": ref.uri}}


def ref_from_json(found: Any) -> StatusRef:
    """The place that a ``status`` claim names. :raises BadStatusList: none in this form"""
    try:
        index, uri = found["status_list"]["idx"], found["status_list"]["uri"]
    except (KeyError, TypeError) as exc:
        raise _refused("it is not referred to as it should be", "引用格式不正确") from exc
    if type(index) is not int or not 0 <= index < MAX_ARRAY * 8 or not isinstance(uri, str) or len(uri) > _MAX_TEXT:
        raise _refused("it is not referred to as it should be", "引用格式不正确")
    return StatusRef(uri, index)


def moment(value: Any) -> datetime:
    """A NumericDate. :raises ValueError: no number, or out of range"""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 253402300800:
        raise ValueError("NumericDate")
    return datetime.fromtimestamp(value, UTC)


def duration(value: Any) -> timedelta:
    """A positive number of seconds (``ttl``). :raises ValueError: anything else"""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**9:
        raise ValueError("ttl")
    return timedelta(seconds=value)


def _check_width(bits: int) -> None:
    if bits not in WIDTHS:
        raise _refused("a place takes 1, 2, 4 or 8 bits", "每个位置只能占 1、2、4 或 8 位")


def _refused(why: str, why_zh: str) -> BadStatusList:
    return BadStatusList(
        f"The status list cannot be used: {why}. Nothing is known of the state; try again later or ask the issuer.",
        f"状态列表无法使用：{why_zh}。状态不明；请稍后重试或向签发机关核实。",
    )
