"""The code that a phone shows: the issuer's compact credential, and the phone's own signature over it and the time.

The *compact credential* is a CWT that the credential issuer signs once, when a copy is downloaded; its ``cnf`` is the phone's
public key (RFC 8747). The *shown code* is a CWT that the phone signs anew for every minute: {credential, iat, cti, challenge?}.
Whoever copies the credential, or photographs a code, has no key to make the next one with.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from crypto.errors import XinyinError
from crypto.keys import PublicKey, Signer
from crypto.suites import Suite
from formats import cbor
from formats.codes import wire
from formats.codes.wire import BadCode, Sign1, key_id, not_ours
from formats.statuslist import StatusRef, ref_to_json

MAX_SHOWN = 900
"""CBOR of a shown code in bytes, so that its QR still reads from a phone's screen."""
MAX_CREDENTIAL = 770
"""What a credential may take of that; the rest is the phone's: its signature, the time, a challenge."""
MAX_MATTERS = 32
MAX_CHALLENGE = 16
ROLES = ("representative", "holder", "manager", "staff", "agent")


class WithoutHolder(BadCode):
    """A credential without the signature of the phone that it is bound to: a copy, not something shown."""

    code = "code-without-holder"


@dataclass(frozen=True)
class Credential:
    """What the issuer says of one licence on one phone; times are whole seconds in UTC.

    :ivar issuer: the issuing organ's name
    :ivar subject: the licence identifier (GB/T 36904)
    :ivar holder: the licence holder's name as it may be shown (masked for natural persons)
    :ivar number: the number printed on the licence, masked likewise
    :ivar expires: the credential's end, never later than the licence's
    :ivar token_id: unique to this copy (claim ``cti``)
    :ivar region: the issuing region (GB/T 2260, six digits)
    :ivar status: where the state of this copy is published
    :ivar key: the phone's public key (P-256)
    :ivar role: what the bearer is to the licence, one of :data:`ROLES`
    :ivar bearer: the bearer's name as it may be shown
    :ivar matters: codes of the matters that the bearer may use the licence for; empty: all
    """

    issuer: str
    subject: str
    licence_type: str
    holder: str
    number: str
    issued: datetime
    expires: datetime
    token_id: bytes
    region: str
    key: PublicKey
    role: str
    bearer: str
    status: StatusRef | None = None
    matters: tuple[str, ...] = ()
    sample: bool = False


@dataclass(frozen=True)
class SignedCredential:
    """A compact credential as read; not to be believed before :meth:`verify` says so."""

    raw: bytes
    kid: bytes
    claims: Credential
    signed: bytes
    signature: bytes

    def verify(self, key: PublicKey) -> bool:
        """Whether ``key`` (P-256, a credential issuer's) made the issuer's signature."""
        return key_id(key) == self.kid and Sign1(self.kid, b"", self.signed, self.signature).verify(key)


@dataclass(frozen=True)
class ShownCode:
    """A decoded shown code. Believe it if :meth:`verify` holds for a listed key, :meth:`held` is true, and it is fresh.

    :ivar host: where the code wants to lead; follow it only if a trust list names it
    :ivar shown_at: when the phone made it, by the phone's clock
    :ivar token_id: drawn anew for each code
    :ivar challenge: what the holder typed because the verifier asked (口令), if so
    """

    url: str
    host: str
    credential: SignedCredential
    shown_at: datetime
    token_id: bytes
    challenge: str | None
    signed: bytes
    signature: bytes

    @property
    def kid(self) -> bytes:
        """Which of the issuer's keys signed the credential."""
        return self.credential.kid

    def verify(self, key: PublicKey) -> bool:
        """Whether ``key`` made the *issuer's* signature; see :meth:`held` for the phone's."""
        return self.credential.verify(key)

    def held(self) -> bool:
        """Whether the phone that the credential is bound to made this code."""
        return Sign1(None, b"", self.signed, self.signature).verify(self.credential.claims.key)

    @property
    def token(self) -> bytes:
        """What a verifier remembers so that the same code does not count twice: 32 bytes, meaningless to others."""
        return sha256(self.credential.claims.token_id + self.token_id).digest()


def encode_credential(claims: Credential, signer: Signer) -> bytes:
    """The compact credential, signed by the credential issuer's key (the caller holds an intent for it).

    :raises BadCode: a key other than P-256, an unknown role, or more than fits a code that phones can show
    """
    if claims.role not in ROLES or claims.key.suite is not Suite.P256 or len(claims.matters) > MAX_MATTERS:
        raise BadCode("A credential needs a known role and a P-256 key.", "凭证须有规定的身份类别和 P-256 密钥。")
    raw = wire.sign1(_to_map(claims), signer, kid=True)
    if len(raw) > MAX_CREDENTIAL:
        raise BadCode(
            "Names and matters are too long for a code that a phone can show; list fewer matters.",
            "名称或事项过长，手机二维码无法容纳；请减少所列事项。",
        )
    return raw


