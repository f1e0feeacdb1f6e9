"""Authorisations 授权: who, besides the representative or holder, may use a licence, for which matters and until when.

A manager 证照管理员 may authorise onward, staff 办事人 act for the enterprise, an agent 代办人 goes once for somebody in one
matter. A withdrawn authorisation ends at once, and with it everything that rests on it: what a manager gave onward, and every
copy on a phone. Who may give what is in ``policies/rules/holding.cedar``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import Conflict, NotFound, Unprocessable
from formats import masking
from formats.canonical import rfc3339
from formats.dates import shown_time
from licences.catalogue import licence_type
from licences.copybook import CopyBook
from licences.holding_models import CopyRow, GrantRow
from licences.models import LicenceRow
from licences.service import LicenceService, NoSuchLicence
from licences.standing import KINDS, OWNERS, Standing, best, line_of, managers, newest, of_person, person_mark, state_of
from people.schemas import Actor
from policies.authorise import Authoriser
from policies.presenting import Matter
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

LONGEST = {"manager": timedelta(days=3 * 366), "staff": timedelta(days=366), "agent": timedelta(days=92)}
"""Nobody is authorised for longer in one go; what is needed longer is given again."""
MAX_MATTERS = 32
KINDS_ZH = {"manager": "证照管理员", "staff": "办事人", "agent": "代办人"}
_AT_ONCE = 200


class NoSuchGrant(NotFound):
    """No authorisation has this identifier, or none that the caller has to do with."""

    code = "no-such-grant"


class BadGrant(Unprocessable):
    """An authorisation that cannot be given like this."""

    code = "bad-grant"


class GrantEnded(Conflict):
    """The authorisation ended before."""

    code = "grant-ended"


@dataclass(frozen=True)
class Grant:
    """A live authorisation, as services of other rooms need it; ``matters`` empty: every matter."""

    id: str
    licence: str
    kind: str
    person: str
    name: str
    matters: tuple[str, ...]
    until: datetime

    def covers(self, matter: str | None) -> bool:
        """Whether it may be used for a matter; None stands for "some matter"."""
        return matter is None or not self.matters or matter in self.matters


@dataclass(frozen=True)
class _Wish:
    """What is to be given, its form checked."""

    kind: str
    person: str
    name: str
    matters: tuple[str, ...]
    until: datetime


class GrantService:
    """Gives, shows and withdraws authorisations. One instance serves all threads.

    :param person_key: turns an identity number into the key by which people are named here
    :param matters: what licences are shown for on this node, by code
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        licences: LicenceService,
        book: CopyBook,
        region: str,
        *,
        person_key: Callable[[str], str],
        matters: Callable[[], Mapping[str, Matter]],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.licences = licences
        self.book = book
        self.region = region
        self.person_key = person_key
        self.matters = matters
        self._now = now

    # -- give -------------------------------------------------------------------------------------------------------------

    def authorise(
        self, actor: Actor, licence_id: str, *, kind: str, name: str, id_number: str, matters: Sequence[str], until: datetime
    ) -> dict[str, Any]:
        """Authorise somebody by name and identity number, which is turned into the person key and forgotten.

        :raises BadIdentityNumber: no such number; else as :meth:`grant`
        """
        person = self.person_key(id_number)
        return self.grant(actor, licence_id, kind, person, name, matters, until, "phone")

    def grant(
        self,
        actor: Actor,
        licence_id: str,
        kind: str,
        person: str,
        name: str,
        matters: Sequence[str],
        until: datetime,
        basis: str = "phone",
        *,
        present: str | None = None,
    ) -> dict[str, Any]:
        """Authorise somebody; the authorisation as plain JSON. The same one again is the one that is there.

        :param person: the person key of whoever is authorised
        :param matters: codes of policies/presenting.toml; none: every matter (an agent: exactly one)
        :param basis: ``phone``, or ``presence``: a clerk records it at a counter
        :param present: at a counter, the person key of the representative, holder or manager who is there in person
        :raises BadGrant: unknown kind or matter, no name, a time that has passed or is too far off, oneself
        :raises NoSuchLicence: none that the giver has to do with
        :raises NotAllowed: the rules say no
        """
        wish = self._checked(kind, person, name, matters, until)
        giver = (present if basis == "presence" else actor.person) or ""

        def write(session: Session) -> dict[str, Any]:
            now = self._now()
            standing = self._standing(session, giver, licence_id)
            if giver == wish.person:
                raise BadGrant("Nobody needs authorising by themselves.", "无需授权给自己。")
            line = line_of(standing.licence)
            context = {
                "role": standing.role,
                "grants": wish.kind,
                "managers": managers(session, line, now),
                "within": _within(wish, standing.grant),
                "present": basis == "presence",
            }
            facts = self._facts(session, standing.licence)
            rule = self.authoriser.require(actor, "holding.authorise", facts, context).rule
            same = self._same(session, line, wish, giver)
            if same is not None:
                return self._shown(session, same, giver)
            row = GrantRow(
                id=new_id("grant"),
                region=self.region,
                line=line,
                licence_id=standing.licence.id,
                kind=wish.kind,
                person=wish.person,
                name=wish.name,
                matters=list(wish.matters),
                until=wish.until,
                giver=giver,
                giver_name=standing.name,
                parent=standing.grant.id if standing.grant else None,
                basis=basis,
                actor=actor.id,
                created_at=now,
            )
            session.add(row)
            session.flush()
            self._audit(session, row, actor, rule)
            return self._shown(session, row, giver)

        return self.db.run(write)

    def _checked(self, kind: str, person: str, name: str, matters: Sequence[str], until: datetime) -> _Wish:
        name = " ".join(unicodedata.normalize("NFC", name).split())
        if kind not in KINDS:
            raise BadGrant(
                f"An authorisation is for a {', a '.join(KINDS)}.", f"授权对象为{'、'.join(KINDS_ZH.values())}之一。"
            )
        if not 1 <= len(name) <= 50 or any(unicodedata.category(c).startswith("C") for c in name):
            raise BadGrant("Give the person's name as on the identity card.", "请按身份证填写被授权人姓名。")
        codes = tuple(dict.fromkeys(matters))
        unknown = [code for code in codes if code not in self.matters()]
        if unknown or len(codes) > MAX_MATTERS:
            raise BadGrant(
                "One of these matters is not known here; choose from the list.", "所选事项不在目录中，请从列表中选择。"
            )
        if kind == "agent" and len(codes) != 1:
            raise BadGrant("An agent is authorised for exactly one matter.", "代办人只能就一个事项办理，请选择一个事项。")
        now = self._now()
        until = until.replace(microsecond=0)
        if not now < until <= now + LONGEST[kind]:
            days = LONGEST[kind].days
            raise BadGrant(
                f"The authorisation must end later than now and within {days} days.",
                f"授权截止时间须晚于当前时间，且不超过 {days} 天。",
            )
        return _Wish(kind, person, name, codes, until)

    def _same(self, session: Session, line: str, wish: _Wish, giver: str) -> GrantRow | None:
        """The very same authorisation where it stands already: a button was pressed twice."""
        found = session.scalars(
            sa.select(GrantRow).where(
                GrantRow.line == line,
                GrantRow.person == wish.person,
                GrantRow.kind == wish.kind,
                GrantRow.giver == giver,
                GrantRow.until == wish.until,
                GrantRow.withdrawn_at.is_(None),
            )
        )
        return next((one for one in found if tuple(one.matters) == wish.matters and one.name == wish.name), None)

    def _audit(self, session: Session, row: GrantRow, actor: Actor, rule: str) -> None:
        subject = {"grant": row.id, "licence": row.licence_id}
        self.audit.append(
            session,
            kind="grant.given",
            actor=actor.id,
            subject=subject | ({"parent": row.parent} if row.parent else {}),
            data={
                "kind": row.kind,
                "person": person_mark(row.id, row.person),
                "matters": row.matters,
                "until": rfc3339(row.until),
                "basis": row.basis,
            },
            rule=rule,
        )
        told = {"status": "active", "kind": row.kind}
        self.book.outbox.add(session, "grant.given", subject, told, department=row.line.split("/")[1])

    # -- withdraw ---------------------------------------------------------------------------------------------------------

    def withdraw(self, actor: Actor, grant_id: str, *, present: str | None = None) -> dict[str, Any]:
        """End an authorisation, what rests on it, and all copies of these, at once. One that was withdrawn stays so.

        :param present: at a counter, the person key of whoever is there in person
        :raises NoSuchGrant: none that the caller has to do with; :raises NotAllowed: the rules say no
        """
        who = present or actor.person or ""

        def write(session: Session) -> dict[str, Any]:
            row = session.get(GrantRow, grant_id)
            standing = self._best(session, who, row.line) if row else None
            if row is None or not self._concerns(row, who, standing):
                raise _no_such_grant()
            if row.withdrawn_at is not None:
                return self._shown(session, row, who)
            licence = newest(session, row.line)
            context = {
                "role": standing.role if standing else "",
                "given": row.giver == who,
                "own": row.person == who,
                "present": present is not None,
            }
            rule = self.authoriser.require(actor, "holding.withdraw", self._facts(session, licence), context).rule
            why = "given-up" if row.person == who else "withdrawn"
            self.book.withdraw(session, [row], actor=actor.id, rule=rule, why=why)
            return self._shown(session, row, who)

        return self.db.run(write)

    # -- ask --------------------------------------------------------------------------------------------------------------

    def allowed(self, person: str, licence_id: str, matter: str | None = None, at: datetime | None = None) -> Grant | None:
        """The live authorisation by which somebody may use a licence for a matter, the widest; None where there is none.

        :param matter: None: for whatever matter
        """
        with self.db.read() as session:
            licence = self.licences.row(licence_id)
            found = best(
                one
                for one in of_person(session, person, at or self._now())
                if one.grant is not None and one.grant.line == line_of(licence)
                if matter is None or not one.matters or matter in one.matters
            )
        return grant_of(found.grant) if found and found.grant else None

    def standings(self, person: str, at: datetime | None = None) -> list[Standing]:
        """Everything that somebody may use, as owner or authorised: newest versions, own licences first."""
        with self.db.read() as session:
            return of_person(session, person, at or self._now())

    def mine(self, actor: Actor, *, licence_id: str | None = None, present: str | None = None) -> list[dict[str, Any]]:
        """Authorisations that concern a citizen, newest first: of their licences, given by them, given to them.

        :param licence_id: of this licence alone
        :param present: at a counter, the person key of whoever is there in person: theirs are asked for
        :raises NoSuchLicence: a licence that the citizen has nothing to do with
        """
        self.authoriser.require(actor, "holding.list", {"region": self.region}, {"present": present is not None})
        who = present or actor.person or ""
        with self.db.read() as session:
            lines = [line_of(one.licence) for one in of_person(session, who, self._now()) if one.role in OWNERS]
            wanted = sa.or_(GrantRow.line.in_(lines), GrantRow.giver == who, GrantRow.person == who)
            statement = sa.select(GrantRow).where(wanted, GrantRow.region == self.region)
            if licence_id is not None:
                statement = statement.where(GrantRow.line == line_of(self._standing(session, who, licence_id).licence))
            rows = session.scalars(statement.order_by(GrantRow.id.desc()).limit(_AT_ONCE)).all()
            return [self._shown(session, row, who) for row in rows]

    def show(self, actor: Actor, grant_id: str) -> dict[str, Any]:
        """One authorisation. :raises NoSuchGrant: none that the citizen has to do with"""
        who = actor.person or ""
        with self.db.read() as session:
            row = session.get(GrantRow, grant_id)
            if row is None or not self._concerns(row, who, self._best(session, who, row.line)):
                raise _no_such_grant()
            return self._shown(session, row, who)

    def inspect(self, actor: Actor, licence_id: str) -> list[dict[str, Any]]:
        """For staff: every authorisation of a licence through all its versions, newest first; names masked.

        :raises NoSuchLicence: none that the caller may know of; :raises NotAllowed: the rules say no
        """
        licence = self.licences.row(licence_id, actor)
        with self.db.read() as session:
            self.authoriser.require(actor, "holding.inspect", self._facts(session, licence))
            rows = session.scalars(
                sa.select(GrantRow).where(GrantRow.line == line_of(licence)).order_by(GrantRow.id.desc()).limit(_AT_ONCE)
            ).all()
            shown = [self._shown(session, row, "") for row in rows]
        for one in shown:
            one |= {"name": masking.name(one["name"]), "given_by": masking.name(one["given_by"])}
        return shown

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _standing(self, session: Session, person: str, licence_id: str) -> Standing:
        """What somebody is to a licence, named by any of its versions. :raises NoSuchLicence: nothing at all"""
        row = session.scalars(
            sa.select(LicenceRow).where(
                sa.or_(LicenceRow.id == licence_id, LicenceRow.identifier == licence_id), LicenceRow.region == self.region
            )
        ).one_or_none()
        found = self._best(session, person, line_of(row)) if row else None
        if found is None:
            raise not_yours()
        return found

    def _best(self, session: Session, person: str, line: str) -> Standing | None:
        return best(one for one in of_person(session, person, self._now()) if line_of(one.licence) == line)

    def _concerns(self, row: GrantRow, who: str, standing: Standing | None) -> bool:
        """Whether somebody may know of a grant: its giver, whom it is given to, and the licence's owners."""
        return bool(who) and (who in (row.giver, row.person) or (standing is not None and standing.role in OWNERS))

    def _facts(self, session: Session, licence: LicenceRow) -> dict[str, Any]:
        state = state_of(session, licence, self._now())
        return {
            "id": licence.id,
            "region": licence.region,
            "department": licence.issuer_uscc,
            "kind": licence.type_id,
            "sample": licence.sample,
            "status": state.status if state else "not-yet-issued",
        }

    def _phones(self, session: Session, row: GrantRow) -> int:
        """On how many phones it is in use."""
        alive = sa.select(sa.func.count(CopyRow.phone.distinct())).where(CopyRow.grant_id == row.id, CopyRow.status == "active")
        return session.scalar(alive) or 0

    def _shown(self, session: Session, row: GrantRow, who: str) -> dict[str, Any]:
        licence = newest(session, row.line)
        kind = licence_type(licence.type_id)
        status = "withdrawn" if row.withdrawn_at else "active" if row.until > self._now() else "expired"
        return {
            "id": row.id,
            "status": status,
            "status_zh": {"withdrawn": "已撤回", "active": "有效", "expired": "已到期"}[status],
            "licence": licence.id,
            "licence_type": kind.name,
            "holder": licence.holder_name,
            "kind": row.kind,
            "kind_zh": KINDS_ZH[row.kind],
            "name": row.name,
            "matters": list(row.matters),
            "until": shown_time(row.until),
            "given_by": row.giver_name,
            "given_at": shown_time(row.created_at),
            "basis": row.basis,
            "onward": row.parent is not None,
            "direction": "received" if who and row.person == who else "given" if who and row.giver == who else "seen",
            "withdrawn_at": shown_time(row.withdrawn_at) if row.withdrawn_at else None,
            "withdrawn_why": row.withdrawn_why,
            "phones": self._phones(session, row),
        }


def grant_of(row: GrantRow) -> Grant:
    """A row as other rooms see it."""
    return Grant(row.id, row.licence_id, row.kind, row.person, row.name, tuple(row.matters), row.until)


def not_yours() -> NoSuchLicence:
    """For raising: there is none, or none that this citizen has to do with, which is the same to them."""
    return NoSuchLicence(
        "There is no such licence among yours; sign in as whoever it belongs to, or ask to be authorised.",
        "您名下没有该证照；请以持证主体身份登录，或请其授权。",
    )


def _no_such_grant() -> NoSuchGrant:
    return NoSuchGrant("There is no such authorisation among yours.", "没有与您有关的该项授权。")


def _within(wish: _Wish, own: GrantRow | None) -> bool:
    """Whether what is to be given stays within one's own authorisation; owners have no bounds."""
    if own is None:
        return True
    matters: Iterable[str] = own.matters
    narrower = not own.matters or (bool(wish.matters) and set(wish.matters) <= set(matters))
    return narrower and wish.until <= own.until
