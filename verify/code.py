"""Codes on paper and on phones (``https://HOST/v#…``): read offline, judged by the listed licence-issuer keys and the register.

The result has the form of a document's verdict, so that pages and programs show both alike. The address in a code is never
followed.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from formats import codes
from verify import recognition
from verify.answer import Part
from verify.schemas import LicenceStatus, Verdict, VerificationContext, rfc3339
from verify.service import VERSION
from verify.trust import ServiceType, TrustedService

_WITHDRAWN = {"suspended": "doubt", "withdrawn": "bad", "expired": "bad", "superseded": "bad"}


def verify_code(text: str, *, context: VerificationContext) -> dict[str, Any]:
    """Verify the content of a code: its whole address, or what stands behind ``#``. Any text gives a verdict."""
    address = text if "://" in text[:8] else f"http://localhost/v#{text.lstrip('#')}"
    try:
        code = codes.decode(address)
    except XinyinError as exc:
        return _unreadable(exc, context)
    if isinstance(code, codes.ShownCode):
        missing = codes.BadCode("Codes shown by phones are not judged here yet.", "此处尚不能核验手机出示的二维码。")
        return _unreadable(missing, context)
    now = context.time()
    service = _issuer(code, context)
    known = context.licences.status(code.claims.subject, now) if context.licences is not None else None
    return _judged(code, service, known, now, context)


def _issuer(code: codes.SignedCode, context: VerificationContext) -> TrustedService | None:
    """The listed issuer whose key made the code's signature."""
    for service in context.trust.services():
        if service.type is not ServiceType.LICENCE_ISSUER:
            continue
        try:
            if code.verify(_key(service)):
                return service
        except (XinyinError, ValueError):
            continue
    return None


