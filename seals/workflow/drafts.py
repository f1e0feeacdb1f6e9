"""What is handed in with an application, checked at the boundary, and the digest that everybody approves."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crypto.suites import Suite
from formats.canonical import canonical_digest
from formats.pdf.errors import OutsideCommonCase
from formats.pdf.geometry import check_on_page
from formats.pdf.reader import PdfFile
from policies.limits import DOCUMENT_BYTES
from policies.matters import Matter
from seals.models import ApplicationDocumentRow, ApplicationRow
from seals.placement import AnyPlacement, CentrePlacement, KeywordPlacement, Placement, StraddlePlacement, find_keyword
from seals.schemas import BadApplication
from seals.workflow.states import PURPOSES

FORMATS = ("pades", "gm", "gm35275")
LEVELS = ("B", "T", "LT", "LTA")
_LENGTHS = ("x_mm", "y_mm")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_UNKEPT = re.compile(r"[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class NewDocument:
    """A document to be sealed. Without ``placement`` the seal goes on its owner's name, as over a signature line 落款."""

    name: str
    data: bytes = field(repr=False)
    placement: AnyPlacement | None = None
    format: str | None = None
    suite: str | None = None
    level: str = "B"


@dataclass(frozen=True)
class Draft:
    """All that an application binds, checked; ``documents`` are rows without application and round yet."""

    purpose: str
    department: str
    matter: Matter
    title: str
    number: str | None
    copies: int
    seal_id: str | None
    countersigners: tuple[str, ...]
    facts: dict[str, Any]
    replaces: str | None
    documents: tuple[dict[str, Any], ...]

    @property
    def document_sha256(self) -> str | None:
        return self.documents[0]["sha256"] if len(self.documents) == 1 else None

    @property
    def content_sha256(self) -> str:
        return content_digest(vars(self) | {"matter": self.matter.code}, self.documents)


