"""From verdict to answer: what a clerk at a counter needs (可以采信 / 需要核实 / 不予采信), with the next step.

Four questions: was the file changed (document), is the seal real and was it in force (seal), is the licence in force (licence),
is it recognised for this matter (matter). One bad answer refuses; one doubt asks for a check; only a document whose signatures
all pass, with nothing in doubt, is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from verify.reasons import Reason
from verify.schemas import Verdict

# Codes that say that the file, or what was signed in it, is not what it was.
_DOCUMENT_BAD = frozenset(
    {
        "FORMAT_FAILURE", "byte-range", "contents-mismatch", "contents-padding", "revision-incomplete", "cms-unreadable",
        "signer-infos", "encapsulated-content", "HASH_FAILURE", "SIG_CRYPTO_FAILURE", "algorithm-mismatch", "changes-undefined",
        "changes-certified", "page-count", "rendered-difference", "content-type-attribute", "signing-certificate-mismatch",
    }
)  # fmt: skip
_DOCUMENT_DOUBT = frozenset(
    {
        "changes-annotation", "changes-form", "xref-repaired", "objects-damaged", "junk-before-header", "signature-removed",
        "signature-remains", "signature-empty", "rendering-failed", "overlap", "covered", "trailing-data", "ambiguous-objects",
        "dss-removed", "timestamp-invalid",
    }
)  # fmt: skip
_SEAL_BAD = frozenset(
    {
        "REVOKED",
        "EXPIRED",
        "NOT_YET_VALID",
        "key-compromised",
        "seal-revoked",
        "seal-not-its-own",
        "impression-voided",
        "impression-replaced",
    }
)
_LICENCE_BAD = frozenset(
    {
        "licence-withdrawn", "licence-suspended", "licence-expired", "licence-superseded", "licence-not-the-document",
        "licence-listed-withdrawn", "licence-listed-suspended", "licence-listed-superseded", "licence-not-its-issuer",
    }
)  # fmt: skip
_LICENCE_DOUBT = frozenset(
    {"licence-unknown", "licence-status-stale", "licence-metadata-unreadable", "licence-type-contradiction"}
)
_MATTER = frozenset(
    {"matter-not-recognised", "purpose-expired", "purpose-other-matter", "purpose-in-words", "purpose-without-end"}
)


@dataclass(frozen=True)
class Part:
    """One of the four questions: ok | doubt | bad | none, with a sentence in both languages.

    ``next_step``: what to do, where this part alone stands in the way and the usual words would not do.
    """

    state: str
    message: str
    message_zh: str
    next_step: str | None = None
    next_step_zh: str | None = None

    def to_dict(self) -> dict[str, str]:
        """As in the verdict JSON."""
        return {"state": self.state, "message": self.message, "message_zh": self.message_zh}


_NEXT = {
    "accept": (
        "You may rely on this document. Keep the file together with this result.",
        "可以采信。请将文件与本验证结果一并留存。",
    ),
    "changed": (
        "Do not accept the file. Ask for the original electronic file from the holder or the issuer.",
        "不予采信。请向持有人或签发机构索要原始电子文件。",
    ),
    "withdrawn": (
        "Do not accept it. Tell the holder to turn to the authority that issued the licence.",
        "不予采信。请告知持有人向证照颁发机构咨询。",
    ),
    "seal": (
        "Do not accept it. Have the issuing department confirm the document, or ask for a newly sealed one.",
        "不予采信。请由签发机构核实，或索要重新盖章的文件。",
    ),
    "matter": (
        "Do not accept it for this matter; ask for a document that is recognised here.",
        "本事项不予采信；请索要本地认可的文件。",
    ),
    "unknown-signer": (
        "Find out whether the issuer's region is recognised here and import its trust list, or have the issuer confirm it.",
        "请确认签发地区是否属于互认范围并导入其信任列表，或请签发机构核实文件。",
    ),
    "try-later": (
        "Verify again when connected, or ask for a copy with embedded evidence; until then have the issuer confirm it.",
        "请在联网后重新验证，或索要内嵌验证证据的文件；在此之前请签发机构核实。",
    ),
    "unsigned": (
        "Nothing in this file proves where it comes from. Ask for the sealed original, or check with the issuer.",
        "文件本身不能证明其来源。请索要盖章的原始电子文件，或向签发机构核实。",
    ),
    "unreadable": (
        "The file could not be examined. Follow the reason given above, or ask for another copy.",
        "文件无法检验。请按上述原因处理，或索要另一份文件。",
    ),
    "look": (
        "Look at the findings above, compare with the issuer's record if in doubt, then decide.",
        "请查看以上发现；如有疑问，请与签发机构的记录核对后再决定。",
    ),
    "suspended": (
        "The seal is suspended at present. Ask the issuing department whether this document stands.",
        "该印章目前已停用。请向签发机构核实本文件是否有效。",
    ),
    "expired": (
        "Have the issuer confirm that it sealed this while its certificate was valid, or ask for a copy with a timestamp.",
        "请签发机构确认盖章时证书有效，或索要带时间戳的文件。",
    ),
}


def compose(
    verdict: Verdict,
    reasons: list[Reason],
    signatures: list[dict[str, Any]],
    licence: Reason | Part | None,
    matter: Part | None,
) -> dict[str, Any]:
    """The ``answer`` block.

    :param reasons: every finding, of the file and of all its signatures
    :param licence: the finding against the licence, a finished part, or None where the file is no licence
    """
    codes = {r.code for r in reasons if r.level in ("FAIL", "WARN")}
    document = _document(verdict, reasons, codes)
    seal = _seal(verdict, reasons, codes, signatures)
    licence_part = _licence(licence)
    matter_part = matter or Part("none", "No matter was asked about.", "未指定事项。")
    states = {document.state, seal.state, licence_part.state, matter_part.state}
    if verdict is Verdict.TOTAL_FAILED or ("bad" in states and verdict not in (Verdict.NO_SIGNATURE, Verdict.UNREADABLE)):
        decision = "refuse"
    elif verdict is Verdict.TOTAL_PASSED and "doubt" not in states:
        decision = "accept"
    else:
        decision = "check"
    step = _NEXT[_next_step(decision, verdict, codes, document, seal, licence_part, matter_part)]
    if (
        decision == "check"
        and matter_part.next_step
        and not {document.state, seal.state, licence_part.state} & {"bad", "doubt"}
    ):
        step = matter_part.next_step, matter_part.next_step_zh or matter_part.next_step
    return {
        "decision": decision,
        "document": document.to_dict(),
        "seal": seal.to_dict(),
        "licence": licence_part.to_dict(),
        "matter": matter_part.to_dict(),
        "next_step": step[0],
        "next_step_zh": step[1],
    }


def _document(verdict: Verdict, reasons: list[Reason], codes: set[str]) -> Part:
    if verdict is Verdict.UNREADABLE:
        return _worst(reasons, codes, "doubt") or Part("doubt", "The file cannot be read.", "文件无法读取。")
    if verdict is Verdict.NO_SIGNATURE:
        first = _first(
            reasons, {"signature-removed", "signature-remains", "signature-empty", "licence-without-seal", "no-signature"}
        )
        return Part("doubt", first.message, first.message_zh) if first else Part("doubt", "Not signed.", "未签署。")
    for wanted, state in ((_DOCUMENT_BAD, "bad"), (_DOCUMENT_DOUBT, "doubt")):
        found = _first(reasons, codes & wanted)
        if found:
            return Part(state, found.message, found.message_zh)
    return Part("ok", "The file is unchanged since it was sealed.", "文件自盖章后未被改动。")


def _seal(verdict: Verdict, reasons: list[Reason], codes: set[str], signatures: list[dict[str, Any]]) -> Part:
    if verdict in (Verdict.NO_SIGNATURE, Verdict.UNREADABLE):
        return Part("none", "No seal was found.", "未发现印章。")
    bad = _first(reasons, codes & _SEAL_BAD)
    if bad:
        return Part("bad", bad.message, bad.message_zh)
    other = codes - _DOCUMENT_BAD - _DOCUMENT_DOUBT - _LICENCE_BAD - _LICENCE_DOUBT - _MATTER
    if verdict is Verdict.TOTAL_PASSED and not other:
        names = "、".join(dict.fromkeys(_owner(s) for s in signatures if s["format"] != "DOC-TIMESTAMP"))
        return Part("ok", f"The seal is genuine and was in force: {names}.", f"印章真实且有效：{names}。")
    if verdict is Verdict.TOTAL_FAILED and not other:
        return Part("none", "The seal does not count on a changed file.", "文件已变动，印章不再作数。")
    found = _first(reasons, other & {"not-yet-sealed"}) or _first(reasons, other)
    if found:
        return Part("doubt", found.message, found.message_zh)
    return Part("doubt", "The seal could not be confirmed.", "无法确认印章。")


def _owner(signature: dict[str, Any]) -> str:
    seal = signature.get("seal")
    return str((seal or {}).get("name") or signature["signer"]["subject"].split(",")[0].removeprefix("CN="))


def _licence(licence: Reason | Part | None) -> Part:
    if licence is None:
        return Part("none", "The file is not an electronic licence.", "文件不是电子证照。")
    if isinstance(licence, Part):
        return licence
    return Part("bad" if licence.code in _LICENCE_BAD else "doubt", licence.message, licence.message_zh)


def _next_step(
    decision: str, verdict: Verdict, codes: set[str], document: Part, seal: Part, licence: Part, matter: Part
) -> str:
    if decision == "accept":
        return "accept"
    if verdict is Verdict.UNREADABLE:
        return "unreadable"
    if verdict is Verdict.NO_SIGNATURE:
        return "unsigned"
    for part, step in ((document, "changed"), (licence, "withdrawn"), (seal, "seal"), (matter, "matter")):
        if part.state == "bad":
            return step
    for wanted, step in (
        ({"foreign-signer", "self-made-certificate", "NO_CERTIFICATE_CHAIN_FOUND", "service-type"}, "unknown-signer"),
        ({"on-hold", "seal-suspended"}, "suspended"),
        ({"revocation-missing", "list-stale", "licence-status-stale", "TRY_LATER"}, "try-later"),
        ({"certificate-expired", "OUT_OF_BOUNDS_NO_POE", "certificate-revoked", "REVOKED_NO_POE"}, "expired"),
    ):
        if codes & wanted:
            return step
    return "changed" if verdict is Verdict.TOTAL_FAILED else "look"


def _first(reasons: list[Reason], codes: set[str] | frozenset[str]) -> Reason | None:
    return next((r for r in reasons if r.code in codes), None)


def _worst(reasons: list[Reason], codes: set[str], state: str) -> Part | None:
    found = _first(reasons, codes)
    return Part(state, found.message, found.message_zh) if found else None
