"""The code on a licence: ``https://HOST/v#`` + unpadded base64url(zlib(COSE_Sign1 of a CWT)).

An ordinary scanner opens HOST's verify page; what follows ``#`` never reaches a server, and our verifier reads it offline. The
claims are few on purpose: what a clerk compares with the paper. RFC 9052 (COSE), RFC 8392 (CWT), ES256 only.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from crypto.suites import ECDSA_P256_SHA256, Suite

MAX_URL = 4096
MAX_CBOR = 4096
_ES256 = -7
_TAG_CWT, _TAG_SIGN1 = 61, 18

# Claims of RFC 8392 §3.1, and ours from the private range (below -65536).
_ISS, _SUB, _EXP, _NBF, _IAT, _CTI = 1, 2, 4, 5, 6, 7
_TYPE, _HOLDER, _NUMBER, _SAMPLE = -70001, -70002, -70003, -70004

_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::\d{1,5})?"
_URL = re.compile(rf"(https?)://({_HOST})/v#([A-Za-z0-9_-]+)")


class BadCode(BadInput):
    """A scanned code that is not one of ours, is damaged, or is over its limits."""

    code = "bad-code"


@dataclass(frozen=True)
class Claims:
    """What a code says; times are whole seconds in UTC.

    :ivar issuer: the issuing organ's name
    :ivar subject: the licence identifier (GB/T 36904)
    :ivar licence_type: the licence's name, such as 营业执照
    :ivar holder: the holder's name as printed
    :ivar number: the number printed on the licence (证照编号)
    :ivar token_id: unique to this code (claim ``cti``)
    :ivar sample: made by a node that is not in production
    """

    issuer: str
    subject: str
    licence_type: str
    holder: str
    number: str
    issued: datetime
    token_id: bytes
    not_before: datetime | None = None
    expires: datetime | None = None
    sample: bool = False


@dataclass(frozen=True)
class SignedCode:
    """A decoded code. Nothing in it is to be believed before :meth:`verify` says so.

    :ivar host: where the code wants to lead; follow it only if a trust list names it
    :ivar kid: which of the issuer's keys signed: the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo
    """

    url: str
    host: str
    kid: bytes
    claims: Claims
    signed: bytes
    signature: bytes

    def verify(self, key: PublicKey) -> bool:
        """Whether ``key`` (P-256) made this code's signature."""
        if key.suite is not Suite.P256 or key_id(key) != self.kid:
            return False
        r, s = (int.from_bytes(self.signature[i : i + 32], "big") for i in (0, 32))
        return key.verify(self.signed, encode_dss_signature(r, s), ECDSA_P256_SHA256)


def key_id(key: PublicKey) -> bytes:
    """``kid`` of a key: the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo."""
    return bytes.fromhex(key.fingerprint)[:8]


def encode(claims: Claims, signer: Signer, host: str) -> str:
    """The URL to print or show.

    :param host: the region's listed domain; ``http`` is used for names under ``localhost`` only
    :raises BadCode: a key other than P-256, a host that is none, or more than a code can hold
    """
    if signer.public_key.suite is not Suite.P256:
        raise BadCode("Codes are signed with a P-256 key (ES256).", "二维码须用 P-256 密钥（ES256）签名。")
    if not re.fullmatch(_HOST, host):
        raise BadCode(f"{host!r} is not a host name.", f"“{host}”不是主机名。")
    protected = cbor2.dumps({1: _ES256, 4: key_id(signer.public_key)}, canonical=True)
    payload = cbor2.dumps(_to_map(claims), canonical=True)
    r, s = decode_dss_signature(signer.sign(_sig_structure(protected, payload), ECDSA_P256_SHA256))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    sign1 = cbor2.CBORTag(_TAG_CWT, cbor2.CBORTag(_TAG_SIGN1, [protected, {}, payload, signature]))
    packed = base64.urlsafe_b64encode(zlib.compress(cbor2.dumps(sign1, canonical=True), 9)).rstrip(b"=").decode("ascii")
    url = f"{'http' if _is_local(host) else 'https'}://{host}/v#{packed}"
    if len(url) > 1200:
        # Beyond this a printed code of 30 mm no longer reads well from paper.
        raise BadCode("The names are too long for a code.", "名称过长，二维码无法容纳。")
    return url


