"""A licence as a document: the page (Typst, PDF/A-3b), the attached metadata, the code in its corner."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import segno

from formats.dates import BEIJING
from formats.identifiers import LicenceIdentifier
from formats.statuslist import StatusRef, ref_to_json
from licences.catalogue import OPEN_END, CheckedData, LicenceType
from seals.typeset import Template

METADATA_NAME = "metadata.json"
# What platforms write where a validity has no end; the text of GB/T 36903 is unread here.
_NO_END = "99991231"


@dataclass(frozen=True)
class Issuer:
    """The issuing organ 颁发机构: name and unified social credit code."""

    name: str
    uscc: str


@dataclass(frozen=True)
class Annotation:
    """What makes a rendering an annotated copy 加注件.

    :ivar purpose: what it may be used for, as printed: 办理住房租赁登记
    :ivar until: the last day on which it may be used
    :ivar maker: who made it, as printed: the window's or the holder's (masked) name
    :ivar check_code: the 查验码 to type, in groups
    :ivar number: its own identifier
    :ivar matter: code of the matter that it is for, or empty: then only the words of the purpose count
    """

    purpose: str
    until: date
    maker: str
    made: datetime
    check_code: str
    number: str
    matter: str = ""

    def printed(self) -> dict[str, str]:
        """For the template (``annotation.typ``)."""
        made = self.made.astimezone(BEIJING)
        return {
            "purpose": self.purpose,
            "until": _spelt(self.until),
            "maker": self.maker,
            "made": f"{_spelt(made.date())}{made:%H:%M}",
            "check_code": self.check_code,
        }

    def metadata(self) -> dict[str, str]:
        """加注件制作者, 时间, 事由 and 有效期截止时间 under the names of GB/T 36903; identifier and matter as extensions."""
        end = {"JZJZZZ": self.maker, "JZJZZSJ": self.made.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")}
        end |= {"JZJZZSY": self.purpose, "JZJYXQJZSJ": self.until.strftime("%Y%m%d"), "KZ_JZJBS": self.number}
        return end | ({"KZ_JZJSXBM": self.matter} if self.matter else {})


def metadata(
    kind: LicenceType,
    data: CheckedData,
    *,
    identifier: LicenceIdentifier,
    issuer: Issuer,
    issued: datetime,
    status: StatusRef | None = None,
) -> dict[str, Any]:
    """The licence's metadata under the short pinyin names of GB/T 36903, dates as YYYYMMDD; ``status`` says where its state is
    published, as a credential would (draft-ietf-oauth-status-list-21 §6.2)."""
    code, code_name = kind.holder_code_type
    end = data.day(kind.valid_to)
    out: dict[str, Any] = {
        "ZZLXMC": kind.name,
        "ZZLXDM": kind.type_code,
        "ZZBH": data.text(kind.number),
        "ZZBS": str(identifier),
        "ZZBFJG": issuer.name,
        "ZZBFJGDM": issuer.uscc,
        "ZZBFRQ": issued.astimezone(BEIJING).strftime("%Y%m%d"),
        "CZZT": data.text(kind.holder_name),
        "CZZTDM": data.text(kind.holder_code),
        "CZZTDMLX": code_name,
        "CZZTDMLXDM": code,
        "ZZYXQQSRQ": _compact(data.day(kind.valid_from)),
        "ZZYXQJZRQ": _compact(end) if end else _NO_END,
    }
    for field in kind.fields:
        if field.metadata:
            day = data.day(field.key)
            out[field.metadata] = _compact(day) if day else data.text(field.key)
    if status is not None:
        out["status"] = ref_to_json(status)
    return out


def render(
    kind: LicenceType,
    data: CheckedData,
    *,
    identifier: LicenceIdentifier,
    issuer: Issuer,
    issued: datetime,
    code_url: str,
    sample: bool,
    status: StatusRef | None = None,
    annotation: Annotation | None = None,
) -> bytes:
    """The page as PDF/A-3b, unsealed (10 to 20 ms), with ``metadata.json`` attached; the same input gives the same bytes.

    :param annotation: makes it an annotated copy: purpose across the page, a box that says so, and in the metadata
    :param code_url: what the QR code says; the part before ``#`` is printed as the address of verification
    :param status: where the state of this document is published
    :param sample: 样本 across the page and in the foot line
    :raises CannotTypeset: a character that no installed font has
    """
    local = issued.astimezone(BEIJING)
    described = metadata(kind, data, identifier=identifier, issuer=issuer, issued=issued, status=status)
    if annotation is not None:
        described |= annotation.metadata()
    attached = json.dumps(described, ensure_ascii=False, indent=1)
    values: dict[str, Any] = {
        "title": kind.name,
        "subtitle": kind.subtitle,
        "holder": data.text(kind.holder_name),
        "number_label": kind.number_label,
        "number": data.text(kind.number),
        "left": [_field(kind, data, key) for key in kind.left if _has(kind, data, key)],
        "right": [_field(kind, data, key) for key in kind.right if _has(kind, data, key)],
        "issuer_label": kind.issuer_label,
        "issuer": issuer.name,
        "issued": [str(local.year), f"{local.month:02d}", f"{local.day:02d}"],
        "identifier": str(identifier),
        "verify_at": code_url.partition("#")[0],
        "qr": qr_svg(code_url, copy=annotation is not None),
        "sample": sample,
        "annotation": annotation.printed() if annotation is not None else None,
        "attachments": [
            {
                "name": METADATA_NAME,
                "mime": "application/json",
                "description": f"{kind.name} 元数据 (GB/T 36903)",
                "text": attached,
            }
        ],
    }
    # Untagged: tags would double the time, and poppler warns of Typst's; the metadata carry the same data for readers.
    made = annotation.made if annotation is not None else issued
    return _template(kind.template).render(values, tags=False, at=made)


def qr(text: str, *, copy: bool = False) -> segno.QRCode:
    """A QR code with one mask, so that the same text gives the same picture.

    Error correction M; L for an annotated copy, whose code says more: larger modules read better from a photograph or a worn
    scan than smaller ones with more to mend them by.
    """
    return segno.make_qr(text, error="l" if copy else "m", mask=3, boost_error=False)


def qr_svg(text: str, *, copy: bool = False) -> str:
    """The QR code with its quiet zone, as SVG without a size of its own."""
    out = io.BytesIO()
    qr(text, copy=copy).save(out, kind="svg", border=4, xmldecl=False, omitsize=True, dark="#000", light="#fff")
    return out.getvalue().decode("utf-8")


@cache
def _template(name: str) -> Template:
    return Template(Path(__file__).parent / "templates" / name)


def _has(kind: LicenceType, data: CheckedData, key: str) -> bool:
    return key == "validity" or bool(data.text(key))


def _field(kind: LicenceType, data: CheckedData, key: str) -> dict[str, str]:
    if key == "validity":
        start, end = data.day(kind.valid_from), data.day(kind.valid_to)
        return {"label": kind.validity_label, "value": f"{_spelt(start)}至{_spelt(end) if end else OPEN_END}"}
    day = data.day(key)
    return {"label": kind.field(key).label, "value": _spelt(day) if day else data.text(key)}


def _compact(day: date | None) -> str:
    return day.strftime("%Y%m%d") if day else ""


def _spelt(day: date | None) -> str:
    return f"{day.year}年{day.month:02d}月{day.day:02d}日" if day else ""
