"""What a counter shows of visits, of what was done in them, and of licences: plain JSON, with people masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from formats import masking
from formats.dates import BEIJING, shown_time
from licences.annotated_models import AnnotatedCopyRow
from licences.catalogue import licence_type
from licences.copy_views import by_phone
from licences.holding_models import CopyRow, GrantRow
from licences.models import LicenceRow
from licences.standing import line_of
from records.counter_models import ActRow, VisitRow

ROLES_ZH = {"representative": "法定代表人", "holder": "持证人", "manager": "证照管理员", "staff": "办事人", "agent": "代办人"}


def visit(row: VisitRow, now: datetime) -> dict[str, Any]:
    """A visit and whether it is open; ``simulated``: no real card was read."""
    over = row.ended_at is not None or row.ends_at <= now
    return {
        "id": row.id,
        "status": "ended" if over else "open",
        "name": row.name,
        "reader": row.reader,
        "simulated": row.reader == "simulated",
        "started_at": shown_time(row.started_at),
        "ends_at": shown_time(row.ends_at),
    }


def act(session: Session, row: ActRow) -> dict[str, Any]:
    """One thing that was done, with what came of it: the copy's purpose, the agent's masked name, the phone, and until when."""
    kind = licence_type(row.type_id)
    out: dict[str, Any] = {
        "id": row.id,
        "kind": row.kind,
        "type": row.type_id,
        "type_name": kind.name,
        "type_name_en": kind.name_en,
        "licence": row.licence_id,
        "matter": row.matter or None,
        "ref": row.ref,
        "at": shown_time(row.at),
        "purpose": None,
        "agent": None,
        "phone": None,
        "until": None,
    }
    copy = session.get(AnnotatedCopyRow, row.ref) if row.ref and row.ref.startswith("annotated_") else None
    grant = session.get(GrantRow, row.ref) if row.ref and row.ref.startswith("grant_") else None
    on_phone = session.get(CopyRow, row.ref) if row.ref and row.ref.startswith("copy_") else None
    if copy is not None:
        out |= {"purpose": copy.purpose, "until": shown_time(copy.until)}
    if grant is not None:
        out |= {"agent": masking.name(grant.name), "until": shown_time(grant.until)}
    if on_phone is not None:
        out |= {"phone": on_phone.device}
    return out


def phones(copies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The phones that carry copies: ``[{id, device, since, licences}]``; ``id``, of a copy, names the phone.

    :param copies: as ``CopyService`` shows them
    """
    return [
        {
            "id": phone["first"],
            "device": phone["device"],
            "since": phone["copies"][-1]["issued_at"],
            "licences": [_named(one["licence"]) for one in phone["copies"]],
        }
        for phone in by_phone(copies)
    ]


def _named(licence: Mapping[str, Any]) -> dict[str, str]:
    holder = masking.name(licence["holder"]) if licence["personal"] else licence["holder"]
    return {"type_name": licence["type_name"], "type_name_en": licence["type_name_en"], "holder": holder}


def content(licence: LicenceRow) -> dict[str, Any]:
    """What a licence says, field by field; numbers that name a person are masked."""
    kind = licence_type(licence.type_id)
    hidden = {kind.holder_code, kind.number} if kind.of_a_person else set()
    checked = kind.check(licence.data, issued=licence.issued_at.astimezone(BEIJING).date())
    fields = []
    for field in kind.fields:
        value = checked.text(field.key)
        if value and not field.private:
            shown = masking.number(value) if field.key in hidden else value
            fields.append({"label": field.label, "label_en": field.label_en, "value": shown})
    return {
        "id": licence.id,
        "type": kind.id,
        "type_name": kind.name,
        "type_name_en": kind.name_en,
        "identifier": licence.identifier,
        "issuer": licence.issuer_name,
        "issued_at": shown_time(licence.issued_at),
        "fields": fields,
    }


def standing(
    own: Sequence[LicenceRow], grants: Iterable[GrantRow], copies: Iterable[AnnotatedCopyRow]
) -> dict[str, list[dict[str, Any]]]:
    """``{"grants": […], "copies": […]}`` of these licences."""
    kinds = {row.id: licence_type(row.type_id) for row in own}
    lines = {line_of(row): licence_type(row.type_id) for row in own}
    return {
        "grants": [
            {
                "id": one.id,
                "kind": one.kind,
                "kind_zh": ROLES_ZH[one.kind],
                "name": masking.name(one.name),
                "type_name": lines[one.line].name,
                "type_name_en": lines[one.line].name_en,
                "matters": list(one.matters),
                "until": shown_time(one.until),
                "basis": one.basis,
            }
            for one in grants
        ],
        "copies": [
            {
                "id": one.id,
                "type_name": kinds[one.licence_id].name,
                "type_name_en": kinds[one.licence_id].name_en,
                "purpose": one.purpose,
                "until": shown_time(one.until),
            }
            for one in copies
        ],
    }
