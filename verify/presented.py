"""A licence as it is presented, on paper, on a phone or as a credential: who vouches for it, whether it is in force today and
counts for the matter, and the verdict in the form of a document's.

:mod:`verify.code` and :mod:`verify.credential` read what is presented and check the holder's part; what is the same for all
is here. No address in what is presented is ever followed: at most its status list is asked for, of the provider that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from crypto.errors import XinyinError
from crypto.keys import PublicKey
from formats import jose
from formats.dates import BEIJING
from formats.regions import region_name
from formats.statuslist import StatusRef
from policies.presenting import matters
from verify import recognition
from verify.age import on_whose_word, spoken
from verify.annotated import Annotation
from verify.answer import Part
from verify.presented_reasons import STEPS
from verify.reasons import Reason, reason
from verify.schemas import LicenceStatus, TokenState, Verdict, VerificationContext, rfc3339
from verify.service import VERSION
from verify.trust import ServiceType, TrustedService

_ORDER = ("bad", "doubt", "ok", "none")
_QUESTIONS = ("document", "seal", "licence", "matter")
_REGISTER = {
    "suspended": ("licence-suspended", "doubt"),
    "withdrawn": ("licence-withdrawn", "bad"),
    "expired": ("licence-expired", "bad"),
    "superseded": ("licence-superseded", "bad"),
}
_LISTED = {"withdrawn": "bad", "superseded": "bad", "suspended": "doubt"}


@dataclass(frozen=True)
class Presented:
    """What is presented says of itself; nothing of it is believed yet.

    :ivar format: ``CODE`` (printed), ``SHOWN-CODE`` (phone) or ``SD-JWT``
    :ivar service: for which a list must name the key that signed
    :ivar signed_by: whether a key made the issuer's signature
    :ivar kid: which key the issuer's signature names, as :func:`formats.codes.key_id` or as the header has it
    :ivar host: where it leads or comes from; None where it does not say
    :ivar expires: of the licence, or for ``copy`` of the copy
    :ivar copy: whether it is a copy on a phone, which lives for weeks
    :ivar presentation: the block of that name in the verdict
    """

    format: str
    service: ServiceType
    signed_by: Callable[[PublicKey], bool]
    names_key: Callable[[PublicKey], bool]
    kid: str
    host: str | None
    identifier: str
    licence_type: str
    number: str
    issuer: str
    holder: str
    issued: datetime
    presentation: dict[str, Any]
    region: str | None = None
    not_before: datetime | None = None
    expires: datetime | None = None
    status: StatusRef | None = None
    copy: bool = False
    sample: bool = False

    @property
    def own_place(self) -> bool:
        """Whether its place in the status list is its own: of a copy on a phone, or one made for a purpose."""
        return self.copy or self.presentation["kind"] == "annotated"


@dataclass
class Findings:
    """What was found, by question; each question's worst finding is its answer."""

    parts: dict[str, list[Part]] = field(default_factory=lambda: {name: [] for name in _QUESTIONS})
    reasons: list[Reason] = field(default_factory=list)

    def add(self, question: str, state: str, code: str, /, **values: Any) -> None:
        """A finding that stands in the way: ``state`` bad or doubt."""
        self.say(question, state, reason(code, "FAIL" if state == "bad" else "WARN", **values))

    def say(self, question: str, state: str, found: Reason) -> None:
        """The same, of a reason that is worded already."""
        step = STEPS.get(found.code, (None, None))
        self.reasons.append(found)
        self.parts[question].append(Part(state, found.message, found.message_zh, step[0], step[1]))

    def note(self, question: str, part: Part) -> None:
        """An answer in words of its own."""
        self.parts[question].append(part)

    def part(self, question: str) -> Part:
        """The answer to one question."""
        found = self.parts[question]
        none = Part("none", "Nothing was found out about it.", "未作判断。")
        return min(found, key=lambda part: _ORDER.index(part.state), default=none)

    def codes(self) -> set[str]:
        """Codes of all findings."""
        return {one.code for one in self.reasons}


# --- who vouches for it ---------------------------------------------------------------------------------------------------