def _key(service: TrustedService) -> PublicKey:
    if service.certificate is not None:
        return service.certificate.public_key
    public = ECKey.import_key(json.loads(json.dumps(dict(service.jwk or {})))).public_key
    return PublicKey.from_spki(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _judged(
    code: codes.SignedCode,
    service: TrustedService | None,
    known: LicenceStatus | None,
    now: datetime,
    context: VerificationContext,
) -> dict[str, Any]:
    claims = code.claims
    document = _document(service)
    seal = _seal(service, claims.issued)
    licence = _licence(code, known, now)
    matter = recognition.judge(context, recognition.type_of(claims.subject)[0], [service.region] if service else [])
    states = {document.state, seal.state, licence.state, matter.part.state if matter.part else "none"}
    decision = "refuse" if "bad" in states else "check" if "doubt" in states else "accept"
    passed = service is not None and seal.state == "ok"
    verdict = Verdict.TOTAL_PASSED if passed else Verdict.INDETERMINATE
    sub_indication = None if passed else "NO_CERTIFICATE_CHAIN_FOUND"
    concerns = [part for part in (document, seal, licence, matter.part) if part and part.state in ("bad", "doubt")]
    reasons = [{"code": f"code-{part.state}", "message": part.message, "message_zh": part.message_zh} for part in concerns]
    signature = {
        "field": None,
        "format": "CODE",
        "algorithm": "ecdsa-p256-sha256",
        "indication": str(verdict),
        "sub_indication": sub_indication,
        "reasons": reasons,
        "intact": service is not None,
        "covers_whole_file": True,
        "changes_after": "none",
        "signer": {
            "subject": service.name if service else claims.issuer,
            "issuer": service.region if service else "?",
            "serial": code.kid.hex(),
        },
        "claimed_time": rfc3339(claims.issued),
        "proven_time": None,
        "seal": None,
        "chain": [],
        "recognition": recognition.block(matter.regions.get(service.region), context.matter) or None if service else None,
    }
    block = {
        "identifier": claims.subject,
        "type": claims.licence_type,
        "number": claims.number,
        "issuer": claims.issuer,
        "holder": claims.holder,
        "valid_from": claims.not_before.date().isoformat() if claims.not_before else None,
        "valid_to": claims.expires.date().isoformat() if claims.expires else None,
        "status": known.status if known else "unknown",
        "since": rfc3339(known.since) if known else None,
        "source": known.source if known else None,
    }
    parts = {"document": document, "seal": seal, "licence": licence, **({"matter": matter.part} if matter.part else {})}
    return _result(str(verdict), sub_indication, decision, parts, reasons, [signature], block, context)


def _document(service: TrustedService | None) -> Part:
    if service is None:
        return Part(
            "doubt",
            "No listed issuer's key confirms this code: it is made up, altered, or from a region whose list is not held here.",
            "没有任何列入信任列表的颁发机构密钥能确认此二维码：可能系伪造、被改动，或来自本地未导入信任列表的地区。",
        )
    return Part("ok", "The code is unchanged since it was issued.", "二维码内容自签发后未被改动。")


def _seal(service: TrustedService | None, issued: datetime) -> Part:
    if service is None:
        return Part("doubt", "Who made this code could not be confirmed.", "无法确认二维码由谁签发。")
    if service.withdrawn_at(issued):
        return Part(
            "bad",
            f"The issuer {service.name} had been withdrawn from the trust list when this code was made.",
            f"该二维码签发时，颁发机构 {service.name} 已被移出信任列表。",
        )
    return Part(
        "ok", f"Signed by {service.name}, region {service.region}.", f"由 {service.name}（区域 {service.region}）签发。"
    )


def _licence(code: codes.SignedCode, known: LicenceStatus | None, now: datetime) -> Part:
    identifier = code.claims.subject
    if known is not None and known.status in _WITHDRAWN:
        word = known.state_zh or known.status
        since = rfc3339(known.since) or "?"
        return Part(
            _WITHDRAWN[known.status],
            f"The licence {identifier} is not in force ({word}) since {since}.",
            f"证照 {identifier} 已不再有效（{word}），自 {since}。",
        )
    if code.claims.expires is not None and code.claims.expires < now:
        return Part("bad", f"The licence {identifier} has expired.", f"证照 {identifier} 已过有效期。")
    if known is None:
        return Part(
            "doubt",
            "Whether the licence is in force today could not be found out here; ask the issuer.",
            "无法在此查明该证照今天是否有效；请向颁发机构核实。",
        )
    return Part("ok", f"The licence {identifier} is in force.", f"证照 {identifier} 有效。")


_STEPS = {
    "accept": (
        "Compare name and number below with the licence that is shown; if they agree, you may rely on it.",
        "请将下列名称、编号与所出示的证照核对；一致即可采信。",
    ),
    "check": ("Have the issuing authority confirm the licence.", "请向颁发机构核实该证照。"),
    "refuse": (
        "Do not accept it. Tell the holder to turn to the authority that issued the licence.",
        "不予采信。请告知持有人向证照颁发机构咨询。",
    ),
}


def _unreadable(exc: XinyinError, context: VerificationContext) -> dict[str, Any]:
    none = Part("none", "Nothing could be read.", "未能读取内容。")
    document = Part("doubt", exc.message, exc.message_zh)
    reasons = [{"code": exc.code, "message": exc.message, "message_zh": exc.message_zh}]
    parts = {"document": document, "seal": none, "licence": none}
    return _result(str(Verdict.UNREADABLE), None, "check", parts, reasons, [], None, context)


def _result(
    verdict: str,
    sub_indication: str | None,
    decision: str,
    parts: dict[str, Part],
    reasons: list[dict[str, str]],
    signatures: list[dict[str, Any]],
    licence: dict[str, Any] | None,
    context: VerificationContext,
) -> dict[str, Any]:
    step, step_zh = _STEPS[decision]
    asked = parts.get("matter")
    if asked and asked.next_step and not {p.state for name, p in parts.items() if name != "matter"} & {"bad", "doubt"}:
        step, step_zh = asked.next_step, asked.next_step_zh or asked.next_step
    matter = Part("none", "No matter was asked about.", "未指定事项。")
    return {
        "file": "code" if licence is None else f"{licence['type']} {licence['number']}",
        "verdict": verdict,
        "sub_indication": sub_indication,
        "answer": {
            "decision": decision,
            "matter": matter.to_dict(),
            **{name: part.to_dict() for name, part in parts.items()},
            "next_step": step,
            "next_step_zh": step_zh,
        },
        "reasons": reasons,
        "signatures": signatures,
        "licence": licence,
        "trust": {
            "lists": context.trust.report(context.time()),
            "problems": [p.to_dict() for p in context.trust.problems],
        },
        "engine": {"version": VERSION, "policy": context.policy.label},
    }
