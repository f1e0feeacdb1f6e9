"""What printed and shown codes share: the address around them, COSE_Sign1 inside, ES256, and the claims' numbers.

RFC 9052 (COSE), RFC 8392 (CWT), RFC 8747 (``cnf``), draft-ietf-oauth-status-list-21 §6.3 (``status``).
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import cbor2
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from crypto.errors import BadInput
from crypto.keys import PublicKey, Signer
from crypto.suites import ECDSA_P256_SHA256, Suite
from formats import cbor
from formats.statuslist import BadStatusList, StatusRef, ref_from_json

MAX_URL = 4096
MAX_CBOR = 4096
MAX_TEXT = 400
ES256 = -7
TAG_CWT, TAG_SIGN1 = 61, 18

# Claims of RFC 8392 §3.1, RFC 8747 §3.1, the status list draft; ours are from the private range (below -65536).
ISS, SUB, EXP, NBF, IAT, CTI, CNF, STATUS = 1, 2, 4, 5, 6, 7, 8, 65535
TYPE, HOLDER, NUMBER, SAMPLE, REGION = -70001, -70002, -70003, -70004, -70005
PURPOSE, PURPOSE_UNTIL, MATTER, COPY = -70006, -70007, -70008, -70009
ROLE, BEARER, MATTERS, CREDENTIAL, CHALLENGE = -70010, -70011, -70012, -70013, -70014

HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::\d{1,5})?"
_URL = re.compile(rf"(https?)://({HOST})/v#([A-Za-z0-9_-]+)")
_T = TypeVar("_T")


class BadCode(BadInput):
    """A scanned code that is not one of ours, is damaged, or is over its limits."""

    code = "bad-code"


@dataclass(frozen=True)
class Sign1:
    """A COSE_Sign1 taken apart: ``signed`` is its Sig_structure, ``signature`` r ‖ s, ``kid`` None where none is given."""

    kid: bytes | None
    payload: bytes
    signed: bytes
    signature: bytes

    def verify(self, key: PublicKey) -> bool:
        """Whether ``key`` (P-256) made the signature."""
        if key.suite is not Suite.P256:
            return False
        r, s = (int.from_bytes(self.signature[i : i + 32], "big") for i in (0, 32))
        return key.verify(self.signed, encode_dss_signature(r, s), ECDSA_P256_SHA256)


def key_id(key: PublicKey) -> bytes:
    """``kid`` of a key: the first 8 bytes of the SHA-256 of its SubjectPublicKeyInfo."""
    return bytes.fromhex(key.fingerprint)[:8]


def not_ours() -> BadCode:
    """The refusal of anything that is not a code of ours."""
    return BadCode(
        "This is not the code of an electronic licence, or it is damaged; scan it again or check the licence another way.",
        "这不是电子证照二维码，或二维码已损坏；请重新扫描或以其他方式核验。",
    )


# --- the address ---------------------------------------------------------------------------------------------------------


def to_url(raw: bytes, host: str) -> str:
    """``https://HOST/v#`` + unpadded base64url(zlib(raw)); ``http`` for names under ``localhost`` only.

    :raises BadCode: a host that is none
    """
    if not re.fullmatch(HOST, host):
        raise BadCode(f"{host!r} is not a host name.", f"“{host}”不是主机名。")
    packed = base64.urlsafe_b64encode(zlib.compress(raw, 9)).rstrip(b"=").decode("ascii")
    return f"{'http' if _is_local(host) else 'https'}://{host}/v#{packed}"


def from_url(url: str) -> tuple[str, bytes]:
    """(host, what was packed), bounded in size. :raises BadCode: anything else than an address of this form"""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL else None
    if not found or (found[1] == "http" and not _is_local(found[2])):
        raise not_ours()
    try:
        packed = base64.urlsafe_b64decode(found[3] + "=" * (-len(found[3]) % 4))
        unzip = zlib.decompressobj()
        raw = unzip.decompress(packed, MAX_CBOR)
    except (binascii.Error, ValueError, zlib.error) as exc:
        raise not_ours() from exc
    if not unzip.eof or unzip.unused_data:
        raise not_ours()
    return found[2], raw


def _is_local(host: str) -> bool:
    name = host.partition(":")[0]
    return name == "localhost" or name.endswith(".localhost")


# --- COSE_Sign1 ----------------------------------------------------------------------------------------------------------


def sign1(payload: Mapping[int, Any], signer: Signer, *, kid: bool) -> bytes:
    """A tagged CWT: 61(18([protected, {}, payload, r ‖ s])).

    :param kid: name the key in the protected header
    :raises BadCode: a key other than P-256
    """
    if signer.public_key.suite is not Suite.P256:
        raise BadCode("Codes are signed with a P-256 key (ES256).", "二维码须用 P-256 密钥（ES256）签名。")
    protected = cbor.write({1: ES256, **({4: key_id(signer.public_key)} if kid else {})})
    body = cbor.write(dict(payload))
    r, s = decode_dss_signature(signer.sign(_sig_structure(protected, body), ECDSA_P256_SHA256))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return cbor.write(cbor2.CBORTag(TAG_CWT, cbor2.CBORTag(TAG_SIGN1, [protected, {}, body, signature])))


def read_sign1(raw: bytes) -> Sign1:
    """:raises BadCode: not a CWT as :func:`sign1` writes it"""
    return strictly(lambda: _read_sign1(raw))


def _read_sign1(raw: bytes) -> Sign1:
    outer = cbor.read(raw)
    (protected, unprotected, payload, signature) = outer.value.value
    if (outer.tag, outer.value.tag, unprotected) != (TAG_CWT, TAG_SIGN1, {}) or not isinstance(payload, bytes):
        raise not_ours()
    header = cbor.read(protected)
    kid = header.get(4)
    if not header.keys() <= {1, 4} or header[1] != ES256 or not isinstance(kid, bytes | None):
        raise not_ours()
    if not isinstance(signature, bytes) or len(signature) != 64:
        raise not_ours()
    return Sign1(kid, payload, _sig_structure(protected, payload), signature)


def _sig_structure(protected: bytes, payload: bytes) -> bytes:
    """``Sig_structure`` of a COSE_Sign1 (RFC 9052 §4.4): what the signer signs."""
    return cbor.write(["Signature1", protected, b"", payload])


# --- claims --------------------------------------------------------------------------------------------------------------


def strictly(read: Callable[[], _T]) -> _T:
    """Run a reader of hostile values: whatever does not fit is one refusal. :raises BadCode: it did not fit"""
    try:
        return read()
    except (AttributeError, TypeError, ValueError, LookupError, OverflowError, OSError) as exc:
        raise not_ours() from exc


def text(value: Any) -> str:
    """A text of bounded length."""
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise not_ours()
    return value


def token(value: Any) -> bytes:
    """A random identifier of 8 to 32 bytes."""
    if not isinstance(value, bytes) or not 8 <= len(value) <= 32:
        raise not_ours()
    return value


def moment(value: Any) -> datetime:
    """NumericDate in whole seconds."""
    if type(value) is not int:
        raise not_ours()
    return datetime.fromtimestamp(value, UTC)


def seconds(value: datetime) -> int:
    """A time as NumericDate."""
    return int(value.timestamp())


def status_ref(value: Any) -> StatusRef:
    """Read ``status`` (§6.3 of the draft)."""
    try:
        return ref_from_json(value)
    except BadStatusList as exc:
        raise not_ours() from exc
