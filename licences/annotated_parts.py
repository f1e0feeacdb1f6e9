"""What an annotated copy is made of: the wish, the order, the claims of its code, its digest on record, its JSON."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from ca.ports import Generation
from crypto.errors import NotFound, Unprocessable
from formats import checkcode, codes, masking
from formats.canonical import canonical_digest
from formats.dates import BEIJING, shown_time
from formats.statuslist import StatusRef
from licences.annotated_models import AnnotatedCopyRow
from licences.catalogue import CheckedData, LicenceType, licence_type
from licences.events import IN_FORCE
from licences.models import LicenceRow
from licences.standing import Standing
from seals.sealing import SealedPdf
from seals.service import SealUse


class NoSuchCopy(NotFound):
    """No annotated copy has this identifier or 查验码, or none that the caller has to do with."""

    code = "no-such-annotated-copy"


class BadCopy(Unprocessable):
    """An annotated copy that cannot be made like this."""

    code = "bad-annotated-copy"


@dataclass(frozen=True)
class Bearer:
    """For whom a copy is made; None in its place: the authority makes it.

    :ivar standing: what the person is to the licence
    :ivar person: the person key
    :ivar present: identified at a counter, not signed in
    """

    standing: Standing
    person: str
    present: bool

    @property
    def grant(self) -> str | None:
        """The authorisation that the person's right rests on; None for owners."""
        return self.standing.grant.id if self.standing.grant else None

    @property
    def channel(self) -> str:
        return "counter" if self.present else "holder"


@dataclass(frozen=True)
class Wish:
    """What was asked for, its form checked."""

    purpose: str
    until: datetime
    matter: str
    maker: str


@dataclass(frozen=True)
class Order:
    """What is to be made, decided."""

    licence: LicenceRow
    kind: LicenceType
    data: CheckedData
    wish: Wish
    bearer: Bearer | None
    use: SealUse
    code_key: Generation


@dataclass(frozen=True)
class Made:
    """What the work of an attempt made."""

    id: str
    check_code: str
    code: str
    status: StatusRef
    page: bytes
    sealed: SealedPdf
    at: datetime


def shown(row: AnnotatedCopyRow, licence: LicenceRow, licence_state: str, now: datetime) -> dict[str, Any]:
    """A copy as plain JSON; a person's name is masked.

    :param licence_state: how the licence stands now
    """
    kind = licence_type(licence.type_id)
    status, status_zh = _status(row, licence_state, now)
    return {
        "id": row.id,
        "status": status,
        "status_zh": status_zh,
        "licence": row.licence_id,
        "identifier": licence.identifier,
        "type": kind.id,
        "type_name": kind.name,
        "holder": masking.name(licence.holder_name) if kind.of_a_person else licence.holder_name,
        "purpose": row.purpose,
        "matter": row.matter or None,
        "until": shown_time(row.until),
        "maker": row.maker,
        "channel": row.channel,
        "check_code": checkcode.shown(row.check_code),
        "created_at": shown_time(row.created_at),
        "withdrawn_at": shown_time(row.withdrawn_at) if row.withdrawn_at else None,
        "document_sha256": row.document_sha256,
        "impression": row.impression_id,
        "sample": row.sample,
    }


def _status(row: AnnotatedCopyRow, licence: str, now: datetime) -> tuple[str, str]:
    if row.withdrawn_at is not None:
        return "withdrawn", "已撤回"
    if row.until < now:
        return "expired", "已过期"
    if licence != IN_FORCE:
        return "licence-" + licence, "证照已失效或暂停"
    return "in-force", "有效"


def content_digest(row: AnnotatedCopyRow) -> str:
    """What the audit log keeps of a copy's content; the 查验码 in it keeps anybody from guessing the rest."""
    return canonical_digest(
        {
            "purpose": row.purpose,
            "matter": row.matter,
            "until": shown_time(row.until),
            "maker": row.maker,
            "channel": row.channel,
            "person": row.person,
            "check_code": row.check_code,
            "code": row.code,
            "status": [row.status_uri, row.status_index],
        }
        | ({"grant": row.grant_id} if row.grant_id else {})
    )


_ROLES_ZH = {"representative": "法定代表人", "holder": "持证人", "manager": "证照管理员", "staff": "办事人", "agent": "代办人"}


def maker_of(licence: LicenceRow, bearer: Bearer | None) -> str:
    if bearer is None:
        return licence.issuer_name
    return f"{_ROLES_ZH[bearer.standing.role]} {masking.name(bearer.standing.name)}"


def claims_of(order: Order, identity: str, status: StatusRef, now: datetime) -> codes.Claims:
    licence, wish, kind = order.licence, order.wish, order.kind
    holder, number = licence.holder_name, order.data.text(kind.number)
    if kind.of_a_person:
        holder, number = masking.name(holder), masking.number(number)
    return codes.Claims(
        issuer=licence.issuer_name,
        subject=licence.identifier,
        licence_type=kind.name,
        holder=holder,
        number=number,
        issued=now,
        token_id=secrets.token_bytes(8),
        expires=licence.valid_to,
        sample=licence.sample,
        region=licence.region,
        status=status,
        copy_id=identity,
        purpose=wish.purpose,
        purpose_until=wish.until,
        matter=wish.matter or None,
    )


def end_of(day: date) -> datetime:
    return datetime.combine(day, time(), BEIJING) + timedelta(days=1, seconds=-1)
