"""Licence types as data: one TOML file each in ``catalogue/`` says what the data are, how they are checked and where they go.

:meth:`LicenceType.check` finds every problem at once, each named by its field in English and Chinese, so that a clerk mends
the form in one go.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from crypto.errors import NotFound, Unprocessable
from formats.identifiers import Remark, resident_id_check, uscc_check

_FOLDER = Path(__file__).parent / "catalogue"
OPEN_END = "长期"
RESIDENT_ID = "111"
"""Type code of a holder who is named by a resident identity number (GB/T 36903)."""


class UnknownLicenceType(NotFound):
    """No licence type of that name."""

    code = "unknown-licence-type"


class BadLicenceData(Unprocessable):
    """The data of a licence cannot be used; ``detail["problems"]`` lists every field that is wrong."""

    code = "bad-licence-data"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one field."""

    field: str
    code: str
    message: str
    message_zh: str


@dataclass(frozen=True)
class Field:
    """A field of a licence type.

    :ivar kind: ``text``, ``date`` (YYYY-MM-DD), ``uscc`` or ``resident-id``
    :ivar metadata: its name in the attached metadata, or empty
    :ivar open_ended: null, an empty text or 长期 mean that there is no end
    :ivar choices: the only values that it may have, each with its code in composed numbers; empty: any
    :ivar private: neither printed nor kept: an identity number that tells to whom the licence belongs
    """

    key: str
    label: str
    label_en: str
    kind: str
    metadata: str = ""
    max: int = 200
    required: bool = True
    open_ended: bool = False
    not_after_issue: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    private: bool = False


@dataclass(frozen=True)
class CheckedData:
    """Data that passed: texts in NFC without outer blanks, dates as :class:`datetime.date`; ``remarks`` block nothing."""

    values: dict[str, str | date | None]
    remarks: tuple[Remark, ...]

    def text(self, key: str) -> str:
        """A field as text; dates as YYYY-MM-DD, an absent one as ``""``."""
        value = self.values.get(key)
        return "" if value is None else value.isoformat() if isinstance(value, date) else value

    def day(self, key: str) -> date | None:
        value = self.values.get(key)
        return value if isinstance(value, date) else None


