"""The counter 窗口: what is done for somebody who is there in person, without a phone.

A visit begins with an identity card and ends by itself. In it the clerk first asks whether the person holds a licence in force
(yes or no, nothing else), and only for a named matter uses it, sees it, prints a copy for one purpose, or records an agent.
All of it is kept where the phone's pages keep theirs, so nobody who was served here does it again online, or the other way
round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Conflict, NotFound
from formats import masking
from formats.dates import BEIJING
from licences.annotated import AnnotatedCopies
from licences.annotated_models import AnnotatedCopyRow
from licences.catalogue import catalogue, licence_type
from licences.copies import CopyService
from licences.events import IN_FORCE
from licences.grants import GrantService
from licences.holding_models import GrantRow
from licences.models import LicenceRow
from licences.service import NoSuchLicence
from licences.standing import OWNERS, Standing, best, line_of, of_person, state_of
from people.cardreader import CardRead, CardReader
from people.schemas import Actor
from policies.authorise import Authoriser
from policies.presenting import Matter
from records import counter_views as views
from records.counter_models import ActRow, VisitRow
from records.uses import Uses
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

LASTS = timedelta(minutes=30)
"""Nobody types against a clock, and nobody's identity stays open over lunch."""
_LATELY = 10


class NoSuchVisit(NotFound):
    """No visit has this identifier, or it is another clerk's."""

    code = "no-such-visit"


class VisitEnded(Conflict):
    """The visit ended, by the clerk or by itself."""

    code = "visit-ended"


class BadMatter(BadInput):
    """No matter was named, or none that there is."""

    code = "bad-matter"