def vouching(shown: Presented, context: VerificationContext, findings: Findings) -> TrustedService | None:
    """The listed service whose key made the issuer's signature; says what is wrong with it, and with where it leads."""
    named: TrustedService | None = None
    for service, key in _keys(context, shown.service):
        if shown.signed_by(key):
            _judge_service(shown, service, context, findings)
            return service
        named = service if shown.names_key(key) else named
    if named is not None:
        findings.add("document", "bad", "code-altered", name=named.name)
    else:
        findings.add("document", "doubt", "code-not-confirmed")
    findings.add("seal", "doubt", "issuer-unknown")
    return None


def _keys(context: VerificationContext, kind: ServiceType) -> list[tuple[TrustedService, PublicKey]]:
    """Listed keys for a service; those that cannot be read are passed over."""
    found = []
    for service in context.trust.services():
        if service.type is kind:
            try:
                certificate = service.certificate
                found.append((service, certificate.public_key if certificate else jose.public_key(service.jwk or {})))
            except XinyinError:
                continue
    return found


def _judge_service(shown: Presented, service: TrustedService, context: VerificationContext, findings: Findings) -> None:
    listed = context.trust.list_of(service.region)
    if shown.host is not None and not _is_listed(shown.host, service.region, context):
        findings.add("document", "bad", "code-fake-domain", host=shown.host, region=service.region)
    if shown.region is not None and shown.region != service.region:
        findings.add("seal", "bad", "code-other-region", claimed_region=shown.region, region=service.region)
    if service.withdrawn_at(shown.issued):
        findings.add("seal", "bad", "issuer-withdrawn", name=service.name)
    level = context.policy.level("list-stale")
    if listed is not None and listed.state(context.time()) == "stale" and level in ("FAIL", "WARN"):
        findings.add("seal", "doubt", "issuer-list-stale", region=listed.region, next_update=rfc3339(listed.next_update))
    region, region_zh = region_name(service.region)
    findings.note("seal", Part("ok", f"Signed by {service.name}, {region}.", f"由 {service.name}（{region_zh}）签发。"))


def _is_listed(host: str, region: str, context: VerificationContext) -> bool:
    """Whether a host is among the domains that the region's list names, with its port or on the usual one."""
    domains = {domain.lower() for one in context.trust.lists if one.region == region for domain in one.domains}
    return host.lower() in domains


# --- whether it is in force -----------------------------------------------------------------------------------------------


def in_force(
    shown: Presented, service: TrustedService | None, context: VerificationContext, findings: Findings
) -> dict[str, Any]:
    """The ``licence`` block: what the register says, and what the issuer's status list says of this licence or copy."""
    now = context.time()
    known = context.licences.status(shown.identifier, now) if context.licences is not None else None
    token = _token(shown, service, context, now)
    region = service.region if service else "?"
    _judge_state(shown, known, token, region, now, findings)
    status = "unknown"
    if known is not None and known.status != "in-force":
        status = known.status
    elif token is not None:
        status = token.status
    elif known is not None and not (shown.own_place and shown.status):
        status = known.status
    return {
        "identifier": shown.identifier,
        "type": shown.licence_type,
        "number": shown.number,
        "issuer": shown.issuer,
        "holder": shown.holder,
        "valid_from": shown.not_before.date().isoformat() if shown.not_before else None,
        "valid_to": shown.expires.date().isoformat() if shown.expires and not shown.copy else None,
        "status": status,
        "since": rfc3339(known.since) if known else None,
        "source": known.source if known else token.source if token else None,
        "as_of": rfc3339(token.as_of) if token else None,
        "fetched": rfc3339(token.fetched) if token else None,
        "stale": token.stale if token else None,
    }


def _token(shown: Presented, service: TrustedService | None, context: VerificationContext, now: datetime) -> TokenState | None:
    """What the status list says: asked only for lists at an address that the signer's own trust list names."""
    if shown.status is None or service is None or context.statuses is None:
        return None
    try:
        host = urlsplit(shown.status.uri).netloc
    except ValueError:
        return None
    return context.statuses.state(shown.status, now) if _is_listed(host, service.region, context) else None


