"""SD-JWT VCs as a verifier receives them: the issuer's and the holder's signature, the time, the type, and then as any licence.

The claims are those that ``licences`` issues (docs/credentials.md): what must always be seen stands in the signed part, the
licence's own fields are disclosed one by one. Only what was disclosed is in the verdict, under ``disclosed``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from formats import sdjwt
from formats.statuslist import StatusRef, ref_from_json
from verify import presented
from verify.answer import Part
from verify.presented import Findings, Presented
from verify.schemas import Verdict, VerificationContext, rfc3339
from verify.trust import ServiceType

_OWN = frozenset(
    {
        "iss", "iat", "nbf", "exp", "vct", "cnf", "status", "sample", "licence_identifier", "issuing_authority",
        "issuing_authority_code", "issuing_region", "licence_type", "role", "matters", "bearer",
    }
)  # fmt: skip
_MAX_SHOWN = 64


def verify_sd_jwt(text: str, *, context: VerificationContext, audience: str, nonce: str) -> dict[str, Any]:
    """Verify a presentation. Any text gives a verdict.

    :param audience: who asked, as the holder's wallet was told; :param nonce: what was drawn for this one asking
    """
    try:
        found = sdjwt.read(text.strip())
        vct = sdjwt.check_vc(found)
        shown = _presented(found, vct)
    except XinyinError as exc:
        return presented.refused(exc, Verdict.UNREADABLE, "document", context)
    findings = Findings()
    service = presented.vouching(shown, context, findings)
    _judge_holder(found, audience, nonce, findings)
    _judge_start(found, context.time(), findings)
    if not findings.parts["document"]:
        findings.note(
            "document", Part("ok", "Unchanged, and presented by its holder just now.", "内容未被改动，由持有人当场出示。")
        )
    licence = presented.in_force(shown, service, context, findings)
    matter = presented.for_matter(shown, service, context, findings)
    verdict = presented.verdict_of(shown, service, licence, matter, findings, context)
    verdict["disclosed"] = {name: value for name, value in list(found.claims.items())[:_MAX_SHOWN] if name not in _OWN}
    return verdict


def _judge_holder(found: sdjwt.SdJwt, audience: str, nonce: str, findings: Findings) -> None:
    """The holder's signature, by the clock on the wall: it is an answer to a question asked minutes ago."""
    try:
        found.check_binding(audience=audience, nonce=nonce, at=datetime.now(UTC))
    except sdjwt.BadSdJwt as exc:
        findings.add("document", "bad", "not-bound", detail=exc.message, detail_zh=exc.message_zh)


def _judge_start(found: sdjwt.SdJwt, now: datetime, findings: Findings) -> None:
    start = found.time("nbf")
    if start is not None and now < start - sdjwt.CLOCK_ALLOWANCE:
        findings.add("licence", "bad", "copy-not-yet", starts=rfc3339(start))


def _presented(found: sdjwt.SdJwt, vct: str) -> Presented:
    """:raises XinyinError: a claim is missing that every credential of ours has, or is of another kind"""
    claims = found.claims
    issuer = str(found.payload.get("iss", ""))
    issued = found.time("iat")
    if issued is None or not _text(found.payload, "licence_identifier"):
        raise sdjwt.BadSdJwt("This credential is not of a licence that is known here.", "该凭证不属于此处可识别的证照。")
    matters = found.payload.get("matters", [])
    if not isinstance(matters, list) or not all(isinstance(one, str) for one in matters):
        raise sdjwt.BadSdJwt("The matters in the credential cannot be read.", "凭证中的事项无法读取。")
    return Presented(
        format="SD-JWT",
        service=ServiceType.CREDENTIAL_ISSUER,
        signed_by=lambda key: _may_have_signed(found, key) and found.issuer([key]) is not None,
        names_key=lambda key: found.header.get("kid") == key.fingerprint,
        kid=str(found.header.get("kid", ""))[:128],
        host=_host(issuer),
        identifier=_text(found.payload, "licence_identifier"),
        licence_type=_text(found.payload, "licence_type") or vct[:200],
        number=_text(claims, "number") or _text(claims, "uscc"),
        issuer=_text(found.payload, "issuing_authority"),
        holder=_text(claims, "name"),
        issued=issued,
        presentation={
            "kind": "credential",
            "copy": None,
            "shown_at": None,
            "bearer": _text(claims, "bearer") or None,
            "bearer_role": _text(found.payload, "role") or None,
            "matters": [one[:64] for one in matters[:32]],
            "purpose": None,
            "purpose_until": None,
            "purpose_matter": None,
            "challenge": None,
        },
        region=_text(found.payload, "issuing_region") or None,
        expires=found.time("exp"),
        status=_place(found.payload.get("status")),
        copy=True,
        sample=found.payload.get("sample") is True,
    )


def _may_have_signed(found: sdjwt.SdJwt, key: PublicKey) -> bool:
    """Whether a key is worth trying: a credential of ours names its key by fingerprint, others name theirs as they like."""
    kid = found.header.get("kid")
    return not (isinstance(kid, str) and re.fullmatch(r"[0-9a-f]{64}", kid)) or kid == key.fingerprint


def _host(issuer: str) -> str:
    """Of ``iss``; what is no address is no listed one either."""
    try:
        return urlsplit(issuer).netloc or issuer[:200]
    except ValueError:
        return issuer[:200]


def _place(claim: Any) -> StatusRef | None:
    """:raises BadStatusList: a status that is none; a credential without one has none to be asked about"""
    return None if claim is None else ref_from_json(claim)


def _text(claims: Any, name: str) -> str:
    value = claims.get(name)
    return value[:400] if isinstance(value, str) else ""