def decode(url: str) -> SignedCode:
    """Read a code, bounded in size and depth.

    :raises BadCode: anything else than a code of this form
    """
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if not found or (found[1] == "http" and not _is_local(found[2])):
        raise _not_ours()
    try:
        packed = base64.urlsafe_b64decode(found[3] + "=" * (-len(found[3]) % 4))
        unzip = zlib.decompressobj()
        raw = unzip.decompress(packed, MAX_CBOR)
    except (binascii.Error, ValueError, zlib.error) as exc:
        raise _not_ours() from exc
    if not unzip.eof or unzip.unused_data:
        raise _not_ours()
    outer = _read(raw)
    try:
        (protected, unprotected, payload, signature) = outer.value.value
        if (outer.tag, outer.value.tag, unprotected) != (_TAG_CWT, _TAG_SIGN1, {}) or len(signature) != 64:
            raise _not_ours()
        header = _read(protected)
        if header.keys() != {1, 4} or header[1] != _ES256 or not isinstance(header[4], bytes):
            raise _not_ours()
        claims = _from_map(_read(payload))
        signed = _sig_structure(protected, payload)
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError, OSError) as exc:
        raise _not_ours() from exc
    return SignedCode(url, found[2], header[4], claims, signed, signature)


def _is_local(host: str) -> bool:
    name = host.partition(":")[0]
    return name == "localhost" or name.endswith(".localhost")


def _not_ours() -> BadCode:
    return BadCode(
        "This is not the code of an electronic licence, or it is damaged; scan it again or check the licence another way.",
        "这不是电子证照二维码，或二维码已损坏；请重新扫描或以其他方式核验。",
    )


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    """``Sig_structure`` of a COSE_Sign1 (RFC 9052 §4.4): what the signer signs."""
    return cbor2.dumps(["Signature1", protected, b"", payload], canonical=True)


def _to_map(claims: Claims) -> dict[int, Any]:
    out: dict[int, Any] = {
        _ISS: claims.issuer,
        _SUB: claims.subject,
        _IAT: int(claims.issued.timestamp()),
        _CTI: claims.token_id,
        _TYPE: claims.licence_type,
        _HOLDER: claims.holder,
        _NUMBER: claims.number,
    }
    if claims.not_before:
        out[_NBF] = int(claims.not_before.timestamp())
    if claims.expires:
        out[_EXP] = int(claims.expires.timestamp())
    if claims.sample:
        out[_SAMPLE] = 1
    return out


def _from_map(found: dict[Any, Any]) -> Claims:
    texts = [found[k] for k in (_ISS, _SUB, _TYPE, _HOLDER, _NUMBER)]
    if not all(isinstance(t, str) for t in texts) or not isinstance(found[_CTI], bytes):
        raise _not_ours()
    return Claims(
        issuer=texts[0],
        subject=texts[1],
        licence_type=texts[2],
        holder=texts[3],
        number=texts[4],
        issued=_time(found[_IAT]),
        token_id=found[_CTI],
        not_before=_time(found[_NBF]) if _NBF in found else None,
        expires=_time(found[_EXP]) if _EXP in found else None,
        sample=found.get(_SAMPLE) == 1,
    )


def _time(value: Any) -> datetime:
    if type(value) is not int:
        raise _not_ours()
    return datetime.fromtimestamp(value, UTC)


# --- a reader for the few kinds of CBOR that a code uses ---------------------------------------------------------------
# General readers turn some tags into numbers of any size (a few bytes ask for gigabytes); this one knows integers, byte and
# text strings, arrays, maps and bare tags, of definite length, five levels deep.

_MAX_DEPTH = 5


def _read(data: bytes) -> Any:
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise _not_ours()
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH or at >= len(data):
        raise _not_ours()
    major, size = data[at] >> 5, data[at] & 31
    at += 1
    if size < 24:
        number = size
    elif size <= 27:
        width = 1 << (size - 24)
        number = int.from_bytes(data[at : at + width], "big")
        at += width
    else:
        raise _not_ours()
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if number > len(data) - at and major != 6:
        # Every element takes at least a byte, so no honest count is larger than what is left.
        raise _not_ours()
    if major in (2, 3):
        raw = data[at : at + number]
        try:
            return (raw if major == 2 else raw.decode("utf-8")), at + number
        except UnicodeDecodeError as exc:
            raise _not_ours() from exc
    if major == 4:
        items = []
        for _ in range(number):
            value, at = _item(data, at, depth + 1)
            items.append(value)
        return items, at
    if major == 5:
        return _map(data, at, number, depth)
    if major == 6:
        value, at = _item(data, at, depth + 1)
        return cbor2.CBORTag(number, value), at
    raise _not_ours()


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[int | str, Any], int]:
    out: dict[int | str, Any] = {}
    for _ in range(count):
        key, at = _item(data, at, depth + 1)
        value, at = _item(data, at, depth + 1)
        if not isinstance(key, (int, str)) or key in out:
            raise _not_ours()
        out[key] = value
    return out, at