class CounterService:
    """Serves people at a counter. One instance serves all threads.

    :param reader: gives the reader of this node, or raises where there is none
    :param person_key: turns an identity number into the key by which people are named here
    :param sign_out: ends every session of whoever has a person key
    :param organ: name of the department of an account, as printed and recorded
    """

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        annotated: AnnotatedCopies,
        copies: CopyService,
        grants: GrantService,
        uses: Uses,
        region: str,
        *,
        reader: Callable[[], CardReader],
        person_key: Callable[[str], str],
        sign_out: Callable[[str], object],
        organ: Callable[[Actor], str],
        matters: Callable[[], Mapping[str, Matter]],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.annotated = annotated
        self.copies = copies
        self.grants = grants
        self.uses = uses
        self.region = region
        self.reader = reader
        self.person_key = person_key
        self.sign_out = sign_out
        self.organ = organ
        self.matters = matters
        self._now = now

    # -- visits -----------------------------------------------------------------------------------------------------------

    def identify(self, actor: Actor, card: str | None = None) -> dict[str, Any]:
        """Read the card on the reader and begin a visit. Number and name are forgotten at once: a key and a mask remain.

        :raises NoCardReader: this node has none; :raises NoCard: none lies on it; :raises NotAllowed: no window clerk
        """
        rule = self.authoriser.require(actor, "counter.identify", {"region": self.region}).rule
        read = self.reader().read(card)
        person = self.person_key(read.id_number)

        def write(session: Session) -> VisitRow:
            now = self._now()
            row = VisitRow(
                id=new_id("visit"),
                region=self.region,
                clerk=actor.id,
                department=actor.department,
                person=person,
                name=masking.name(read.name),
                reader=read.reader,
                started_at=now,
                ends_at=now + LASTS,
            )
            session.add(row)
            session.flush()
            self._audit(session, "counter.identified", row, rule, {"reader": read.reader})
            return row

        return views.visit(self.db.run(write), self._now())

    def visit(self, actor: Actor, visit_id: str) -> dict[str, Any]:
        """One visit, also one that ended: for its slip. :raises NoSuchVisit: none of this clerk"""
        with self.db.read() as session:
            return views.visit(self._own(session, actor, visit_id), self._now())

    def list(self, actor: Actor, limit: int = 20) -> Sequence[dict[str, Any]]:
        """The clerk's visits that are open, newest first."""
        self.authoriser.require(actor, "counter.list", {"region": self.region})
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(VisitRow)
                .where(VisitRow.clerk == actor.id, VisitRow.region == self.region)
                .where(VisitRow.ended_at.is_(None), VisitRow.ends_at > self._now())
                .order_by(VisitRow.id.desc())
                .limit(limit)
            ).all()
        return [views.visit(row, self._now()) for row in rows]

    def end(self, actor: Actor, visit_id: str) -> dict[str, Any]:
        """The person leaves. Ending again changes nothing."""

        def write(session: Session) -> VisitRow:
            row = self._own(session, actor, visit_id)
            if row.ended_at is None and row.ends_at > self._now():
                rule = self.authoriser.require(actor, "counter.serve", self._facts(row), {"own": True}).rule
                row.ended_at = self._now()
                self._audit(session, "counter.ended", row, rule, {})
            return row

        return views.visit(self.db.run(write), self._now())

    # -- asking -----------------------------------------------------------------------------------------------------------

    def types(self) -> Sequence[dict[str, str]]:
        """Types of licence that can be asked for."""
        return [{"type": kind.id, "name": kind.name, "name_en": kind.name_en} for kind in catalogue().values()]

    def ask(self, actor: Actor, visit_id: str, type_id: str, matter: str) -> dict[str, Any]:
        """Whether the person holds, or may use for this matter, a licence of this type that is in force: yes or no.

        :returns: ``{"holds": bool, "type", "type_name", "matter", "licences": [{"id", "role", "role_zh"}]}``: of a yes, which
            ones, without anything that they say
        :raises BadMatter: none was named; :raises UnknownLicenceType: no such type
        """
        kind = licence_type(type_id)
        self._named(matter)

        def write(session: Session) -> dict[str, Any]:
            visit = self._open(session, actor, visit_id)
            rule = self.authoriser.require(actor, "counter.ask", self._facts(visit), {"own": True, "matter": matter}).rule
            fitting = [
                one
                for one in of_person(session, visit.person, self._now())
                if one.licence.type_id == kind.id and _covers(one, matter) and self._in_force(session, one.licence)
            ]
            one_each = {line_of(one.licence): one for one in reversed(fitting)}
            found = list(one_each.values())
            about: Sequence[str | None] = [one.licence.id for one in found] or [None]
            for licence_id in about:
                self._act(session, visit, "asked", kind.id, licence_id, matter, None, rule)
            return {
                "holds": bool(found),
                "type": kind.id,
                "type_name": kind.name,
                "type_name_en": kind.name_en,
                "matter": matter,
                "licences": [{"id": one.licence.id, "role": one.role, "role_zh": views.ROLES_ZH[one.role]} for one in found],
            }

        return self.db.run(write)

    def see(self, actor: Actor, visit_id: str, licence_id: str, matter: str) -> dict[str, Any]:
        """What the licence says, for a matter that needs it: on record for its holder to see.

        :returns: name, number and validity, and ``fields``: ``[{"label", "label_en", "value"}]``, of a person's masked
        """

        def write(session: Session) -> dict[str, Any]:
            visit = self._open(session, actor, visit_id)
            standing, rule = self._allowed(session, actor, visit, licence_id, matter)
            licence = standing.licence
            self._act(session, visit, "seen", licence.type_id, licence.id, matter, None, rule)
            self._used(session, actor, licence, matter)
            return views.content(licence)

        return self.db.run(write)

    def use(self, actor: Actor, visit_id: str, licence_id: str, matter: str) -> dict[str, Any]:
        """Use the licence for a matter in place of showing it: recorded as a use, which the holder sees.

        :raises NoSuchLicence: the person has nothing to do with it; :raises NotAllowed: not for this matter
        :raises Conflict: it is not in force
        """

        def write(session: Session) -> dict[str, Any]:
            visit = self._open(session, actor, visit_id)
            standing, rule = self._allowed(session, actor, visit, licence_id, matter)
            licence = standing.licence
            act = self._act(session, visit, "used", licence.type_id, licence.id, matter, None, rule)
            self._used(session, actor, licence, matter)
            return views.act(session, act)

        return self.db.run(write)

    # -- doing ------------------------------------------------------------------------------------------------------------

    def copy(
        self,
        actor: Actor,
        visit_id: str,
        licence_id: str,
        *,
        purpose: str,
        until: date,
        matter: str,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """An annotated copy 加注件 for the person who is here; see :meth:`AnnotatedCopies.make`."""
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
        made, document = self.annotated.make(
            actor,
            licence_id,
            purpose=purpose,
            until=until,
            matter=matter or None,
            present=visit.person,
            maker=f"{self.organ(actor)} 窗口（{visit.name} 本人到场）",
            idempotency_key=idempotency_key,
        )
        self._note(actor, visit_id, "copied", made["licence"], matter, made["id"])
        return made, document

    def document(self, actor: Actor, visit_id: str, copy_id: str) -> bytes:
        """The PDF of a copy that was made in this visit. :raises NoSuchVisit: none was, or it is another clerk's visit"""
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
            made = (ActRow.visit_id == visit.id, ActRow.kind == "copied", ActRow.ref == copy_id)
            copy = session.get(AnnotatedCopyRow, copy_id)
            if copy is None or session.scalars(sa.select(ActRow).where(*made)).first() is None:
                raise NoSuchVisit("No such copy was made in this visit.", "本次办理中没有制作该加注件。")
            digest = copy.document_sha256
        return self.annotated.licences.blobs.get(digest)

    def authorise(
        self, actor: Actor, visit_id: str, licence_id: str, *, card: str | None, matter: str, until: date
    ) -> dict[str, Any]:
        """Record an agent 代办人: holder and agent are both here, and the agent's card lies on the reader.

        :param until: the last day, three months from today at most
        :raises NoCard: the agent's card does not lie on the reader; else as ``GrantService.grant``
        """
        self._named(matter)
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
        agent: CardRead = self.reader().read(card)
        end = datetime.combine(until, time(), BEIJING) + timedelta(days=1, seconds=-1)
        person, name = self.person_key(agent.id_number), agent.name
        given = self.grants.grant(actor, licence_id, "agent", person, name, [matter], end, "presence", present=visit.person)
        self._note(actor, visit_id, "authorised", licence_id, matter, given["id"])
        return given

    def withdraw_grant(self, actor: Actor, visit_id: str, grant_id: str) -> dict[str, Any]:
        """Withdraw an authorisation in the name of whoever is here."""
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
        ended = self.grants.withdraw(actor, grant_id, present=visit.person)
        with self.db.read() as session:
            row = session.get_one(GrantRow, grant_id)
            licence_id, matter = row.licence_id, (row.matters or [""])[0]
        self._note(actor, visit_id, "withdrawn", licence_id, matter, grant_id)
        return ended

    def withdraw_copy(self, actor: Actor, visit_id: str, copy_id: str) -> dict[str, Any]:
        """Withdraw an annotated copy in the name of whoever is here."""
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
        ended = self.annotated.withdraw(actor, copy_id, present=visit.person)
        self._note(actor, visit_id, "withdrawn", ended["licence"], ended["matter"] or "", copy_id)
        return ended

    def report_lost(self, actor: Actor, visit_id: str, copy_id: str) -> Sequence[dict[str, Any]]:
        """Whoever is here has lost the phone with this copy on it: everything of theirs on it ends at once, and every browser
        in which they are signed in is signed out.

        :raises NoSuchCopy: no copy of theirs
        """
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
        ended = self.copies.lost(actor, copy_id, present=visit.person)
        self.sign_out(visit.person)
        for one in ended:
            self._note(actor, visit_id, "withdrawn", one["licence"]["id"], "", one["id"])
        return ended

    def standing(self, actor: Actor, visit_id: str) -> dict[str, Any]:
        """Of the own licences of whoever is here: what stands and can be withdrawn, and who used them lately.

        :returns: ``{"grants": […], "copies": […], "uses": […], "phones": […]}``; ``phones`` that carry copies of theirs
        """
        with self.db.read() as session:
            visit = self._open(session, actor, visit_id)
            now = self._now()
            own = [one.licence for one in of_person(session, visit.person, now) if one.role in OWNERS]
            lines = [line_of(row) for row in own]
            grants = session.scalars(
                sa.select(GrantRow)
                .where(GrantRow.line.in_(lines), GrantRow.withdrawn_at.is_(None), GrantRow.until > now)
                .order_by(GrantRow.id.desc())
            ).all()
            copies = session.scalars(
                sa.select(AnnotatedCopyRow)
                .where(AnnotatedCopyRow.licence_id.in_([row.id for row in own]))
                .where(AnnotatedCopyRow.withdrawn_at.is_(None), AnnotatedCopyRow.until > now)
                .order_by(AnnotatedCopyRow.id.desc())
            ).all()
            found: dict[str, Any] = dict(views.standing(own, grants, copies))
        phones = views.phones(self.copies.mine(actor, present=visit.person))
        return found | {"uses": self.uses.of_licences([row.id for row in own], limit=_LATELY), "phones": phones}

    def slip(self, actor: Actor, visit_id: str) -> dict[str, Any]:
        """What was done in a visit, for the person to take along: the visit, its acts in order, and the organ."""
        with self.db.read() as session:
            visit = self._own(session, actor, visit_id)
            rows = session.scalars(sa.select(ActRow).where(ActRow.visit_id == visit.id).order_by(ActRow.id)).all()
            acts = [views.act(session, row) for row in rows]
        return {**views.visit(visit, self._now()), "organ": self.organ(actor), "acts": acts}

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _own(self, session: Session, actor: Actor, visit_id: str) -> VisitRow:
        row = session.get(VisitRow, visit_id)
        if row is None or row.region != self.region or row.clerk != actor.id:
            raise NoSuchVisit("There is no such visit of yours.", "没有由您办理的该次到场记录。")
        return row

    def _open(self, session: Session, actor: Actor, visit_id: str) -> VisitRow:
        """:raises VisitEnded: ended, or its half hour is over"""
        row = self._own(session, actor, visit_id)
        if row.ended_at is not None or row.ends_at <= self._now():
            raise VisitEnded(
                "This visit has ended; read the card again to go on.", "本次办理已结束；如需继续，请重新读取身份证。"
            )
        return row

    def _named(self, matter: str) -> str:
        if matter not in self.matters():
            raise BadMatter("Choose the matter that the person came for.", "请选择到场人要办理的事项。")
        return matter

    def _allowed(self, session: Session, actor: Actor, visit: VisitRow, licence_id: str, matter: str) -> tuple[Standing, str]:
        """What the person is to a licence in force that may be used for this matter, and the rule that allows it."""
        self._named(matter)
        mine = [one for one in of_person(session, visit.person, self._now()) if one.licence.id == licence_id]
        found = best([one for one in mine if _covers(one, matter)] or mine)
        if found is None:
            raise NoSuchLicence("The person has no such licence.", "到场人名下没有该证照，也未获授权使用。")
        context = {"own": True, "role": found.role, "within": _covers(found, matter), "matter": matter}
        rule = self.authoriser.require(actor, "counter.use", self._facts(visit), context).rule
        if not self._in_force(session, found.licence):
            raise Conflict("The licence is not in force.", "该证照当前不是有效状态，不能使用。")
        return found, rule

    def _used(self, session: Session, actor: Actor, licence: LicenceRow, matter: str) -> None:
        """The holder sees who used or read the licence, and for what."""
        self.uses.record(
            session,
            licence.identifier,
            token=None,
            organ=self.organ(actor),
            region=self.region,
            matter=matter,
            decision="accept",
            channel="counter",
            at=self._now(),
            actor=actor.id,
        )

    def _in_force(self, session: Session, licence: LicenceRow) -> bool:
        state = state_of(session, licence, self._now())
        return state is not None and state.status == IN_FORCE

    def _note(self, actor: Actor, visit_id: str, kind: str, licence_id: str, matter: str, ref: str) -> None:
        """Put on the visit's record what was done elsewhere, under the rule that allowed it there."""

        def write(session: Session) -> None:
            visit = self._own(session, actor, visit_id)
            licence = session.get_one(LicenceRow, licence_id)
            rule = self.authoriser.require(actor, "counter.serve", self._facts(visit), {"own": True}).rule
            self._act(session, visit, kind, licence.type_id, licence.id, matter, ref, rule)

        self.db.run(write)

    def _act(
        self,
        session: Session,
        visit: VisitRow,
        kind: str,
        type_id: str,
        licence_id: str | None,
        matter: str,
        ref: str | None,
        rule: str,
    ) -> ActRow:
        row = ActRow(
            id=new_id("act"),
            region=self.region,
            visit_id=visit.id,
            kind=kind,
            type_id=type_id,
            licence_id=licence_id,
            matter=matter,
            ref=ref,
            at=self._now(),
        )
        session.add(row)
        session.flush()
        data = {"kind": kind, "type": type_id, "matter": matter}
        more = {"licence": licence_id} if licence_id else {}
        self._audit(session, "counter.act", visit, rule, data, act=row.id, **more, **({"ref": ref} if ref else {}))
        return row

    def _audit(self, session: Session, kind: str, visit: VisitRow, rule: str, data: dict[str, Any], **subject: str) -> None:
        self.audit.append(session, kind=kind, actor=visit.clerk, subject={"visit": visit.id, **subject}, data=data, rule=rule)

    def _facts(self, visit: VisitRow) -> dict[str, Any]:
        return {"id": visit.id, "region": self.region, "department": visit.department or ""}


def _covers(standing: Standing, matter: str) -> bool:
    return not standing.matters or matter in standing.matters
