"""The code on a licence and on a copy made for one purpose (加注件): a CWT signed by the licence issuer's key.

The claims are few on purpose: what a clerk compares with the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crypto.keys import PublicKey, Signer
from formats import cbor
from formats.codes import wire
from formats.codes.wire import BadCode, Sign1, key_id, not_ours
from formats.statuslist import StatusRef, ref_to_json

MAX_PRINTED_URL = 1200


@dataclass(frozen=True)
class Claims:
    """What a printed code says; times are whole seconds in UTC.

    :ivar issuer: the issuing organ's name
    :ivar subject: the licence identifier (GB/T 36904)
    :ivar licence_type: the licence's name, such as 营业执照
    :ivar holder: the holder's name as printed
    :ivar number: the number printed on the licence (证照编号)
    :ivar token_id: unique to this code (claim ``cti``)
    :ivar sample: made by a node that is not in production
    :ivar region: the issuing region (GB/T 2260, six digits)
    :ivar status: where the state of this licence, or of this copy, is published
    :ivar copy_id: identifier of an annotated copy (加注件); None on the licence itself
    :ivar purpose: what the copy was made for, in the words printed on it
    :ivar purpose_until: after this the copy counts for nothing, whatever becomes of the licence
    :ivar matter: code of the one matter that the copy is for
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
    region: str | None = None
    status: StatusRef | None = None
    copy_id: str | None = None
    purpose: str | None = None
    purpose_until: datetime | None = None
    matter: str | None = None


@dataclass(frozen=True)
class SignedCode:
    """A decoded printed code. Nothing in it is to be believed before :meth:`verify` says so.

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
        return key_id(key) == self.kid and Sign1(self.kid, b"", self.signed, self.signature).verify(key)


def encode(claims: Claims, signer: Signer, host: str) -> str:
    """The URL to print.

    :param host: the region's listed domain; ``http`` is used for names under ``localhost`` only
    :raises BadCode: a key other than P-256, a host that is none, or more than a printed code can hold
    """
    url = wire.to_url(wire.sign1(_to_map(claims), signer, kid=True), host)
    if len(url) > MAX_PRINTED_URL:
        # Beyond this a printed code of 30 mm no longer reads well from paper.
        raise BadCode("The names are too long for a code.", "名称过长，二维码无法容纳。")
    return url


def read(url: str, host: str, outer: Sign1) -> SignedCode:
    """The printed code in a COSE_Sign1 that was taken apart. :raises BadCode: it is none"""
    if outer.kid is None:
        raise not_ours()
    claims = wire.strictly(lambda: _from_map(cbor.read(outer.payload)))
    return SignedCode(url, host, outer.kid, claims, outer.signed, outer.signature)


_TEXTS = {
    wire.ISS: "issuer",
    wire.SUB: "subject",
    wire.TYPE: "licence_type",
    wire.HOLDER: "holder",
    wire.NUMBER: "number",
}
_OPTIONAL_TEXTS = {wire.REGION: "region", wire.COPY: "copy_id", wire.PURPOSE: "purpose", wire.MATTER: "matter"}
_OPTIONAL_TIMES = {wire.NBF: "not_before", wire.EXP: "expires", wire.PURPOSE_UNTIL: "purpose_until"}


def _to_map(claims: Claims) -> dict[int, Any]:
    out: dict[int, Any] = {key: getattr(claims, name) for key, name in _TEXTS.items()}
    out |= {wire.IAT: wire.seconds(claims.issued), wire.CTI: claims.token_id}
    out |= {key: value for key, name in _OPTIONAL_TEXTS.items() if (value := getattr(claims, name))}
    out |= {key: wire.seconds(value) for key, name in _OPTIONAL_TIMES.items() if (value := getattr(claims, name))}
    if claims.sample:
        out[wire.SAMPLE] = 1
    if claims.status:
        out[wire.STATUS] = ref_to_json(claims.status)
    return out


def _from_map(found: dict[Any, Any]) -> Claims:
    if wire.CNF in found or wire.CREDENTIAL in found:
        # What is bound to a phone's key is no printed code, whoever signed it.
        raise not_ours()
    values: dict[str, Any] = {name: wire.text(found[key]) for key, name in _TEXTS.items()}
    values |= {name: wire.text(found[key]) for key, name in _OPTIONAL_TEXTS.items() if key in found}
    values |= {name: wire.moment(found[key]) for key, name in _OPTIONAL_TIMES.items() if key in found}
    return Claims(
        **values,
        issued=wire.moment(found[wire.IAT]),
        token_id=wire.token(found[wire.CTI]),
        sample=found.get(wire.SAMPLE) == 1,
        status=wire.status_ref(found[wire.STATUS]) if wire.STATUS in found else None,
    )
