"""The data that are looked for: two people and their staff, with values that stand nowhere else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from formats import masking
from tests.node_home import EXAMPLES
from tests.soft_phone import identity_number


@dataclass(frozen=True)
class Somebody:
    """A marked person. No part of a name or number is in another's."""

    name: str
    id_number: str


REPRESENTATIVE = Somebody("样本 陆标记", identity_number(911, "19710203"))
STAFF = Somebody("样本 孟办事", identity_number(922, "19820304"))
HOLDER = Somebody("样本 闻持证", identity_number(933, "19530415"))
STRANGER = Somebody("样本 不相干", identity_number(944, "19640516"))
ADDRESS = "云江市标记街道见证路九十七号"
GUARDIAN = "样本 卫监护"
DEVICE = "陆家的红手机"
CATEGORY, LEVEL = "肢体残疾", "二级"
CERTIFICATE_NUMBER = HOLDER.id_number + "42"

BUSINESS: dict[str, Any] = {
    **json.loads((EXAMPLES / "licence.json").read_text("utf-8")),
    "representative": REPRESENTATIVE.name,
    "representative_id": REPRESENTATIVE.id_number,
}
CERTIFICATE: dict[str, Any] = {
    **json.loads((EXAMPLES / "disability-certificate.json").read_text("utf-8")),
    "name": HOLDER.name,
    "id_number": HOLDER.id_number,
    "born": "1953-04-15",
    "address": ADDRESS,
    "guardian": GUARDIAN,
}


@dataclass(frozen=True)
class Datum:
    """One kind of datum: how it looks in full and, where there is such a form, masked."""

    key: str
    zh: str
    en: str
    full: tuple[str, ...]
    masked: tuple[str, ...] = ()


def data(person_keys: tuple[str, ...]) -> tuple[Datum, ...]:
    """The columns of the table.

    :param person_keys: by which this node names the marked people
    """
    return (
        _person("representative", "法定代表人", "representative", REPRESENTATIVE, number=False),
        _number("representative_id", "代表人号码", "representative's number", REPRESENTATIVE),
        _person("staff", "办事人", "staff", STAFF, number=False),
        _number("staff_id", "办事人号码", "staff's number", STAFF),
        _person("holder", "持证人", "holder", HOLDER, number=False),
        Datum(
            "holder_id",
            "持证人号码",
            "holder's number",
            (HOLDER.id_number,),  # the certificate's own number begins with it
            (masking.number(HOLDER.id_number),),
        ),
        Datum("private", "住址、监护人、残疾类别", "address, guardian, disability", (ADDRESS, GUARDIAN, CATEGORY)),
        Datum("device", "手机名称", "name of the phone", (DEVICE,)),
        Datum("person", "人员代号", "person key", person_keys),
    )


def _person(key: str, zh: str, en: str, who: Somebody, *, number: bool) -> Datum:
    return Datum(key, zh, en, (who.name, who.name.removeprefix("样本 ")), (masking.name(who.name),))


def _number(key: str, zh: str, en: str, who: Somebody) -> Datum:
    return Datum(key, zh, en, (who.id_number,), (masking.number(who.id_number),))
