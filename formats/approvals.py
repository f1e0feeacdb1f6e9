"""Approvals by several officers: what each of them signs, and how anyone checks it again from the log alone.

**The statement** is one JSON object ``{"type": "xinyin-approval", "v": 1, "id", "region", "action", "subject", "statement",
"words", "requested_by", "requested_at", "expires_at", "needed"}``. ``statement`` says exactly what will happen, ``words`` holds
the SHA-256 of the sentences that officers read (``{"en", "zh"}``; the sentences may name people and stay out of the log). Its
canonical JSON (:mod:`formats.canonical`) in UTF-8 is what a certificate signs; the SHA-256 of that is the challenge that a
passkey signs (W3C WebAuthn Level 2 §7.2).

**The evidence** is ``{"v": 1, "digest", "statement", "approvals": [{"account", "key", "kind", "at", "spki", …}]}``. A passkey's
entry has ``authenticator_data``, ``client_data``, ``signature`` and ``rp_id``; a certificate's has ``format`` (``cms`` or
``raw``), ``scheme``, ``signature``, from CMS also ``signed_attributes`` (RFC 5652 §5.4), and ``not_before`` and ``not_after``.
Bytes are base64 (RFC 4648 §4). It stands in the leaf ``approval.used``; :mod:`formats.approvallog` checks it there.

Pure arithmetic: the service that takes an approval and the auditor who doubts it run the same functions.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from asn1crypto import cms

from crypto import sm2
from crypto.errors import BadInput, XinyinError
from crypto.keys import PublicKey, digest
from crypto.suites import SCHEMES, Suite, default_scheme
from formats.canonical import canonical_json, rfc3339
from formats.cms import DATA, GM_DATA, parse_signed_data

TYPE = "xinyin-approval"
KEY_TYPE = "xinyin-officer-key"
LEAST = 2
"""Approvals that no rule goes below."""

_FIELDS = {
    "type", "v", "id", "region", "action", "subject", "statement", "words", "requested_by", "requested_at", "expires_at",
    "needed",
}  # fmt: skip
_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_LIMIT = 64 * 1024


class BadSignature(BadInput):
    """An approval whose signature does not hold; nothing was recorded."""

    code = "bad-approval-signature"


@dataclass(frozen=True)
class OfficerKey:
    """What an officer approves with. ``rp_id`` is the host that a passkey is bound to; the times are of the certificate."""

    kind: str
    """``passkey`` or ``certificate``."""
    spki: bytes = field(repr=False)
    rp_id: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo, lower-case hex."""
        return hashlib.sha256(self.spki).hexdigest()


def statement_of(
    *,
    approval: str,
    region: str,
    action: str,
    subject: Mapping[str, str],
    statement: Mapping[str, Any],
    words: Mapping[str, str],
    requested_by: str,
    requested_at: datetime,
    expires_at: datetime,
    needed: int,
) -> dict[str, Any]:
    """The object that officers sign. ``words`` are the sentences themselves, by language; only their digests go in."""
    return {
        "type": TYPE,
        "v": 1,
        "id": approval,
        "region": region,
        "action": action,
        "subject": dict(subject),
        "statement": dict(statement),
        "words": {lang: hashlib.sha256(text.encode()).hexdigest() for lang, text in words.items()},
        "requested_by": requested_by,
        "requested_at": rfc3339(requested_at),
        "expires_at": rfc3339(expires_at),
        "needed": needed,
    }


def statement_bytes(statement: Mapping[str, Any]) -> bytes:
    """What a certificate signs, and what :func:`digest_of` digests."""
    return canonical_json(statement).encode()


def digest_of(statement: Mapping[str, Any]) -> bytes:
    """The 32 bytes that a passkey signs as its challenge."""
    return hashlib.sha256(statement_bytes(statement)).digest()


def enrolment_bytes(region: str, account: str, fingerprint: str) -> bytes:
    """What a key signs when it is enrolled: proof that its holder has it and means this account of this region.

    :param fingerprint: SHA-256 of its SubjectPublicKeyInfo, lower-case hex
    """
    said = {"type": KEY_TYPE, "v": 1, "region": region, "account": account, "spki_sha256": fingerprint}
    return canonical_json(said).encode()


