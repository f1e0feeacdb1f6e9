"""What somebody is to a licence: its legal representative or holder, or authorised by one of them.

People are known by their person key (a keyed digest of the identity number); a licence says in ``licence_persons`` whose it is,
and grants say who else may use it. A licence is followed through all its versions by its :func:`line_of`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from licences.catalogue import licence_type
from licences.events import state_at
from licences.holding_models import GrantRow
from licences.models import LicenceEventRow, LicencePersonRow, LicenceRow
from verify.schemas import LicenceStatus

OWNERS = ("representative", "holder")
"""Roles of those whose licence it is; everybody else is authorised by them."""
KINDS = ("manager", "staff", "agent")
"""证照管理员, 办事人, 代办人."""


@dataclass(frozen=True)
class Standing:
    """What a person is to a licence.

    :ivar role: representative, holder, manager, staff or agent
    :ivar name: the person's name as the licence or the grant has it
    :ivar grant: what it rests on; None for representative and holder
    """

    licence: LicenceRow
    role: str
    name: str
    grant: GrantRow | None = None

    @property
    def matters(self) -> tuple[str, ...]:
        """Codes that it is limited to; empty: every matter."""
        return tuple(self.grant.matters) if self.grant else ()


def person_mark(object_id: str, person: str) -> str:
    """What a leaf says of a person: enough to see that a row was not given to another, nothing by which two are linked."""
    return hashlib.sha256(f"{object_id}:{person}".encode("ascii")).hexdigest()


def line_of(row: LicenceRow) -> str:
    """A licence through all its versions: type, issuer and serial number."""
    return f"{row.type_id}/{row.issuer_uscc}/{row.serial:010d}"


def in_line(line: str) -> sa.ColumnElement[bool]:
    """The versions of a licence, as a condition on ``licences``."""
    type_id, issuer, serial = line.split("/")
    return sa.and_(LicenceRow.type_id == type_id, LicenceRow.issuer_uscc == issuer, LicenceRow.serial == int(serial))


def newest(session: Session, line: str) -> LicenceRow:
    """The version of a licence that counts: the last."""
    return session.scalars(sa.select(LicenceRow).where(in_line(line)).order_by(LicenceRow.version.desc()).limit(1)).one()


def state_of(session: Session, row: LicenceRow, at: datetime) -> LicenceStatus | None:
    """How a licence stands; None before it was issued."""
    events = session.scalars(sa.select(LicenceEventRow).where(LicenceEventRow.licence_id == row.id)).all()
    return state_at(row, licence_type(row.type_id).name, events, at)


def of_person(session: Session, person: str, at: datetime) -> list[Standing]:
    """Everything that a person may use, newest licence first: own licences, then those of live grants. Newest versions only."""
    own = session.execute(
        sa.select(LicenceRow, LicencePersonRow)
        .join(LicencePersonRow, LicencePersonRow.licence_id == LicenceRow.id)
        .where(LicencePersonRow.person == person)
        .order_by(LicenceRow.id.desc())
    )
    found = [Standing(row, named.relation, named.name) for row, named in own if newest(session, line_of(row)).id == row.id]
    grants = session.scalars(sa.select(GrantRow).where(GrantRow.person == person, *_alive(at)).order_by(GrantRow.id.desc()))
    return found + [Standing(newest(session, grant.line), grant.kind, grant.name, grant) for grant in grants]


def best(standings: Iterable[Standing]) -> Standing | None:
    """The one that allows most: representative and holder before manager, staff without limits before limited ones."""
    order = (*OWNERS, *KINDS)
    return min(standings, key=lambda one: (order.index(one.role), bool(one.matters)), default=None)


def managers(session: Session, line: str, at: datetime) -> int:
    """How many people are licence managers now."""
    statement = sa.select(sa.func.count(GrantRow.person.distinct())).where(
        GrantRow.line == line, GrantRow.kind == "manager", *_alive(at)
    )
    return session.scalar(statement) or 0


def onward(session: Session, grants: Sequence[GrantRow]) -> list[GrantRow]:
    """Grants that stand and rest on these, at any depth, and these themselves."""
    found = list(grants)
    for one in found:  # grows while it is read
        resting = session.scalars(sa.select(GrantRow).where(GrantRow.parent == one.id, GrantRow.withdrawn_at.is_(None)))
        found.extend(resting)
    return found


def _alive(at: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return GrantRow.withdrawn_at.is_(None), GrantRow.until > at
