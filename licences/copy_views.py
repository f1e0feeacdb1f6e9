"""How licences and copies look to those who hold them: plain JSON for the wallet, the phone and its pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from formats import masking
from formats.dates import shown_time
from licences import copy_states
from licences.catalogue import licence_type
from licences.holding_models import CopyRow, GrantRow
from licences.models import LicenceRow
from licences.standing import newest, state_of

RENEW_BEFORE = timedelta(days=7)
"""A copy asks to be renewed this long before it runs out, so that a week without network does no harm."""
ROLES_ZH = {
    "representative": "法定代表人",
    "holder": "持证人",
    "manager": "证照管理员",
    "staff": "办事人",
    "agent": "代办人",
}


def licence(row: LicenceRow) -> dict[str, Any]:
    """What a phone and its pages show of a licence; the number of a natural person masked."""
    kind = licence_type(row.type_id)
    number = str(row.data.get(kind.number) or "")
    return {
        "id": row.id,
        "identifier": row.identifier,
        "type": row.type_id,
        "type_name": kind.name,
        "type_name_en": kind.name_en,
        "holder": row.holder_name,
        "number": masking.number(number) if kind.of_a_person else number,
        "number_label": kind.number_label,
        "issuer": row.issuer_name,
        "region": row.region,
        "version": row.version,
        "issued_on": shown_time(row.issued_at),
        "valid_from": shown_time(row.valid_from),
        "valid_to": shown_time(row.valid_to) if row.valid_to else None,
        "personal": kind.of_a_person,
        "sample": row.sample,
    }


def copy(session: Session, row: CopyRow, now: datetime, *, doubted: bool = False) -> dict[str, Any]:
    """A copy and how it stands at ``now``, in a word and a sentence.

    :param doubted: the key that signed it is in other hands
    """
    of = session.get_one(LicenceRow, row.licence_id)
    grant = session.get(GrantRow, row.grant_id) if row.grant_id else None
    over = grant is not None and grant.until <= now
    state = copy_states.of(row.status, state_of(session, of, now), due=doubted or row.expires_at <= now, lapsed=over)
    latest = newest(session, row.line)
    return {
        "id": row.id,
        "licence": licence(of),
        "role": row.role,
        "role_zh": ROLES_ZH[row.role],
        "bearer": row.bearer,
        "grant": row.grant_id,
        "matters": list(grant.matters) if grant else [],
        "device": row.device,
        "phone": row.phone[:16],
        "state": state.code,
        "state_zh": state.name_zh,
        "sentence": state.sentence,
        "sentence_zh": state.sentence_zh,
        "usable": state.usable,
        "renew": state.usable and (doubted or row.expires_at - RENEW_BEFORE <= now),
        "newer": latest.id if latest.id != of.id else None,
        "issued_at": shown_time(row.issued_at),
        "renewed_at": shown_time(row.renewed_at),
        "expires_at": shown_time(row.expires_at),
        "ended_at": shown_time(row.ended_at) if row.ended_at else None,
        "status": {"uri": row.status_uri, "idx": row.status_index},
    }


def by_phone(copies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of what :func:`copy` shows, what still counts, by phone: ``[{phone, device, first, copies}, …]``; ``first`` names one."""
    found: dict[str, dict[str, Any]] = {}
    for one in copies:
        if one["ended_at"] is None:
            new = {"phone": one["phone"], "device": one["device"], "first": one["id"], "copies": []}
            found.setdefault(one["phone"], new)["copies"].append(one)
    return list(found.values())