def _judge_state(
    shown: Presented, known: LicenceStatus | None, token: TokenState | None, region: str, now: datetime, findings: Findings
) -> None:
    if known is not None and known.status in _REGISTER:
        code, state = _REGISTER[known.status]
        word = known.state_zh or known.status
        findings.add("licence", state, code, id=shown.identifier, state=word, since=rfc3339(known.since) or "?")
    as_of = rfc3339(token.as_of) if token else None
    if token is not None and token.status in _LISTED:
        code = f"{'status' if shown.own_place else 'licence-listed'}-{token.status}"
        findings.add("licence", _LISTED[token.status], code, id=shown.identifier, region=region, as_of=as_of)
    if shown.expires is not None and shown.expires < now:
        code = "copy-expired" if shown.copy else "licence-expired"
        end = rfc3339(shown.expires)
        findings.add("licence", "bad", code, id=shown.identifier, since=end, expires=end)
    if findings.parts["licence"]:
        return
    if token is not None and token.stale:
        age, age_zh = spoken(token.as_of, now)
        values = {"id": shown.identifier, "region": region, "as_of": as_of, "age": age, "age_zh": age_zh}
        findings.add("licence", "doubt", "licence-status-stale", **values)
    elif token is None and (known is None or (shown.own_place and shown.status is not None)):
        findings.add("licence", "doubt", "status-unknown")
    else:
        findings.note("licence", _is_in_force(shown.identifier, token, region, now))


def _is_in_force(identifier: str, token: TokenState | None, region: str, now: datetime) -> Part:
    """In force; where another region's list says so, how old its word is."""
    if token is None or token.fetched is None:
        return Part("ok", f"The licence {identifier} is in force.", f"证照 {identifier} 有效。")
    said, said_zh = on_whose_word(region, token.as_of, now)
    return Part("ok", f"The licence {identifier} is in force. {said}", f"证照 {identifier} 有效。{said_zh}")


# --- the matter -----------------------------------------------------------------------------------------------------------


def for_matter(
    shown: Presented, service: TrustedService | None, context: VerificationContext, findings: Findings
) -> recognition.ForMatter:
    """What the rules here say, and whether bearer and purpose fit the matter."""
    regions = [service.region] if service else []
    found = recognition.judge(context, recognition.type_of(shown.identifier)[0], regions)
    findings.reasons += found.reasons
    if found.part is not None:
        findings.note("matter", found.part)
    asked = context.matter if context.matter != "default" else None
    _judge_bearer(shown.presentation["matters"], asked, findings)
    _judge_purpose(shown.presentation, asked, context.time(), findings)
    if not findings.parts["matter"]:
        findings.note("matter", Part("none", "No matter was asked about.", "未指定事项。"))
    return found


def _judge_bearer(allowed: list[str], asked: str | None, findings: Findings) -> None:
    if not allowed or asked in allowed:
        return
    english, chinese = (sep.join(_name(code)[i] for code in allowed) for i, sep in ((0, ", "), (1, "、")))
    if asked is None:
        findings.add("matter", "doubt", "bearer-matters-open", matters=english, matters_zh=chinese)
    else:
        findings.add("matter", "bad", "bearer-outside-matters", matters=english, matters_zh=chinese)


def _judge_purpose(said: dict[str, Any], asked: str | None, now: datetime, findings: Findings) -> None:
    """A copy made for one purpose: as :mod:`verify.annotated` judges it in a PDF."""
    if said["kind"] != "annotated":
        return
    until = datetime.fromisoformat(said["purpose_until"]).astimezone(BEIJING).date() if said["purpose_until"] else None
    copy = Annotation(said["purpose"] or "?", until, matter=said["purpose_matter"] or "")
    concern = copy.concern(asked, now)
    if concern is not None:
        findings.say("matter", *concern)


def _name(code: str) -> tuple[str, str]:
    known = matters().get(code)
    return (known.en, known.zh) if known else (code[:64], code[:64])


# --- the verdict ----------------------------------------------------------------------------------------------------------

