"""Pictures and scans: the verdict is that of the licence code in them, because a picture of a seal proves nothing."""

from __future__ import annotations

import hashlib
from typing import Any

from verify import pictures
from verify.code import verify_code
from verify.reasons import Reason, reason
from verify.schemas import VerificationContext
from verify.service import unreadable

_MOST = 4
"""Codes of one picture that are judged."""
_WORST_FIRST = ("refuse", "check", "accept")


def verify_picture(data: bytes, name: str, kind: Reason, context: VerificationContext) -> dict[str, Any]:
    """The verdict on the code in a picture.

    :param kind: what is said of a picture in which there is none
    """
    try:
        found = pictures.read(data, glance=context.glance)
    except pictures.NotReadable as exc:
        return unreadable(name, exc.reason, context)
    if found.ours:
        return _judged(found.ours, "picture", name, context)
    return unreadable(name, reason("picture-other-code") if found.others else kind, context)


def verify_scan(data: bytes, name: str, context: VerificationContext) -> dict[str, Any] | None:
    """The verdict on the code on the pages of a PDF that nobody signed; None without one."""
    found = pictures.read_pages(data)
    return _judged(found.ours, "scan", name, context) if found.ours else None


def _judged(texts: list[str], kind: str, name: str, context: VerificationContext) -> dict[str, Any]:
    """One code's own verdict; of several the least favourable, and a clerk has to look."""
    verdicts = [(verify_code(text, context=context), text) for text in texts[:_MOST]]
    verdict, code = min(verdicts, key=lambda one: _WORST_FIRST.index(one[0]["answer"]["decision"]))
    digest = hashlib.sha256(code.encode()).hexdigest()
    verdict["read_from"] = {"kind": kind, "file": name, "codes": len(texts), "sha256": digest}
    if len(texts) > 1:
        several = reason("picture-several-codes", count=len(texts))
        verdict["reasons"].append(several.to_dict())
        answer = verdict["answer"]
        if answer["decision"] == "accept":
            answer |= {"decision": "check", "next_step": several.message, "next_step_zh": several.message_zh}
    return verdict
