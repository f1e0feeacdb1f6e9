"""Annotated copies 加注件: a licence printed for one purpose, until a day, with an identifier and a 查验码 of its own.

Made by the issuing authority, by whoever holds the licence, or at a counter for such a person. It takes the path of a signature
as the licence did: the same page and seal, the purpose across it, a printed code that says what it is for, and a place of its
own in a status list. It ends with its day, when it is withdrawn, and with the licence.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats import checkcode, codes
from formats.canonical import canonical_digest
from formats.dates import BEIJING, shown_time
from formats.identifiers import LicenceIdentifier
from formats.statuslist import StatusRef
from licences.annotated_models import AnnotatedCopyRow
from licences.annotated_parts import BadCopy as BadCopy
from licences.annotated_parts import Bearer, Made, Order, Wish, claims_of, content_digest, end_of, maker_of, shown
from licences.annotated_parts import NoSuchCopy as NoSuchCopy
from licences.catalogue import licence_type
from licences.documents import Annotation, Issuer, render
from licences.events import IN_FORCE, WITHDRAWN, LicenceStateRefused
from licences.grants import GrantEnded
from licences.holding_models import GrantRow
from licences.models import AuthorityRow, LicenceEventRow, LicenceRow
from licences.service import LEVEL, LicenceService, NoSuchLicence, check_archivable
from licences.standing import OWNERS, best, line_of, of_person, state_of
from licences.statuslists import VALUES
from people.schemas import Actor
from policies.presenting import Matter
from seals.sealing import Placement
from store.db import utc_now
from store.ids import new_id
from store.intents import Attempt, Outcome

LONGEST = timedelta(days=366)
MAX_PURPOSE = 30
"""Characters: it is printed in one line, and the code has to hold it."""


class AnnotatedCopies:
    """Makes, shows, withdraws and finds annotated copies. One instance serves all threads.

    :param matters: what licences are shown for on this node, by code
    """

    def __init__(
        self,
        licences: LicenceService,
        *,
        matters: Callable[[], Mapping[str, Matter]],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.licences = licences
        self.db = licences.db
        self.region = licences.region
        self.matters = matters
        self._now = now

    # -- making -----------------------------------------------------------------------------------------------------------

    def make(
        self,
        actor: Actor,
        licence_id: str,
        *,
        purpose: str,
        until: date,
        matter: str | None = None,
        present: str | None = None,
        maker: str | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Make a copy for one purpose; as plain JSON, and the sealed PDF.

        :param until: the last day on which it may be used
        :param matter: code of the one matter that it is for; whoever is authorised for some matters has to name one of them
        :param present: at a counter, the person key of whoever is there in person
        :param maker: who makes it, as printed; by default the issuing authority, or the person (masked)
        :raises BadCopy: no purpose, too long a one, a day that has passed or is too far off, an unknown matter
        :raises NoSuchLicence: none that the caller has to do with
        :raises LicenceStateRefused: it is not in force
        :raises NotAllowed: the rules say no
        """
        licence, bearer = self._licence(actor, licence_id, present)
        wish = self._checked(purpose, until, matter, maker or maker_of(licence, bearer))
        self._check_within_grant(bearer, wish)
        rule = self._permit(actor, licence, bearer, wish)
        self._check_in_force(licence)
        order = self._order(actor, licence, bearer, wish, rule)
        request = {
            "licence": licence.id,
            "purpose": wish.purpose,
            "until": shown_time(wish.until),
            "matter": wish.matter,
            "maker": wish.maker,
            "person": bearer.person if bearer else None,
        }

        def work(attempt: Attempt) -> Outcome:
            made = self._make(order, attempt)
            return Outcome(artefact=made.sealed.data, value=made)

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            assert outcome.blob is not None
            return {"id": self._commit(session, order, outcome.value, attempt, outcome.blob)}

        result = self.licences.intents.perform(
            account=actor.id,
            operation="licence.copy",
            key=idempotency_key,
            request_digest=canonical_digest(request),
            subject={"licence": licence.id},
            generation_ids=[order.use.generation.id, order.code_key.id],
            work=work,
            commit=commit,
        )
        assert result.blob is not None
        with self.db.read() as session:
            shown = self._shown(session, session.get_one(AnnotatedCopyRow, result.result["id"]))
        return shown, self.licences.blobs.get(result.blob)

    def _checked(self, purpose: str, until: date, matter: str | None, maker: str) -> Wish:
        text = " ".join(unicodedata.normalize("NFC", purpose).split())
        if not text or any(unicodedata.category(c)[0] == "C" for c in text):
            raise BadCopy("Say in a few words what the copy is for.", "请用几个字写明加注件的用途。")
        if len(text) > MAX_PURPOSE:
            raise BadCopy(
                f"The purpose has {len(text)} characters, at most {MAX_PURPOSE} fit; shorten it.",
                f"用途共 {len(text)} 字，最多 {MAX_PURPOSE} 字，请精简。",
            )
        if matter and matter not in self.matters():
            known = self.matters().values()
            raise BadCopy(
                f"There is no matter {matter[:64]!r}; choose one of {', '.join(m.code for m in known)}.",
                f"没有代码为“{matter[:64]}”的事项；可选：{'、'.join(f'{m.zh}（{m.code}）' for m in known)}。",
            )
        today = self._now().astimezone(BEIJING).date()
        if not today <= until <= today + LONGEST:
            last = today + LONGEST
            raise BadCopy(f"The last day of use must lie between today and {last}.", f"有效期截止日应在今天至 {last} 之间。")
        return Wish(text, end_of(until), matter or "", maker)

    def _licence(self, actor: Actor, licence_id: str, present: str | None) -> tuple[LicenceRow, Bearer | None]:
        """The licence as the caller may know of it, and for whom the copy is. :raises NoSuchLicence: it is nobody's here"""
        person = present or (actor.person if actor.kind == "citizen" else None)
        if person is None:
            return self.licences.row(licence_id, actor), None
        licence = self.licences.row(licence_id)
        with self.db.read() as session:
            found = best(one for one in of_person(session, person, self._now()) if line_of(one.licence) == line_of(licence))
        if found is None:
            raise NoSuchLicence(
                "You have no such licence, and are not authorised to use it.", "您名下没有该证照，也未被授权使用该证照。"
            )
        return found.licence, Bearer(found, person, present is not None)

    def _check_within_grant(self, bearer: Bearer | None, wish: Wish) -> None:
        """No paper lasts longer than the authorisation that it rests on. :raises BadCopy: it would"""
        grant = bearer.standing.grant if bearer is not None else None
        if grant is not None and wish.until > grant.until:
            ends = grant.until.astimezone(BEIJING)
            last = ends.date() if end_of(ends.date()) <= grant.until else ends.date() - timedelta(days=1)
            raise BadCopy(
                f"The authorisation ends; the copy may be used until {last} at the latest.",
                f"授权到期后加注件不得继续使用；有效期截止日最晚为 {last}。",
            )

    def _permit(self, actor: Actor, licence: LicenceRow, bearer: Bearer | None, wish: Wish) -> str:
        context: dict[str, Any] = {"matter": wish.matter or "default"}
        if bearer is not None:
            limits = bearer.standing.matters
            context |= {"role": bearer.standing.role, "present": bearer.present}
            context["within"] = not limits or wish.matter in limits
        return self.licences.authoriser.require(actor, "licence.copy", self._facts(licence), context).rule

    def _facts(self, licence: LicenceRow) -> dict[str, Any]:
        return {
            "id": licence.id,
            "region": licence.region,
            "department": licence.issuer_uscc,
            "kind": licence.type_id,
            "sample": licence.sample,
        }

    def _check_in_force(self, licence: LicenceRow) -> None:
        with self.db.read() as session:
            state = state_of(session, licence, self._now())
        if state is None or state.status != IN_FORCE:
            word = state.state_zh if state else "未签发"
            raise LicenceStateRefused(
                f"The licence is not in force ({word}); no copy is made of it.", f"该证照当前状态为“{word}”，不能制作加注件。"
            )

    def _order(self, actor: Actor, licence: LicenceRow, bearer: Bearer | None, wish: Wish, rule: str) -> Order:
        kind = licence_type(licence.type_id)
        data = kind.check(licence.data, issued=licence.issued_at.astimezone(BEIJING).date())
        with self.db.read() as session:
            authority = session.get_one(AuthorityRow, (licence.type_id, licence.issuer_uscc))
        use = self.licences.seals.plan(actor, seal_id=authority.seal_id, format=None, suite=None, level=LEVEL, rule=rule)
        return Order(licence, kind, data, wish, bearer, use, self.licences.keys.active(authority.role_id))

    def _make(self, order: Order, attempt: Attempt) -> Made:
        """The work of an attempt: place in the status list, code, page, seal."""
        licence, wish, service = order.licence, order.wish, self.licences
        self._check_in_force(licence)
        status = self.db.run(lambda session: service.statuses.allot(session, attempt.intent_id))
        now = self._now().replace(microsecond=0)
        identity, check_code = new_id("annotated"), checkcode.new()
        claims = claims_of(order, identity, status, now)
        code = codes.encode(claims, service.keys.signer(order.code_key.id, attempt), service.host)
        page = render(
            order.kind,
            order.data,
            identifier=LicenceIdentifier.parse(licence.identifier),
            issuer=Issuer(licence.issuer_name, licence.issuer_uscc),
            issued=licence.issued_at,
            code_url=code,
            sample=licence.sample,
            status=status,
            annotation=Annotation(
                purpose=wish.purpose,
                until=wish.until.astimezone(BEIJING).date(),
                maker=wish.maker,
                made=now,
                check_code=checkcode.shown(check_code),
                number=identity,
                matter=wish.matter,
            ),
        )
        check_archivable(page)
        sealed = service.seals.seal_within(attempt, order.use, page, Placement(*order.kind.seal_at_mm))
        return Made(identity, check_code, code, status, page, sealed, now)

    def _commit(self, session: Session, order: Order, made: Made, attempt: Attempt, blob: str) -> str:
        service, wish = self.licences, order.wish
        self._check_still_in_force(session, order.licence)
        self._check_still_granted(session, order.bearer)
        impression = service.seals.record(session, order.use, attempt, made.sealed, source=made.page, document_sha256=blob)
        session.flush()
        row = AnnotatedCopyRow(
            id=made.id,
            region=self.region,
            licence_id=order.licence.id,
            purpose=wish.purpose,
            matter=wish.matter,
            until=wish.until,
            maker=wish.maker,
            channel=order.bearer.channel if order.bearer else "staff",
            person=order.bearer.person if order.bearer else None,
            grant_id=order.bearer.grant if order.bearer else None,
            actor=order.use.account,
            check_code=made.check_code,
            code=made.code,
            status_uri=made.status.uri,
            status_index=made.status.index,
            impression_id=impression.id,
            document_sha256=blob,
            intent_id=attempt.intent_id,
            sample=order.licence.sample,
            created_at=made.at,
        )
        session.add(row)
        session.flush()
        service.audit.append(
            session,
            kind="licence.copied",
            actor=order.use.account,
            subject={
                "annotated_copy": row.id,
                "licence": row.licence_id,
                "impression": impression.id,
                "seal": order.use.seal.id,
                "document": blob,
            },
            data={
                "content": content_digest(row),
                "generation": order.use.generation.id,
                "code_generation": order.code_key.id,
                "matter": order.use.matter,
                "application": None,
                "intent": attempt.intent_id,
                "attempt": attempt.number,
            },
            rule=order.use.rule,
        )
        return row.id

    def _check_still_in_force(self, session: Session, licence: LicenceRow) -> None:
        state = state_of(session, licence, self._now())
        if state is None or state.status != IN_FORCE:
            raise LicenceStateRefused(
                "The licence ended while the copy was being made; there is no copy.", "制作期间证照状态已变，未制作加注件。"
            )

    def _check_still_granted(self, session: Session, bearer: Bearer | None) -> None:
        """Under the lock that a withdrawal takes too: no print comes to be that no withdrawal ends."""
        if bearer is None or bearer.grant is None:
            return
        grant = session.get_one(GrantRow, bearer.grant, with_for_update=True)
        if grant.withdrawn_at is not None:
            raise GrantEnded(
                "The authorisation was withdrawn while the copy was being made; there is no copy.",
                "制作期间授权已被撤回，未制作加注件。",
            )

    # -- reading ----------------------------------------------------------------------------------------------------------

    def of_licence(self, actor: Actor, licence_id: str) -> Sequence[dict[str, Any]]:
        """The copies of a licence, newest first: all to whom it belongs and to the authority, to others those made for them.

        :raises NoSuchLicence: none that the caller has to do with
        """
        licence, bearer = self._licence(actor, licence_id, None)
        statement = sa.select(AnnotatedCopyRow).where(AnnotatedCopyRow.licence_id == licence.id)
        if bearer is not None and bearer.standing.role not in OWNERS:
            statement = statement.where(AnnotatedCopyRow.person == bearer.person)
        with self.db.read() as session:
            rows = session.scalars(statement.order_by(AnnotatedCopyRow.id.desc()).limit(1000)).all()
            return [self._shown(session, row) for row in rows]

    def show(self, actor: Actor, copy_id: str) -> dict[str, Any]:
        """One copy. :raises NoSuchCopy: none that the caller has to do with"""
        with self.db.read() as session:
            return self._shown(session, self._seen(session, actor, copy_id)[0])

    def document(self, actor: Actor, copy_id: str) -> bytes:
        """Its PDF. :raises NoSuchCopy: none that the caller has to do with"""
        return self.licences.blobs.get(self.show(actor, copy_id)["document_sha256"])

    def by_check_code(self, typed: str) -> dict[str, Any]:
        """What its printed code says, for the copy with this 查验码: ``{"id", "code"}``. Open to everyone who has the paper.

        :raises BadCheckCode: a slip of the finger; :raises NoSuchCopy: nothing has this 查验码
        """
        wanted = checkcode.parse(typed)
        with self.db.read() as session:
            row = session.scalars(
                sa.select(AnnotatedCopyRow).where(AnnotatedCopyRow.check_code == wanted, AnnotatedCopyRow.region == self.region)
            ).one_or_none()
        if row is None:
            raise NoSuchCopy(
                f"Region {self.region} made no copy with this 查验码. Compare it with the paper; if it agrees, do not rely on"
                " the paper, or ask the region that is named on it.",
                f"本地区（{self.region}）没有使用该查验码的加注件。请与纸面核对；核对无误的，请勿采信，或向纸面所列地区查询。",
            )
        return {"id": row.id, "code": row.code}

    # -- the end of a copy ------------------------------------------------------------------------------------------------

    def withdraw(self, actor: Actor, copy_id: str, *, present: str | None = None) -> dict[str, Any]:
        """Withdraw a copy: its place in the status list says so, and its sealed document is voided. Again changes nothing.

        :raises NoSuchCopy: none that the caller has to do with; :raises NotAllowed: the rules say no
        """

        def write(session: Session) -> dict[str, Any]:
            row, bearer = self._seen(session, actor, copy_id, present)
            context: dict[str, Any] = {}
            if bearer is not None:
                own = row.person == bearer.person
                context = {"role": bearer.standing.role, "present": bearer.present, "own": own}
            licence = session.get_one(LicenceRow, row.licence_id)
            rule = self.licences.authoriser.require(actor, "licence.copy-withdraw", self._facts(licence), context).rule
            self._end(session, row, actor.id, rule)
            return self._shown(session, row)

        return self.db.run(write)

    def _end(self, session: Session, row: AnnotatedCopyRow, by: str, rule: str | None) -> None:
        if row.withdrawn_at is not None:
            return
        row.withdrawn_at, row.withdrawn_by = self._now(), by
        self.licences.statuses.set(session, StatusRef(row.status_uri, row.status_index), VALUES[WITHDRAWN])
        self.licences.seals.void_within(session, row.impression_id, by=by, rule=rule, reason="加注件已撤回")
        subject = {"annotated_copy": row.id, "licence": row.licence_id, "document": row.document_sha256}
        self.licences.audit.append(session, kind="licence.copy-withdrawn", actor=by, subject=subject, data={}, rule=rule)
        session.flush()

    def follow_grants(self, session: Session, ended: Iterable[GrantRow], by: str, rule: str | None) -> None:
        """Authorisations ended: the prints that were made by them end with them (``CopyBook.followers``)."""
        wanted = AnnotatedCopyRow.grant_id.in_([one.id for one in ended])
        for row in session.scalars(sa.select(AnnotatedCopyRow).where(wanted, AnnotatedCopyRow.withdrawn_at.is_(None))).all():
            self._end(session, row, by, rule)

    def follow(self, session: Session, licence: LicenceRow) -> None:
        """Something was decided about a licence: the places of its copies will say so too, from when it counts
        (``LicenceService.followers``). A copy that was withdrawn stays withdrawn.
        """
        newest = sa.select(LicenceEventRow).where(LicenceEventRow.licence_id == licence.id).order_by(LicenceEventRow.id.desc())
        event = session.scalars(newest.limit(1)).one()
        alive = (AnnotatedCopyRow.withdrawn_at.is_(None), AnnotatedCopyRow.until > self._now())
        rows = session.scalars(sa.select(AnnotatedCopyRow).where(AnnotatedCopyRow.licence_id == licence.id, *alive))
        for row in rows.all():
            place = StatusRef(row.status_uri, row.status_index)
            self.licences.statuses.set(session, place, VALUES[event.state], at=event.effective_at)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _seen(
        self, session: Session, actor: Actor, copy_id: str, present: str | None = None
    ) -> tuple[AnnotatedCopyRow, Bearer | None]:
        """:raises NoSuchCopy: also for one that the caller may not know of"""
        row = session.get(AnnotatedCopyRow, copy_id)
        nobody = NoSuchCopy("There is no such annotated copy.", "没有该加注件。")
        if row is None or row.region != self.region:
            raise nobody
        try:
            _, bearer = self._licence(actor, row.licence_id, present)
        except NoSuchLicence as exc:
            raise nobody from exc
        if bearer is not None and bearer.standing.role not in OWNERS and row.person != bearer.person:
            raise nobody
        return row, bearer

    def _shown(self, session: Session, row: AnnotatedCopyRow) -> dict[str, Any]:
        licence = session.get_one(LicenceRow, row.licence_id)
        state = state_of(session, licence, self._now())
        return shown(row, licence, state.status if state else "unknown", self._now())