_BROKEN = frozenset({"code-altered", "shown-not-held", "not-bound", "code-without-holder"})
_USUAL = {
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
_ACCEPT = {
    "annotated": (
        "Compare name, number and purpose below with the copy in front of you; if they agree, you may rely on it.",
        "请将下列名称、编号和用途与所持加注件核对；一致即可采信。",
    ),
    "shown": (
        "Compare the bearer's name below with whoever stands before you; if it agrees, you may rely on it.",
        "请将下列出示人姓名与当面办理者核对；一致即可采信。",
    ),
}


def verdict_of(
    shown: Presented,
    service: TrustedService | None,
    licence: dict[str, Any],
    matter: recognition.ForMatter,
    findings: Findings,
    context: VerificationContext,
) -> dict[str, Any]:
    """The verdict JSON of the design, with the block ``presentation``."""
    if findings.codes() & _BROKEN:
        verdict, sub = Verdict.TOTAL_FAILED, "SIG_CRYPTO_FAILURE"
    elif "issuer-list-stale" in findings.codes():
        verdict, sub = Verdict.INDETERMINATE, "TRY_LATER"
    elif service is None or findings.part("seal").state != "ok":
        verdict, sub = Verdict.INDETERMINATE, "NO_CERTIFICATE_CHAIN_FOUND"
    else:
        verdict, sub = Verdict.TOTAL_PASSED, None
    signature = {
        "field": None,
        "format": shown.format,
        "algorithm": "ecdsa-p256-sha256",
        "indication": str(verdict),
        "sub_indication": sub,
        "reasons": [one.to_dict() for one in findings.reasons],
        "intact": service is not None and verdict is not Verdict.TOTAL_FAILED,
        "covers_whole_file": True,
        "changes_after": "none",
        "signer": {
            "subject": service.name if service else shown.issuer,
            "issuer": service.region if service else "?",
            "serial": shown.kid,
        },
        "claimed_time": rfc3339(shown.issued),
        "proven_time": None,
        "seal": None,
        "chain": [],
        "recognition": recognition.block(service, matter, context),
    }
    name = f"{licence['type']} {licence['number']}".strip()
    return result(name, verdict, sub, findings, [signature], licence, shown.presentation, context)


def refused(why: XinyinError, verdict: Verdict, question: str, context: VerificationContext) -> dict[str, Any]:
    """A verdict on what could not be taken apart, or is nothing that could be presented; never ``accept``."""
    findings = Findings()
    state = "bad" if verdict is Verdict.TOTAL_FAILED else "doubt"
    step = STEPS.get(why.code, (None, None))
    findings.reasons.append(Reason(why.code, why.message, why.message_zh))
    findings.note(question, Part(state, why.message, why.message_zh, *step))
    sub = "SIG_CRYPTO_FAILURE" if verdict is Verdict.TOTAL_FAILED else None
    return result("code", verdict, sub, findings, [], None, None, context)


def result(
    name: str,
    verdict: Verdict,
    sub_indication: str | None,
    findings: Findings,
    signatures: list[dict[str, Any]],
    licence: dict[str, Any] | None,
    presentation: dict[str, Any] | None,
    context: VerificationContext,
) -> dict[str, Any]:
    """The verdict JSON from what was found."""
    parts = {name: findings.part(name) for name in _QUESTIONS}
    states = {part.state for part in parts.values()}
    decision = "refuse" if "bad" in states else "check" if "doubt" in states else "accept"
    step = _next_step(decision, parts, presentation)
    return {
        "file": name,
        "verdict": str(verdict),
        "sub_indication": sub_indication,
        "answer": {
            "decision": decision,
            **{question: part.to_dict() for question, part in parts.items()},
            "next_step": step[0],
            "next_step_zh": step[1],
        },
        "reasons": [one.to_dict() for one in findings.reasons],
        "signatures": signatures,
        "licence": licence,
        "presentation": presentation,
        "trust": {
            "lists": context.trust.report(context.time()),
            "problems": [p.to_dict() for p in context.trust.problems],
        },
        "engine": {"version": VERSION, "policy": context.policy.label},
    }


def _next_step(decision: str, parts: dict[str, Part], presentation: dict[str, Any] | None) -> tuple[str, str]:
    """The step of the first part that stands in the way, in its own words if it has some."""
    if decision == "accept":
        return _ACCEPT.get((presentation or {}).get("kind", ""), _USUAL["accept"])
    worst = "bad" if decision == "refuse" else "doubt"
    first = next(part for part in parts.values() if part.state == worst)
    return (first.next_step, first.next_step_zh or first.next_step) if first.next_step else _USUAL[decision]