def read_signature(spki: bytes, message: bytes, signature: bytes) -> dict[str, str]:
    """An approval made with a certificate's key, as it stands in evidence: ``{"format", "scheme", "signature"}`` and, from CMS,
    ``signed_attributes``.

    What else a CMS file carries, the officer's certificate and name among it, is left behind: the log holds no personal data.

    :param signature: the bare value under the suite's default scheme, or CMS SignedData (RFC 5652, GB/T 35275), detached or not
    :raises BadSignature: neither, or not by this key over ``message``
    """
    if len(signature) > _LIMIT:
        raise _refused("the signature is too long", "签名过长")
    key = PublicKey.from_spki(spki)
    if key.verify(message, signature):
        return {"format": "raw", "scheme": default_scheme(key.suite).name, "signature": pack(signature)}
    try:
        view = parse_signed_data(signature)
    except XinyinError as exc:
        raise _refused("it is not this key's signature over this text", "不是该密钥对此内容的签名") from exc
    if len(view.signers) != 1 or view.content_type not in (DATA, GM_DATA) or view.content not in (None, message):
        raise _refused("the CMS is not of one signer over this text", "CMS 并非一人对此内容的签名")
    signer = view.signers[0]
    if signer.scheme is None or signer.scheme.digest is not signer.digest or signer.repeated_attributes:
        raise _refused("the CMS uses an algorithm that is not supported", "CMS 使用了不支持的算法")
    value = sm2.normalise_signature(signer.signature) if key.suite is Suite.SM2 else signer.signature
    entry = {"format": "raw", "scheme": signer.scheme.name, "signature": pack(value)}
    if signer.signed_attrs is not None:
        entry |= {"format": "cms", "signed_attributes": pack(signer.signed_attrs)}
    check_signature(spki, message, entry)
    return entry


def check_signature(spki: bytes, message: bytes, entry: Mapping[str, Any]) -> None:
    """What :func:`read_signature` gave, checked again.

    :raises BadSignature: it does not hold over ``message``
    :raises KeyError: a part is missing
    """
    key, scheme = PublicKey.from_spki(spki), SCHEMES[entry["scheme"]]
    signed = message
    if entry["format"] == "cms":
        signed = unpack(entry["signed_attributes"])
        attributes = _signed_attributes(signed)
        if attributes.get("message_digest") != digest(scheme.digest, message):
            raise _refused("the CMS is over another text", "CMS 签署的是其他内容")
    elif entry["format"] != "raw":
        raise _refused("its form is unknown", "签名格式未知")
    if not key.verify(signed, unpack(entry["signature"]), scheme):
        raise _refused("the signature does not hold over this text", "签名与此内容不符")


def check_passkey(key: OfficerKey, challenged: bytes, authenticator_data: bytes, client_data: bytes, signature: bytes) -> None:
    """An assertion over exactly this digest, made with the user verified (W3C WebAuthn Level 2 §7.2, steps 11 to 20).

    :raises BadSignature: any step fails
    """
    client = _json_object(client_data)
    challenge = base64.urlsafe_b64encode(challenged).rstrip(b"=").decode()
    if client.get("type") != "webauthn.get":
        raise _refused("the passkey's answer is no assertion", "通行密钥的应答类型不符")
    if not hmac.compare_digest(str(client.get("challenge")).encode(), challenge.encode()):
        raise _refused("the passkey signed something else", "通行密钥签署的是其他内容")
    if client.get("crossOrigin") is True or "topOrigin" in client or not _is_home(client.get("origin"), key.rp_id):
        raise _refused("the passkey was used on another site", "通行密钥在其他网站上使用")
    if key.rp_id is None or authenticator_data[:32] != hashlib.sha256(key.rp_id.encode()).digest():
        raise _refused("the passkey belongs to another site", "通行密钥属于其他网站")
    if len(authenticator_data) < 37 or len(authenticator_data) > _LIMIT:
        raise _refused("the passkey's answer is incomplete", "通行密钥的应答不完整")
    flags = authenticator_data[32]
    if not flags & _USER_PRESENT or not flags & _USER_VERIFIED:
        raise _refused("the passkey did not ask for its PIN or fingerprint", "通行密钥未核验 PIN 或指纹")
    signed = authenticator_data + hashlib.sha256(client_data).digest()
    if not PublicKey.from_spki(key.spki).verify(signed, signature):
        raise _refused("the passkey's signature does not hold", "通行密钥的签名无效")


