"""An annotated copy 加注件 as its metadata describe it: what it may be used for, until when, and what that means today."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from formats.dates import BEIJING
from policies.presenting import matters
from verify.answer import Part
from verify.reasons import Reason, reason
from verify.recognition import ForMatter
from verify.schemas import VerificationContext

_MARKS = ("JZJZZSY", "JZJYXQJZSJ")
_MAX = 200


@dataclass(frozen=True)
class Annotation:
    """加注件信息 under the names of GB/T 36903.

    :ivar until: the last day of use, local time; None where it is not said or cannot be read
    :ivar matter: code of the one matter that it is for; empty: only the words of the purpose
    """

    purpose: str
    until: date | None
    maker: str = ""
    made: str = ""
    number: str = ""
    matter: str = ""

    def block(self) -> dict[str, Any]:
        """As in the verdict's ``licence`` block."""
        return {
            "purpose": self.purpose,
            "purpose_until": self.until.isoformat() if self.until else None,
            "matter": self.matter or None,
            "maker": self.maker or None,
            "number": self.number or None,
        }

    def in_force(self, identifier: str) -> Part:
        """What is said of the licence where nothing is wrong with it: it counts for the purpose alone."""
        end = (f", until {self.until}", f"，有效至 {self.until}") if self.until else ("", "")
        return Part(
            "ok",
            f"The licence {identifier} is in force. This is a copy for “{self.purpose}” alone{end[0]}.",
            f"证照 {identifier} 有效。本件为加注件，仅供“{self.purpose}”使用{end[1]}。",
        )

    def concern(self, matter: str | None, now: datetime) -> tuple[str, Reason] | None:
        """``bad`` after its last day; ``doubt`` where it says no end, or may have been made for something else."""
        if self.until is None:
            return "doubt", reason("purpose-without-end", "WARN", purpose=self.purpose)
        if now.astimezone(BEIJING).date() > self.until:
            return "bad", reason("purpose-expired", "WARN", purpose=self.purpose, until=self.until.isoformat())
        if matter in (None, "default") or matter == self.matter:
            return None
        if not self.matter:
            return "doubt", reason("purpose-in-words", "WARN", purpose=self.purpose)
        own = matters().get(self.matter)
        names = {"matter": own.en, "matter_zh": own.zh} if own else {"matter": self.matter, "matter_zh": self.matter}
        return "doubt", reason("purpose-other-matter", "WARN", **names)


def read(fields: Mapping[str, Any]) -> Annotation | None:
    """The annotation in a licence's metadata; None where it is the licence itself."""
    if not any(fields.get(mark) for mark in _MARKS):
        return None
    return Annotation(
        purpose=_text(fields, "JZJZZSY") or "?",
        until=_day(_text(fields, "JZJYXQJZSJ")),
        maker=_text(fields, "JZJZZZ"),
        made=_text(fields, "JZJZZSJ"),
        number=_text(fields, "KZ_JZJBS"),
        matter=_text(fields, "KZ_JZJSXBM"),
    )


def limited(found: ForMatter, copy: Annotation, context: VerificationContext) -> ForMatter:
    """What the rules say of the matter, and what the copy says of itself: a licence that is accepted for something makes no
    copy good for it that was made for something else."""
    concern = copy.concern(context.matter, context.time())
    if concern is None:
        return found
    state, why = concern
    worse = found.part is None or found.part.state != "bad" or state == "bad"
    part = Part(state, why.message, why.message_zh) if worse else found.part
    return replace(found, part=part, reasons=(*found.reasons, why))


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    return value[:_MAX] if isinstance(value, str) else ""


def _day(text: str) -> date | None:
    """YYYYMMDD, with hyphens or not, whatever time of day stands behind it."""
    digits = re.sub(r"[-/]", "", text)[:8]
    try:
        return datetime.strptime(digits, "%Y%m%d").date() if len(digits) == 8 else None
    except ValueError:
        return None