@dataclass(frozen=True)
class LicenceType:
    """One entry of the catalogue; the names are those of its TOML file.

    :ivar composed: numbers that are made of other fields (the code of a choice, else the text itself), one behind the other
    """

    id: str
    name: str
    name_en: str
    type_code: str
    defined_by: str
    template: str
    subtitle: str
    issuer_label: str
    issued_by: str
    seal_at_mm: tuple[int, float, float]
    holder_name: str
    holder_code: str
    holder_code_type: tuple[str, str]
    number: str
    number_label: str
    valid_from: str
    valid_to: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    validity_label: str
    fields: tuple[Field, ...]
    composed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    representative: str = ""
    representative_id: str = ""

    @property
    def of_a_person(self) -> bool:
        """Whether a natural person holds it: then codes, lists and strangers' screens show name and number masked."""
        return self.holder_code_type[0] == RESIDENT_ID

    def kept(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data without what is private: all of it that may be stored, printed or told."""
        private = {field.key for field in self.fields if field.private}
        return {key: value for key, value in data.items() if key not in private}

    def field(self, key: str) -> Field:
        return next(f for f in self.fields if f.key == key)

    def check(self, data: Mapping[str, Any], *, issued: date) -> CheckedData:
        """The data in usable form.

        :raises BadLicenceData: with every problem at once
        """
        problems: list[Problem] = self._unknown(data)
        values: dict[str, str | date | None] = {}
        remarks: list[Remark] = []
        for spec in self.fields:
            found = _value(spec, data.get(spec.key), issued)
            if isinstance(found, Problem):
                problems.append(found)
                continue
            values[spec.key] = found
            if isinstance(found, str) and spec.kind in ("uscc", "resident-id"):
                remarks += uscc_check(found) if spec.kind == "uscc" else resident_id_check(found)
        problems += self._compose(values)
        start, end = values.get(self.valid_from), values.get(self.valid_to)
        if isinstance(start, date) and isinstance(end, date) and end < start:
            problems.append(
                Problem(
                    self.valid_to,
                    "ends-before-start",
                    f"{self.valid_to}: the end {end} lies before the start {start}; correct one of them.",
                    f"{self.field(self.valid_to).label}：截止日期 {end} 早于起始日期 {start}，请更正。",
                )
            )
        if problems:
            raise BadLicenceData(
                f"{len(problems)} field(s) need correction: " + " ".join(p.message for p in problems),
                f"有 {len(problems)} 项需要更正：" + "".join(p.message_zh for p in problems),
                problems=[vars(p) for p in problems],
            )
        return CheckedData(values, tuple(remarks))

    def _compose(self, values: dict[str, str | date | None]) -> list[Problem]:
        """Fill in the numbers that are made of other fields; what was typed instead has to agree."""
        out = []
        for key, parts in self.composed.items():
            given = [values.get(part) for part in parts]
            if not all(isinstance(one, str) for one in given):
                continue  # a part is missing or wrong, which is a problem of its own
            made = "".join(self.field(part).choices.get(str(one), str(one)) for part, one in zip(parts, given, strict=True))
            typed = values.get(key)
            values[key] = made
            if typed is not None and typed != made:
                label, names = self.field(key).label, "、".join(self.field(part).label for part in parts)
                out.append(
                    Problem(
                        key,
                        "does-not-agree",
                        f"{key}: does not agree with {', '.join(parts)}, of which it is made; leave it empty or correct it.",
                        f"{label}（{key}）：与{names}不一致；请留空由系统生成，或更正。",
                    )
                )
        return out

    def _unknown(self, data: Mapping[str, Any]) -> list[Problem]:
        known = [f.key for f in self.fields]
        out = []
        for key in data:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint, hint_zh = (f"; perhaps {near[0]} was meant", f"，是否应为 {near[0]}") if near else ("", "")
                # A value that slipped into the place of a name is not repeated: it may be somebody's.
                shown = str(key) if re.fullmatch(r"[A-Za-z][A-Za-z_-]{0,39}", str(key)) else "?"
                out.append(
                    Problem(
                        shown,
                        "unknown-field",
                        f"{shown}: a {self.name_en.lower()} has no such field{hint}.",
                        f"{shown}：{self.name}没有这一项{hint_zh}。",
                    )
                )
        return out


def _value(spec: Field, raw: Any, issued: date) -> str | date | Problem | None:
    """One field's value, or what is wrong with it."""

    def problem(code: str, message: str, message_zh: str) -> Problem:
        return Problem(spec.key, code, f"{spec.key} ({spec.label_en}): {message}", f"{spec.label}（{spec.key}）：{message_zh}")

    if spec.open_ended and raw in (None, "", OPEN_END):
        return None
    if raw is None or raw == "":
        return problem("missing", "is missing.", "未填写。") if spec.required else None
    if not isinstance(raw, str):
        return problem("not-text", "must be a text in quotation marks.", "应为文本。")
    text = unicodedata.normalize("NFC", raw).strip()
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in text):
        return problem(
            "control-characters", "contains line breaks or invisible characters; remove them.", "含有换行或不可见字符，请删除。"
        )
    if not text:
        return problem("missing", "is missing.", "未填写。") if spec.required else None
    if spec.kind == "date":
        return _date(spec, text, issued, problem)
    if spec.kind in ("uscc", "resident-id"):
        text = unicodedata.normalize("NFKC", text).upper()
        checks = (uscc_check if spec.kind == "uscc" else resident_id_check)(text)
        # What is kept by its digest alone cannot be compared with the original later: it has to be right at once.
        if any(r.code.endswith("-form") for r in checks) or (checks and spec.private):
            return problem(checks[0].code, checks[0].message, checks[0].message_zh)
    if spec.choices and text not in spec.choices:
        return problem("not-a-choice", f"is one of {', '.join(spec.choices)}.", f"应为下列之一：{'、'.join(spec.choices)}。")
    if len(text) > spec.max:
        return problem(
            "too-long",
            f"has {len(text)} characters, at most {spec.max} fit; shorten it.",
            f"共 {len(text)} 字，最多 {spec.max} 字，请精简。",
        )
    return text


def _date(spec: Field, text: str, issued: date, problem: Any) -> date | Problem:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date() if len(text) == 10 else None
    except ValueError:
        day = None
    if day is None or day.year < 1900:
        bad: Problem = problem(
            "not-a-date",
            "must be a day of the calendar written YYYY-MM-DD" + (", or null for no end." if spec.open_ended else "."),
            "应为有效日期，格式 YYYY-MM-DD" + ("；长期有效请留空。" if spec.open_ended else "。"),
        )
        return bad
    if spec.not_after_issue and day > issued:
        late: Problem = problem(
            "in-the-future", f"{day} lies after the day of issue {issued}.", f"{day} 晚于签发日期 {issued}。"
        )
        return late
    return day


@cache
def catalogue() -> dict[str, LicenceType]:
    """All licence types, by id."""
    found = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        raw["fields"] = tuple(Field(**f) for f in raw["fields"])
        for key in ("left", "right", "seal_at_mm", "holder_code_type"):
            raw[key] = tuple(raw[key])
        raw["composed"] = {key: tuple(parts) for key, parts in raw.get("composed", {}).items()}
        entry = LicenceType(**raw)
        found[entry.id] = entry
    return found


def licence_type(name: str) -> LicenceType:
    """A type by its id, its Chinese name or its type code.

    :raises UnknownLicenceType: none of them
    """
    for entry in catalogue().values():
        if name in (entry.id, entry.name, entry.type_code):
            return entry
    known = ", ".join(f"{t.id} ({t.name})" for t in catalogue().values())
    raise UnknownLicenceType(
        f"There is no licence type {name[:40]!r}; known are: {known}.",
        f"没有“{name[:40]}”这种证照类型；现有：{'、'.join(t.name for t in catalogue().values())}。",
    )
