"""To whom a licence belongs: who represents the business by law, or the natural person whom it is about.

Written with the licence from the data that name them. People are named by their person key (:mod:`people.persons`); the
identity number behind it is neither stored nor printed, save where it is itself what the licence says of its own holder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Misconfigured
from licences.catalogue import CheckedData, LicenceType
from licences.models import LicenceEventRow, LicencePersonRow, LicenceRow

Relation = Literal["representative", "holder"]
PersonKey = Callable[[str], str]
"""Identity number → person key."""


@dataclass(frozen=True)
class LicencePerson:
    """Somebody to whom a licence belongs.

    :ivar person: the person key
    """

    relation: Relation
    person: str = field(repr=False)
    name: str


def named_by(kind: LicenceType, data: CheckedData, person_key: PersonKey | None) -> tuple[LicencePerson, ...]:
    """Whom checked data name. A service without person keys keeps no holders, as nobody signs in to it.

    :raises Misconfigured: they name a representative by identity number, and this service knows no person keys
    """
    people = []
    number = data.text(kind.representative_id) if kind.representative_id else ""
    if number:
        if person_key is None:
            raise Misconfigured("This service knows no person keys.", "本服务未配置人员标识密钥。")
        people.append(LicencePerson("representative", person_key(number), data.text(kind.representative)))
    if kind.of_a_person and person_key is not None:
        with suppress(BadInput):  # a number that fails its own check is remarked upon and issued; nobody signs in with it
            people.append(LicencePerson("holder", person_key(data.text(kind.holder_code)), data.text(kind.holder_name)))
    return tuple(people)


def carried_over(session: Session, old: LicenceRow, kind: LicenceType, data: CheckedData) -> tuple[LicencePerson, ...]:
    """Of a change that names nobody anew: the representative, as long as the licence goes on naming the same one."""
    name = data.text(kind.representative) if kind.representative else ""
    return tuple(one for one in of_licence(session, old.id) if one.relation == "representative" and one.name == name)


def write(session: Session, licence: LicenceRow, people: Sequence[LicencePerson]) -> None:
    """Keep them with their licence, in the transaction that makes it."""
    for one in people:
        session.add(
            LicencePersonRow(
                licence_id=licence.id, region=licence.region, person=one.person, relation=one.relation, name=one.name
            )
        )


def of_licence(session: Session, licence_id: str) -> list[LicencePerson]:
    """To whom a licence belongs; empty where nobody was named at its issue."""
    rows = session.scalars(
        sa.select(LicencePersonRow)
        .where(LicencePersonRow.licence_id == licence_id)
        .order_by(LicencePersonRow.relation, LicencePersonRow.person)
    )
    return [LicencePerson("holder" if row.relation == "holder" else "representative", row.person, row.name) for row in rows]


def licences_of(session: Session, region: str, person: str) -> list[tuple[LicenceRow, str]]:
    """``(licence, relation)`` of everything that belongs to somebody, newest first; of each licence its newest version only.

    Whoever is named by an old version alone has nothing of the new one.
    """
    superseded = sa.select(LicenceEventRow.licence_id).where(LicenceEventRow.state == "superseded")
    rows = session.execute(
        sa.select(LicenceRow, LicencePersonRow.relation)
        .join(LicencePersonRow, LicencePersonRow.licence_id == LicenceRow.id)
        .where(LicencePersonRow.person == person, LicenceRow.region == region, LicenceRow.id.not_in(superseded))
        .order_by(LicenceRow.id.desc())
    )
    return [(row.LicenceRow, row.relation) for row in rows]
