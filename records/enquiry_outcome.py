"""What came of an enquiry: whether the letter counts, and what the applicant is told."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from records.enquiry_letter import ANSWER_NAME

_OUTCOME_WORDS = {
    "yes": (
        "The issuing region confirmed the licence. Go to the counter with this slip; nothing has to be handed in again.",
        "签发地区已确认该证照。请凭本单到窗口继续办理，无需重复提交材料。",
    ),
    "no": (
        "The issuing region does not confirm the licence as it was shown. The counter tells you what is needed.",
        "签发地区未能确认所出示的证照。窗口会告知您需要补正的内容。",
    ),
    "declined": (
        "The issuing region gave no answer on this. Ask at the counter how to go on.",
        "签发地区对此不予答复。请到窗口咨询后续办理方式。",
    ),
}


def judged(verdict: Mapping[str, Any], region: str, said: str) -> dict[str, Any]:
    """What counts of our verifier's verdict on a letter: whether that region's seal stands under an unchanged letter that says
    exactly ``said`` (:func:`records.enquiry_letter.answer_text`); a genuine letter on something else answers nothing.
    """
    signatures = [one for one in verdict["signatures"] if one["format"] != "DOC-TIMESTAMP"]
    regions = {(one.get("recognition") or {}).get("region") for one in signatures}
    seals = [one["seal"]["name"] for one in signatures if one.get("seal")]
    sealed = verdict["verdict"] == "TOTAL-PASSED" and verdict["answer"]["seal"]["state"] == "ok" and regions == {region}
    answers = [one["sha256"] for one in verdict.get("attachments", []) if one["name"] == ANSWER_NAME]
    counts = sealed and answers == [sha256(said.encode()).hexdigest()]
    return {
        "counts": counts,
        "verdict": verdict["verdict"],
        "regions": sorted(one for one in regions if one),
        "seals": seals,
        "document": verdict["answer"]["document"],
        "seal": verdict["answer"]["seal"],
    }


def for_applicant(shown: Mapping[str, Any]) -> dict[str, Any]:
    region, due = shown["region_name"], shown["due_at"][:10]
    answer, verdict = shown["answer"], shown["letter_verdict"]
    if answer is not None and not (verdict or {}).get("counts"):
        words = "An answer came that could not be confirmed; the counter looks into it.", "收到的答复未能核实，窗口正在处理。"
    elif answer is not None:
        words = _OUTCOME_WORDS[answer["outcome"]]
    elif shown["status"] == "undeliverable":
        words = (
            f"The enquiry could not be brought to {region}; the counter takes another way and will tell you.",
            f"协查未能送达{region}，窗口将另行核实并告知您。",
        )
    else:
        words = (
            f"{region} was asked and answers by {due}. You need not do anything; look here again.",
            f"已向{region}发起协查，{due} 前答复。您无需另行办理，可再次查看本单。",
        )
    kept = ("id", "status", "region", "region_name", "asked_at", "due_at")
    outcome = answer["outcome"] if answer else None
    return {**{key: shown[key] for key in kept}, "outcome": outcome, "message": words[0], "message_zh": words[1]}