def content_digest(bound: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over canonical JSON of everything that is approved. A change of any of it starts the application anew.

    Lengths are written in micrometres, as canonical JSON has no floats.
    """
    members = ("purpose", "department", "matter", "title", "number", "copies", "seal_id", "facts", "replaces")
    value = {"v": 1, **{name: bound[name] for name in members}, "countersigners": list(bound["countersigners"])}
    listed = [
        {
            "name": one["name"],
            "sha256": one["sha256"],
            "placement": {k: round(v * 1000) if k in _LENGTHS else v for k, v in (one["placement"] or {}).items()},
            "format": one["format"],
            "suite": one["suite"],
            "level": one["level"],
        }
        for one in documents
    ]
    return canonical_digest(_whole(value) | {"documents": listed})


def content_of(row: ApplicationRow, documents: Sequence[ApplicationDocumentRow], countersigners: Sequence[str]) -> str:
    """The same, from what the tables say now."""
    return content_digest({**row.__dict__, "countersigners": countersigners}, [one.__dict__ for one in documents])


def _whole(value: Any) -> Any:
    """Facts may hold fractions: they are digested as text, and 1.0 as 1, which is all that a database may give back."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadApplication("A fact is no number; correct it.", "申请要素中有无效的数值；请改正。")
        return int(value) if value.is_integer() else repr(value)
    if isinstance(value, str) and "\x00" in value:
        raise BadApplication(
            "A fact holds a character that cannot be kept; correct it.", "申请要素中有无法保存的字符；请改正。"
        )
    if isinstance(value, Mapping):
        return {str(key): _whole(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(one) for one in value]
    return value


# -- checks -------------------------------------------------------------------------------------------------------------------


def check_words(draft: Draft) -> None:
    """:raises BadApplication: purpose, seal, copies, title or number that cannot be"""
    if draft.purpose not in PURPOSES or (draft.purpose == "use-seal" and not draft.seal_id):
        raise BadApplication(
            f"An application is to {', '.join(PURPOSES)}; one to use a seal names the seal.",
            f"申请用途为{'、'.join(PURPOSES.values())}；用印申请须指明印章。",
        )
    if not 1 <= draft.copies <= draft.matter.copies:
        raise BadApplication(
            f"The number of copies is 1 to {draft.matter.copies} for this matter; change it.",
            f"该事项的份数须为 1 至 {draft.matter.copies}；请修改。",
        )
    if len(draft.title) > 300 or len(draft.number or "") > 100 or _CONTROL.search(draft.title + (draft.number or "")):
        raise BadApplication(
            "A title has up to 300 characters, a document number up to 100, both on one line; shorten it.",
            "标题不超过 300 字，文号不超过 100 字，且均为一行；请修改。",
        )
    if len(draft.documents) > draft.matter.documents:
        raise BadApplication(
            f"One application carries up to {draft.matter.documents} documents for this matter; put several applications.",
            f"该事项每份申请最多 {draft.matter.documents} 个文件；请分次申请。",
        )
    if len({one["sha256"] for one in draft.documents}) != len(draft.documents):
        raise BadApplication(
            "The same document was handed in twice; leave one of them out.", "同一文件提交了两次；请去掉重复的一份。"
        )


def only_digest(sha256: str) -> dict[str, Any]:
    """A document that is sealed elsewhere: only its digest is handed in.

    :raises BadApplication: not 64 hex digits
    """
    if not _DIGEST.match(sha256):
        raise BadApplication("The document's digest is 64 hex digits.", "文件摘要应为 64 位十六进制数。")
    return {
        "name": "", "sha256": sha256, "size": None, "placement": None, "format": None, "suite": None, "level": "B"
    }  # fmt: skip


def checked(document: NewDocument, seal_owner: str) -> dict[str, Any]:
    """The columns of a document that was handed in.

    :param seal_owner: the name that the seal goes on where no place is given
    :raises BadApplication: no PDF, no place, or a form that does not exist
    :raises OffThePage: the place is not on the page; :raises KeywordNotFound: nor the text in the document
    """
    if not document.data or len(document.data) > DOCUMENT_BYTES or b"%PDF-" not in document.data[:1024]:
        raise BadApplication(
            f"“{document.name}” is no PDF, or is larger than {DOCUMENT_BYTES >> 20} MB; save it as PDF and hand it in again.",
            f"“{document.name}”不是 PDF 文件，或大于 {DOCUMENT_BYTES >> 20} MB；请另存为 PDF 后重新提交。",
        )
    suites = [suite.value for suite in Suite]
    if document.format not in (None, *FORMATS) or document.suite not in (None, *suites) or document.level not in LEVELS:
        raise BadApplication(
            f"Choose the format out of {', '.join(FORMATS)}, the suite out of {', '.join(suites)}, the level out of "
            f"{', '.join(LEVELS)}.",
            f"格式请从 {'、'.join(FORMATS)}、算法请从 {'、'.join(suites)}、级别请从 {'、'.join(LEVELS)} 中选择。",
        )
    placement = document.placement or KeywordPlacement(seal_owner)
    _check_place(document, placement)
    return {
        "name": _CONTROL.sub("", document.name).strip()[-200:] or "document.pdf",
        "sha256": hashlib.sha256(document.data).hexdigest(),
        "size": len(document.data),
        "placement": place_as_json(placement),
        "format": document.format,
        "suite": document.suite,
        "level": document.level,
    }


def _check_place(document: NewDocument, placement: AnyPlacement) -> None:
    if isinstance(placement, KeywordPlacement):
        find_keyword(document.data, placement)
    if not isinstance(placement, Placement):
        return
    if placement.page < 1 or not all(map(math.isfinite, (placement.x_mm, placement.y_mm))):
        raise BadApplication(
            "A place is a page from 1 and two lengths in millimetres; give it again.",
            "盖章位置为页码（从 1 起）和以毫米计的两个坐标；请重新指定。",
        )
    try:
        page = PdfFile(document.data).page(placement.page)
    except OutsideCommonCase:
        return  # damaged or unusual: it is mended or refused where it is sealed
    check_on_page(page, placement.x_mm, placement.y_mm)


def kept_words(text: str | None, most: int = 2000) -> str | None:
    """A remark as it is kept; None for an empty one.

    :raises BadApplication: too long, or a character that no database keeps
    """
    words = (text or "").strip()
    if len(words) > most or _UNKEPT.search(words):
        raise BadApplication(
            f"Write up to {most} characters, without control characters; shorten it.", f"请控制在 {most} 字以内，不含控制字符。"
        )
    return words or None


# -- places as JSON -----------------------------------------------------------------------------------------------------------


def place_as_json(placement: AnyPlacement) -> dict[str, Any]:
    """As HTTP takes it: ``{"page", "x_mm", "y_mm"}``, ``{"keyword"[, "occurrence"]}`` or ``{"straddle"}``."""
    if isinstance(placement, Placement):
        return {"page": placement.page, "x_mm": float(placement.x_mm), "y_mm": float(placement.y_mm)}
    if isinstance(placement, KeywordPlacement):
        more = {} if placement.occurrence is None else {"occurrence": placement.occurrence}
        return {"keyword": placement.keyword, **more}
    if isinstance(placement, StraddlePlacement):
        return {"straddle": placement.edge}
    if isinstance(placement, CentrePlacement):
        return {"page": placement.page}
    raise BadApplication("A seal is placed in millimetres, on a text or over an edge.", "盖章位置须为坐标、关键字或骑缝边。")


def place_from_json(value: Mapping[str, Any]) -> AnyPlacement:
    """The reverse.

    :raises BadApplication: not a place
    """
    try:
        if "straddle" in value:
            return StraddlePlacement.at(str(value["straddle"]))
        if "keyword" in value:
            occurrence = value.get("occurrence")
            return KeywordPlacement(str(value["keyword"]), None if occurrence is None else int(occurrence))
        if "x_mm" not in value:
            return CentrePlacement(int(value["page"]))
        return Placement(int(value["page"]), float(value["x_mm"]), float(value["y_mm"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise BadApplication(
            "A place is page, x_mm and y_mm, or a keyword, or an edge to straddle; give it again.",
            "盖章位置须为 page、x_mm、y_mm，或关键字，或骑缝边；请重新指定。",
        ) from exc