def evidence_of(statement: Mapping[str, Any], approvals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The evidence, ready for a leaf."""
    return {
        "v": 1,
        "digest": digest_of(statement).hex(),
        "statement": dict(statement),
        "approvals": [dict(approval) for approval in approvals],
    }


@dataclass(frozen=True)
class Misfit:
    """One thing that is wrong with evidence."""

    code: str
    message: str
    message_zh: str


def check_evidence(evidence: Mapping[str, Any], *, region: str, at: datetime) -> list[Misfit]:
    """Whether enough different officers signed exactly this statement with the keys that the evidence names, in time.

    Who holds those keys is another question: :mod:`formats.approvallog` answers it from the log.

    :param at: when the approval was used
    """
    try:
        statement, approvals = evidence["statement"], evidence["approvals"]
        if evidence["v"] != 1 or set(statement) != _FIELDS or statement["type"] != TYPE or statement["v"] != 1:
            raise ValueError("form")
        right = digest_of(statement)
        expires, needed = moment(statement["expires_at"]), statement["needed"]
        entries = [(entry, key_of(entry)) for entry in approvals]
        if type(needed) is not int:
            raise ValueError("needed")
    except (KeyError, TypeError, ValueError, AttributeError, XinyinError):
        return [Misfit("approval-unreadable", "The evidence of an approval cannot be read.", "批准证据无法读取。")]
    found = []
    if evidence["digest"] != right.hex():
        found.append(Misfit("approval-edited", "The statement is not the one of the digest.", "批准内容与其摘要不符。"))
    if statement["region"] != region:
        found.append(Misfit("approval-foreign", "The approval is of another region.", "该批准属于其他区域。"))
    if at >= expires:
        found.append(Misfit("approval-late", "The approval was used after it had expired.", "批准过期后才被使用。"))
    if len({e["account"] for e, _ in entries}) < len(entries) or len({k.fingerprint for _, k in entries}) < len(entries):
        found.append(Misfit("approval-twice", "One officer or one key approved twice.", "同一人员或同一密钥批准了两次。"))
    if len(entries) < max(LEAST, needed):
        few, few_zh = (
            f"Only {len(entries)} approved, {max(LEAST, needed)} were needed.",
            f"仅有 {len(entries)} 人批准，人数不足。",
        )
        found.append(Misfit("approval-too-few", few, few_zh))
    for entry, key in entries:
        try:
            when = moment(entry["at"])
            if when >= expires or when > at:
                raise _refused("it was given too late", "批准时间晚于期限")
            check_entry(entry, key, statement, when)
        except (KeyError, TypeError, ValueError, XinyinError) as exc:
            why = exc.message if isinstance(exc, XinyinError) else "it cannot be read"
            why_zh = exc.message_zh if isinstance(exc, XinyinError) else "无法读取"
            who = str(entry.get("account"))[:64]
            found.append(
                Misfit("approval-forged", f"The approval by {who} does not hold: {why}", f"{who} 的批准无效：{why_zh}")
            )
    return found


def check_entry(entry: Mapping[str, Any], key: OfficerKey, statement: Mapping[str, Any], at: datetime) -> None:
    """One officer's approval of the statement.

    :raises BadSignature: it does not hold
    :raises KeyError: the entry lacks a part
    """
    if key.kind == "passkey":
        parts = (unpack(entry[name]) for name in ("authenticator_data", "client_data", "signature"))
        check_passkey(key, digest_of(statement), *parts)
        return
    if key.not_before is None or key.not_after is None or not key.not_before <= at <= key.not_after:
        raise _refused("the certificate was not valid then", "证书当时不在有效期内")
    check_signature(key.spki, statement_bytes(statement), entry)


def key_of(entry: Mapping[str, Any]) -> OfficerKey:
    """The key that an entry of evidence, or a leaf about an officer's key, names.

    :raises KeyError: a part is missing
    :raises ValueError: no kind that is known
    """
    kind = entry["kind"]
    if kind == "passkey":
        return OfficerKey("passkey", unpack(entry["spki"]), rp_id=str(entry["rp_id"]))
    if kind == "certificate":
        since, until = moment(entry["not_before"]), moment(entry["not_after"])
        return OfficerKey("certificate", unpack(entry["spki"]), not_before=since, not_after=until)
    raise ValueError("kind")


def pack(data: bytes) -> str:
    """Bytes as they stand in evidence."""
    return base64.b64encode(data).decode("ascii")


def unpack(text: str) -> bytes:
    """:raises ValueError: no base64"""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, AttributeError) as exc:
        raise ValueError("base64") from exc


def moment(text: str) -> datetime:
    """An RFC 3339 time in UTC. :raises ValueError: none"""
    if not isinstance(text, str) or not text.endswith("Z"):
        raise ValueError("time")
    return datetime.fromisoformat(text).astimezone(UTC)


def _signed_attributes(data: bytes) -> dict[str, Any]:
    """Attributes of one value each, by asn1crypto's names, from DER ``SET OF Attribute``."""
    try:
        found: dict[str, Any] = {}
        for attribute in cms.CMSAttributes.load(data, strict=True):
            name, values = attribute["type"].native, attribute["values"]
            if name in found or len(values) != 1:
                raise ValueError(name)
            found[name] = values[0].native
        return found
    except Exception as exc:  # asn1crypto raises whatever it meets
        raise _refused("its signed attributes cannot be read", "无法读取签名属性") from exc


def _is_home(origin: Any, rp_id: str | None) -> bool:
    """Whether an origin is a page of the host that the passkey belongs to, over TLS (or on this very machine)."""
    if not isinstance(origin, str) or not rp_id:
        return False
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
    except ValueError:
        return False
    local = host == "localhost" or host.endswith(".localhost")
    return (parts.scheme == "https" or (parts.scheme == "http" and local)) and (host == rp_id or host.endswith(f".{rp_id}"))


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8")) if len(data) <= _LIMIT else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _refused("the passkey's answer cannot be read", "通行密钥的应答无法读取")
    return value


def _refused(why: str, why_zh: str) -> BadSignature:
    return BadSignature(
        f"This approval cannot be taken: {why}. Nothing was recorded; open the request again and approve once more.",
        f"该批准未被接受：{why_zh}。未作任何记录；请重新打开该事项后再次批准。",
        why=why,
    )
