"""Codes on paper and on phones (``https://HOST/v#…``): read offline, judged by the listed issuers' keys, the register and the
status lists that are held here.

The result has the form of a document's verdict, so that pages and programs show both alike. The address in a code is never
followed. A printed code is signed by the licence issuer; a phone's code by the credential issuer *and*, for the minute, by the
phone itself: a picture of it is worth nothing when the minute is over.
"""

from __future__ import annotations

import hmac
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto.errors import XinyinError
from formats import codes
from verify import presented
from verify.answer import Part
from verify.presented import Findings, Presented
from verify.schemas import Verdict, VerificationContext, rfc3339
from verify.trust import ServiceType

VALID = timedelta(seconds=60)
"""How long a shown code counts: until the phone shows the next."""
CLOCKS = timedelta(seconds=30)
"""What is allowed for two clocks that differ."""


def verify_code(text: str, *, context: VerificationContext) -> dict[str, Any]:
    """Verify the content of a code: its whole address, or what stands behind ``#``. Any text gives a verdict."""
    whole = "://" in text[:8]
    try:
        code = codes.decode(text if whole else f"http://localhost/v#{text.lstrip('#')}")
    except codes.WithoutHolder as exc:
        return presented.refused(exc, Verdict.TOTAL_FAILED, "document", context)
    except XinyinError as exc:
        return presented.refused(exc, Verdict.UNREADABLE, "document", context)
    host = code.host if whole else None
    if isinstance(code, codes.ShownCode):
        return _shown(code, host, context)
    return _printed(code, host, context)


def _presented(
    code: codes.SignedCode | codes.ShownCode, claims: codes.Claims | codes.Credential, host: str | None, **kind: Any
) -> Presented:
    """What every kind of code says alike; ``kind``: the fields of :class:`Presented` in which they differ."""
    return Presented(
        signed_by=code.verify,
        names_key=lambda key: codes.key_id(key) == code.kid,
        kid=code.kid.hex(),
        host=host,
        identifier=claims.subject,
        licence_type=claims.licence_type,
        number=claims.number,
        issuer=claims.issuer,
        holder=claims.holder,
        issued=claims.issued,
        region=claims.region,
        expires=claims.expires,
        status=claims.status,
        sample=claims.sample,
        **kind,
    )


# --- on paper -------------------------------------------------------------------------------------------------------------


def _printed(code: codes.SignedCode, host: str | None, context: VerificationContext) -> dict[str, Any]:
    claims = code.claims
    shown = _presented(
        code,
        claims,
        host,
        format="CODE",
        service=ServiceType.LICENCE_ISSUER,
        presentation={
            "kind": "annotated" if claims.copy_id else "printed",
            "copy": claims.copy_id,
            "shown_at": None,
            "bearer": None,
            "bearer_role": None,
            "matters": [],
            "purpose": claims.purpose,
            "purpose_until": rfc3339(claims.purpose_until),
            "purpose_matter": claims.matter,
            "challenge": None,
        },
        not_before=claims.not_before,
    )
    findings = Findings()
    service = presented.vouching(shown, context, findings)
    if service is not None:
        unchanged = ("The code is unchanged since it was issued.", "二维码内容自签发后未被改动。")
        findings.note("document", Part("ok", *unchanged))
    licence = presented.in_force(shown, service, context, findings)
    matter = presented.for_matter(shown, service, context, findings)
    return presented.verdict_of(shown, service, licence, matter, findings, context)


# --- on a phone -----------------------------------------------------------------------------------------------------------


def _shown(code: codes.ShownCode, host: str | None, context: VerificationContext) -> dict[str, Any]:
    claims = code.credential.claims
    shown = _presented(
        code,
        claims,
        host,
        format="SHOWN-CODE",
        service=ServiceType.CREDENTIAL_ISSUER,
        presentation={
            "kind": "shown",
            "copy": claims.token_id.hex(),
            "shown_at": rfc3339(code.shown_at),
            "bearer": claims.bearer,
            "bearer_role": claims.role,
            "matters": list(claims.matters),
            "purpose": None,
            "purpose_until": None,
            "purpose_matter": None,
            "challenge": code.challenge,
        },
        copy=True,
    )
    findings = Findings()
    service = presented.vouching(shown, context, findings)
    if not code.held():
        findings.add("document", "bad", "shown-not-held")
    elif _is_fresh(code, findings):
        _judge_challenge(code.challenge, context.challenge, findings)
        if service is not None and not findings.parts["document"]:
            _judge_once(code, context, findings)
    licence = presented.in_force(shown, service, context, findings)
    matter = presented.for_matter(shown, service, context, findings)
    return presented.verdict_of(shown, service, licence, matter, findings, context)


def _is_fresh(code: codes.ShownCode, findings: Findings) -> bool:
    """Whether the phone made the code within its minute, by the clock on the wall: no other time can be asked about, or an old
    picture would be good for the time at which it was taken."""
    age = datetime.now(UTC) - code.shown_at
    if age > VALID + CLOCKS:
        findings.add("document", "bad", "shown-too-old", age=int(age.total_seconds()))
    elif age < -CLOCKS:
        findings.add("document", "bad", "shown-too-early", ahead=int(-age.total_seconds()))
    return -CLOCKS <= age <= VALID + CLOCKS


def _judge_challenge(carried: str | None, asked: str | None, findings: Findings) -> None:
    """Digits that the verifier named and the holder typed (口令): who relays a picture cannot know them beforehand."""
    if asked is None:
        if carried is not None:
            findings.add("document", "doubt", "challenge-unasked", challenge=carried)
        return
    if carried is None:
        findings.add("document", "bad", "challenge-missing", challenge=asked)
    elif not hmac.compare_digest(*(unicodedata.normalize("NFKC", text).strip().encode() for text in (carried, asked))):
        findings.add("document", "bad", "challenge-wrong", challenge=asked)


def _judge_once(code: codes.ShownCode, context: VerificationContext, findings: Findings) -> None:
    """Remember the showing, so that a picture of it, shown at the next counter within the minute, is noticed."""
    if context.seen is not None and not context.seen.first(code.token, code.shown_at + VALID + 2 * CLOCKS):
        findings.add("document", "doubt", "shown-seen-before")
        return
    findings.note("document", Part("ok", "Made by the holder's phone for this minute.", "由持证手机在本分钟内生成。"))
