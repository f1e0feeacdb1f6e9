"""What an enquiry may ask, so that no particular leaves the counter: is it in force, is this the document, do these agree.

A particular travels as SHA-256 over a salt of the enquiry, its name and its value in one form. Whoever has the register can
compare; whoever has neither register nor document learns nothing that is worth guessing a salt for.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from crypto.errors import BadInput

MAX_VALUE = 300
_HEX = r"^[0-9a-f]{64}$"


class BadEnquiry(BadInput):
    """A question that cannot be asked like this."""

    code = "bad-enquiry"


@dataclass(frozen=True)
class Particular:
    """Something that can be asked about: its names for people."""

    zh: str
    en: str


PARTICULARS = {
    "holder": Particular("持证主体名称", "Holder's name"),
    "holder_code": Particular("持证主体代码", "Holder's code"),
    "number": Particular("证照编号", "Number of the licence"),
    "issuer": Particular("颁发机构", "Issuing organ"),
    "valid_to": Particular("有效期止", "Valid until"),
    "representative": Particular("法定代表人", "Legal representative"),
    "address": Particular("住所", "Address"),
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Asked(_Strict):
    """An enquiry as it travels."""

    reference: str = Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")
    identifier: str | None = Field(None, max_length=200)
    document_sha256: str | None = Field(None, pattern=_HEX)
    matter: str | None = Field(None, pattern=r"^[a-z0-9-]{3,64}$")
    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    particulars: dict[str, str] = Field(max_length=len(PARTICULARS))
    organ: str = Field(min_length=1, max_length=200)
    remark: str | None = Field(None, max_length=300)
    asked_at: int = Field(ge=0, lt=1 << 40)
    due_at: int = Field(ge=0, lt=1 << 40)


class Answered(_Strict):
    """The machine-readable part of an answer: yes, no, or nothing on record, never a particular."""

    outcome: str = Field(pattern="^(yes|no|declined)$")
    in_force: bool | None
    state: str = Field(max_length=32)
    document: bool | None
    particulars: dict[str, bool | None] = Field(max_length=len(PARTICULARS))
    remark: str | None = Field(None, max_length=300)
    organ: str = Field(min_length=1, max_length=200)
    by_rule: bool
    at: int = Field(ge=0, lt=1 << 40)


def new_salt() -> str:
    """128 random bits, hex."""
    return secrets.token_hex(16)


def digest(salt: str, name: str, value: str) -> str:
    """How a particular travels: SHA-256, hex."""
    return hashlib.sha256("\0".join((salt, name, in_one_form(name, value))).encode()).hexdigest()


def digests(salt: str, particulars: Mapping[str, str]) -> dict[str, str]:
    """Of every particular.

    :raises BadEnquiry: one that cannot be asked about, an empty or an endless value
    """
    unknown = sorted(set(particulars) - set(PARTICULARS))
    if unknown:
        raise BadEnquiry(
            f"These cannot be asked about: {', '.join(unknown)[:200]}; choose of {', '.join(PARTICULARS)}.",
            f"不能协查：{'、'.join(unknown)[:200]}；可选：{'、'.join(one.zh for one in PARTICULARS.values())}。",
        )
    if any(not in_one_form(name, value) or len(value) > MAX_VALUE for name, value in particulars.items()):
        raise BadEnquiry(
            f"Write what the document says for each particular, at most {MAX_VALUE} characters.",
            f"请填写各项在文件上所载的内容，每项不超过 {MAX_VALUE} 字。",
        )
    return {name: digest(salt, name, value) for name, value in particulars.items()}


def in_one_form(name: str, value: str) -> str:
    """Width, case, blanks and brackets made alike (NFKC, upper case, no white space); a day by its digits."""
    text = "".join(unicodedata.normalize("NFKC", value).upper().split())
    if name == "valid_to":
        return _day(text)
    return text.translate(str.maketrans("（）〔〕·•‧", "()()···"))


def _day(text: str) -> str:
    """``20361231`` of 2036-12-31, 2036年1月5日 or 20361231; 长期 and the like stay as they are."""
    parts = re.findall(r"\d+", text)
    if len(parts) == 3:
        return f"{int(parts[0]):04d}{int(parts[1]):02d}{int(parts[2]):02d}"
    return parts[0] if len(parts) == 1 and len(parts[0]) == 8 else text


def moment(seconds: int, zone: Any) -> datetime:
    """A time as it travels. :raises BadEnquiry: no time that a clock shows"""
    try:
        return datetime.fromtimestamp(seconds, zone)
    except (OverflowError, OSError, ValueError) as exc:
        raise BadEnquiry("A time of the message is none.", "消息中的时间无效。") from exc