def read_credential(raw: bytes) -> SignedCredential:
    """:raises BadCode: not a compact credential, or over its limit"""
    if len(raw) > MAX_CREDENTIAL:
        raise not_ours()
    outer = wire.read_sign1(raw)
    if outer.kid is None:
        raise not_ours()
    claims = wire.strictly(lambda: _from_map(cbor.read(outer.payload)))
    return SignedCredential(raw, outer.kid, claims, outer.signed, outer.signature)


def encode_shown(
    credential: bytes, signer: Signer, host: str, *, at: datetime, challenge: str | None = None, token_id: bytes | None = None
) -> str:
    """The URL that a phone shows, made here: what ``api/static/shown-code.js`` does with a key that cannot leave the phone.

    :param challenge: digits that the verifier asked the holder to type
    :raises BadCode: a key other than P-256, a host that is none, or too much for a code
    """
    body: dict[int, Any] = {
        wire.IAT: wire.seconds(at),
        wire.CTI: token_id or secrets.token_bytes(8),
        wire.CREDENTIAL: credential,
    }
    if challenge:
        body[wire.CHALLENGE] = challenge
    raw = wire.sign1(body, signer, kid=False)
    if len(raw) > MAX_SHOWN:
        raise BadCode("This is too much for a code that a phone can show.", "内容过长，手机二维码无法容纳。")
    return wire.to_url(raw, host)


def read(url: str, host: str, outer: Sign1) -> ShownCode:
    """The shown code in a COSE_Sign1 that was taken apart. :raises BadCode: it is none"""
    return wire.strictly(lambda: _read(url, host, outer, cbor.read(outer.payload)))


def _read(url: str, host: str, outer: Sign1, found: dict[Any, Any]) -> ShownCode:
    challenge = found.get(wire.CHALLENGE)
    if not found.keys() <= {wire.IAT, wire.CTI, wire.CREDENTIAL, wire.CHALLENGE}:
        raise not_ours()
    if challenge is not None and len(wire.text(challenge)) > MAX_CHALLENGE:
        raise not_ours()
    return ShownCode(
        url=url,
        host=host,
        credential=read_credential(found[wire.CREDENTIAL]),
        shown_at=wire.moment(found[wire.IAT]),
        token_id=wire.token(found[wire.CTI]),
        challenge=challenge,
        signed=outer.signed,
        signature=outer.signature,
    )


_TEXTS = {
    wire.ISS: "issuer",
    wire.SUB: "subject",
    wire.TYPE: "licence_type",
    wire.HOLDER: "holder",
    wire.NUMBER: "number",
    wire.REGION: "region",
    wire.BEARER: "bearer",
}


def _to_map(claims: Credential) -> dict[int, Any]:
    out: dict[int, Any] = {key: getattr(claims, name) for key, name in _TEXTS.items()}
    out |= {
        wire.IAT: wire.seconds(claims.issued),
        wire.EXP: wire.seconds(claims.expires),
        wire.CTI: claims.token_id,
        wire.CNF: {1: _cose_key(claims.key)},
        wire.ROLE: ROLES.index(claims.role) + 1,
    }
    if claims.matters:
        out[wire.MATTERS] = list(claims.matters)
    if claims.sample:
        out[wire.SAMPLE] = 1
    if claims.status:
        out[wire.STATUS] = ref_to_json(claims.status)
    return out


def _from_map(found: dict[Any, Any]) -> Credential:
    role, matters = found[wire.ROLE], found.get(wire.MATTERS, [])
    if type(role) is not int or not 1 <= role <= len(ROLES) or not isinstance(matters, list) or len(matters) > MAX_MATTERS:
        raise not_ours()
    return Credential(
        **{name: wire.text(found[key]) for key, name in _TEXTS.items()},
        issued=wire.moment(found[wire.IAT]),
        expires=wire.moment(found[wire.EXP]),
        token_id=wire.token(found[wire.CTI]),
        key=_public_key(found[wire.CNF][1]),
        role=ROLES[role - 1],
        matters=tuple(wire.text(m) for m in matters),
        sample=found.get(wire.SAMPLE) == 1,
        status=wire.status_ref(found[wire.STATUS]) if wire.STATUS in found else None,
    )


def _cose_key(key: PublicKey) -> dict[int, Any]:
    """COSE_Key of a P-256 key with a compressed point (RFC 9053 §7.1.1): the sign of y in place of its 32 bytes."""
    public = load_der_public_key(key.spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return {1: 2, -1: 1, -2: point[1:], -3: point[0] == 3}


def _public_key(found: dict[Any, Any]) -> PublicKey:
    """Read :func:`_cose_key`; a point that is not on the curve is refused."""
    x, odd = found[-2], found[-3]
    if (found[1], found[-1]) != (2, 1) or not isinstance(x, bytes) or len(x) != 32 or not isinstance(odd, bool):
        raise not_ours()
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), (b"\x03" if odd else b"\x02") + x)
    try:
        return PublicKey.from_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    except XinyinError as exc:
        raise not_ours() from exc
