"""The answer to an enquiry as a sealed letter 协查复函: one page for people, and ``answer.json`` attached for programs.

It says yes or no, never a particular: whoever asked has the document before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from formats.canonical import canonical_json
from formats.dates import BEIJING
from policies.presenting import matters
from records.enquiry_questions import PARTICULARS
from seals.typeset import Template

ANSWER_NAME = "answer.json"

_STATES = {
    "in-force": "有效",
    "suspended": "暂扣",
    "withdrawn": "已撤销或注销",
    "expired": "已过有效期",
    "superseded": "已变更换发",
    "not-yet-valid": "尚未生效",
}
_OUTCOMES = {"yes": "是：证照有效，所问各项均一致", "no": "否", "declined": "不予答复"}


def answer_text(answer: Mapping[str, Any], reference: str) -> str:
    """What ``answer.json`` says: the answer, and the enquiry that it is to. A letter counts for nothing else."""
    return canonical_json({**answer, "reference": reference})


def render(row: Mapping[str, Any], answer: Mapping[str, Any], *, at: datetime, sample: bool) -> bytes:
    """The letter as PDF/A-3b, unsealed; the same input gives the same bytes.

    :param row: of the enquiry: reference, organ, asked_at, identifier, document_sha256, matter
    :param answer: as it is sent (:meth:`records.enquiries.EnquiryService` makes it)
    """
    text = answer_text(answer, row["reference"])
    values = {
        "title": "协查复函",
        "number": row["reference"],
        "to": row["organ"],
        "organ": answer["organ"],
        "date": _day(at),
        "identifier": row["identifier"] or row["document_sha256"],
        "question": _question(row),
        "about_label": "所涉电子证照标识" if row["identifier"] else "所涉电子文件 SHA-256",
        "about": row["identifier"] or row["document_sha256"],
        "answer_label": "经查核登记信息，答复如下",
        "outcome": answer["outcome"],
        "answer": _said(answer),
        "lines": [*_in_force(answer), *_document(answer), *_particulars(answer)],
        "remark": answer["remark"] or "",
        "note": "本函仅就所问事项答复“是”或“否”，不提供登记信息；所答为作出答复时的登记状态。",
        "digest": sha256(text.encode()).hexdigest(),
        "sample": sample,
        "attachments": [
            {
                "name": ANSWER_NAME,
                "mime": "application/json",
                "description": "机器可读答复",
                "text": text,
            }
        ],
    }
    return _template().render(values, tags=False, at=at)


def _question(row: Mapping[str, Any]) -> str:
    year, month, day = _day(row["asked_at"])
    matter = matters().get(row["matter"] or "")
    purpose = f"为办理“{matter.zh}”，" if matter else ""
    about = "下列电子证照" if row["identifier"] else "下列电子文件"
    return f"贵单位{year}年{month}月{day}日{purpose}就{about}发来的协查收悉。"


def _said(answer: Mapping[str, Any]) -> str:
    if answer["outcome"] != "no":
        return _OUTCOMES[answer["outcome"]]
    if answer["in_force"] is None:
        return "否：本地区未登记该证照"
    if answer["in_force"] is False:
        return f"否：该证照{_STATES.get(answer['state'], '已不再有效')}"
    return "否：证照有效，但有所问事项不一致"


def _in_force(answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if answer["outcome"] == "declined":
        return []
    return [("该证照现在是否有效", *_mark(answer["in_force"]))]


def _document(answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    if answer["document"] is None:
        return []
    return [("所示电子文件是否为签发的文件", *_mark(answer["document"]))]


def _particulars(answer: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(f"{PARTICULARS[key].zh}是否一致", *_mark(said)) for key, said in answer["particulars"].items()]


def _mark(said: bool | None) -> tuple[str, str]:
    return ("未登记", "unheld") if said is None else ("是", "yes") if said else ("否", "no")


def _day(at: datetime) -> list[str]:
    local = at.astimezone(BEIJING)
    return [str(local.year), str(local.month), str(local.day)]


@cache
def _template() -> Template:
    return Template(Path(__file__).parent / "templates" / "enquiry-letter.typ")
