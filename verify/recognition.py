"""Whether a document counts here for the matter it is shown for: the provider's rules asked, and what they mean for the answer.

The rules are a region's own (:mod:`policies.recognition`); this is the verifier's part: which type and which region to ask
about, and what a clerk is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from formats.identifiers import BadIdentifier, LicenceIdentifier
from policies.presenting import matters
from policies.recognised import OUTCOMES, OWN_REGION, SEALED_DOCUMENT, Recognition
from verify.answer import Part
from verify.reasons import Reason, reason
from verify.schemas import VerificationContext
from verify.trust import ServiceType, TrustedService

_ORDER = {"bad": 0, "doubt": 1, "ok": 2, "none": 3}


@dataclass(frozen=True)
class ForMatter:
    """What was found for the matter asked about; ``part`` None where none was.

    ``regions``: what the rules say of each region whose seal or key the document carries.
    """

    part: Part | None = None
    reasons: tuple[Reason, ...] = ()
    regions: dict[str, Recognition] = field(default_factory=dict)


_TELL_WHY = (
    "Do not accept it for this matter. Tell the applicant the reason above, and what is needed instead.",
    "本事项不予采信。请把上述原因和需要补办的事告诉申请人。",
)
"""What to do where the rules say no: the licence itself may be as good as ever, so nobody is sent to who issued it."""


def judge(context: VerificationContext, type_code: str, regions: Iterable[str]) -> ForMatter:
    """Ask the rules for every region that vouches for the document; the strictest answer counts.

    :param type_code: of the licence, or :data:`policies.recognised.SEALED_DOCUMENT`
    :param regions: of the services that lead to a trusted list; "" where only a plain anchor vouches
    """
    matter, rules = context.matter, context.recognition
    if matter in (None, "default"):
        return ForMatter()
    assert matter is not None
    named = list(dict.fromkeys(regions))
    found = {region: rules.judge(type_code, region, matter, context.time()) for region in named if region} if rules else {}
    known = {region: one for region, one in found.items() if one is not None}
    names = _names(matter)
    if len(known) < max(1, len(named)):
        return ForMatter(_no_rule(names, None), (), known)
    region, strictest = min(known.items(), key=lambda item: OUTCOMES.index(item[1].outcome))
    if strictest.outcome == "refuse":
        values = {"region": region, "words": strictest.words, "words_zh": strictest.words_zh}
        finding = reason("matter-not-recognised", "WARN", matter=names[0], matter_zh=names[1], **values)
        return ForMatter(Part("bad", finding.message, finding.message_zh, *_TELL_WHY), (finding,), known)
    if any(one.outcome == "none" for one in known.values()):
        return ForMatter(_no_rule(names, next(one for one in known.values() if one.outcome == "none")), (), known)
    return ForMatter(_accepted(strictest, names), (), known)


def type_of(identifier: str, claimed: str | None = None) -> tuple[str, Reason | None]:
    """The type code that the rules are asked about, and a doubt where the document contradicts itself.

    :param identifier: of the licence (GB/T 36904); "" for a document that is none
    :param claimed: 证照类型代码 (ZZLXDM) of its metadata
    """
    if not identifier:
        return SEALED_DOCUMENT, None
    try:
        named = LicenceIdentifier.parse(identifier).type_code
    except BadIdentifier:
        return claimed or SEALED_DOCUMENT, None
    if claimed and claimed != named:
        return named, reason("licence-type-contradiction", "WARN", claimed=claimed, type=named)
    return named, None


def block(service: TrustedService | None, matter: ForMatter, context: VerificationContext) -> dict[str, Any] | None:
    """Which list vouches for a signer, None without one; and what the rules here say of its region for the matter."""
    if service is None or service.type is ServiceType.ANY:
        return None
    listed = context.trust.list_of(service.region)
    found = matter.regions.get(service.region)
    return {
        "region": service.region,
        "list": listed.sequence if listed else None,
        "service": service.type.value,
        "name": service.name,
        "state": listed.state(context.time()) if listed else "unknown",
        **({"matter": context.matter, **found.to_dict()} if found is not None and context.matter is not None else {}),
    }


def strictest(parts: Iterable[Part | None]) -> Part | None:
    """Of several answers about the matter the one that counts: bad before doubt before ok."""
    known = [part for part in parts if part is not None]
    return min(known, key=lambda part: _ORDER[part.state]) if known else None


def _accepted(found: Recognition, names: tuple[str, str]) -> Part:
    en, zh = names
    if found.outcome == "conditions":
        # Not yet met: whoever is at the counter sees to it, and then it counts.
        return Part(
            "doubt",
            f"Recognised for “{en}” on a condition: {found.conditions}",
            f"对“{zh}”附条件互认：{found.conditions_zh}",
            next_step=f"When this is met you may rely on it: {found.conditions}",
            next_step_zh=f"满足以下条件后可以采信：{found.conditions_zh}",
        )
    if found.rule == OWN_REGION:
        return Part("ok", f"For “{en}”: {found.words}", f"用于“{zh}”：{found.words_zh}")
    return Part("ok", f"Recognised for “{en}”: {found.words}", f"对“{zh}”予以互认：{found.words_zh}")


def _no_rule(names: tuple[str, str], found: Recognition | None) -> Part:
    en, zh = names
    why, why_zh = (found.words, found.words_zh) if found else ("There is no rule for it here.", "本地没有相应的互认规则。")
    return Part(
        "doubt",
        f"Whether it counts for “{en}” is not settled: {why}",
        f"能否用于“{zh}”尚无依据：{why_zh}",
        next_step="Ask your supervisor, or send an enquiry to the issuing region, before you rely on it for this matter.",
        next_step_zh="请先请示主管，或向签发地区发起协查，再决定是否用于本事项。",
    )


def _names(matter: str) -> tuple[str, str]:
    known = matters().get(matter)
    return (known.en, known.zh) if known else (matter[:64], matter[:64])
