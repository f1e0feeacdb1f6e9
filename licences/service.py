"""Licences: who issues them, the path of issuing one, and its life afterwards."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ca.ports import Generation, Keys
from crypto.errors import Conflict, NotFound, XinyinError
from crypto.suites import Suite
from formats import codes, masking, pdfa
from formats.canonical import canonical_digest, rfc3339
from formats.dates import BEIJING, shown_time
from formats.identifiers import BadIdentifier, LicenceIdentifier
from formats.statuslist import StatusRef
from formats.x509 import Subject
from licences import persons
from licences.annotated_models import AnnotatedCopyRow
from licences.catalogue import CheckedData, LicenceType, catalogue, licence_type
from licences.documents import Issuer, render
from licences.events import (
    IN_FORCE,
    SUPERSEDED,
    SUSPENDED,
    WITHDRAWN,
    LicenceStateRefused,
    check_alive,
    check_may_end,
    effective_time,
    state_at,
)
from licences.models import AuthorityRow, LicenceEventRow, LicenceRow, SerialRow
from licences.statuslists import VALUES, StatusLists
from policies.authorise import Authoriser
from seals.models import SealRow
from seals.ports import Actor
from seals.schemas import Page, page_of
from seals.sealing import Placement, SealedPdf
from seals.service import SealService, SealUse
from store.audit import AuditLog
from store.blobs import Blobs
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt, IntentService, Outcome
from verify.schemas import LicenceStatus

LEVEL = "LTA"
"""Licences must be provable for decades: they carry their validation material and an archive timestamp from the start."""


class NoSuchLicence(NotFound):
    """No licence has this identifier."""

    code = "no-such-licence"


class NoAuthority(Conflict):
    """It is not clear which organ issues this type of licence here."""

    code = "no-licensing-authority"


class NotArchivable(XinyinError):
    """The rendered document breaks a rule of PDF/A-3b; nothing was issued."""

    code = "licence-not-pdfa"


@dataclass(frozen=True)
class _Wish:
    """What was asked for, its data checked."""

    kind: LicenceType
    data: CheckedData
    raw: dict[str, Any]
    authority: AuthorityRow
    matter: str
    application: str | None
    replaces: LicenceRow | None
    people: tuple[persons.LicencePerson, ...] = ()


@dataclass(frozen=True)
class _Order:
    """What is to be issued, decided and checked."""

    kind: LicenceType
    data: CheckedData
    raw: dict[str, Any]
    authority: AuthorityRow
    code_key: Generation
    use: SealUse
    replaces: LicenceRow | None
    people: tuple[persons.LicencePerson, ...] = ()


@dataclass(frozen=True)
class _Issued:
    """What the work of an attempt made."""

    sealed: SealedPdf
    page: bytes
    identifier: LicenceIdentifier
    number: int
    code: str
    status: StatusRef
    at: datetime


class LicenceService:
    """What the outside asks of licences. Also a ``LicenceStatusProvider`` for the verifier (:meth:`status`).

    :param host: where printed codes lead; by default the host of the node's own address
    :param person_key: turns identity numbers into person keys; without it no licence is issued that names somebody by one
    """

    def __init__(
        self,
        db: Database,
        keys: Keys,
        seals: SealService,
        intents: IntentService,
        audit: AuditLog,
        blobs: Blobs,
        authoriser: Authoriser,
        region: str,
        *,
        host: str | None = None,
        person_key: persons.PersonKey | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.statuses = StatusLists(db, seals.ca.config.base_url, region, now=now)
        self.followers: list[Callable[[Session, LicenceRow], None]] = []
        """Called in the transaction of every decision about an issued licence: what rests on it follows it."""
        self._person_key = person_key
        self.keys = keys
        self.seals = seals
        self.intents = intents
        self.audit = audit
        self.blobs = blobs
        self.authoriser = authoriser
        self.region = region
        self.host = host or urlsplit(seals.ca.config.base_url).netloc
        self.sample = authoriser.mode != "production"
        self._now = now

    # -- catalogue and authorities ----------------------------------------------------------------------------------------

    def types(self) -> list[dict[str, Any]]:
        """The catalogue, for anyone: types with their fields."""
        return [
            {
                "type": kind.id,
                "name": kind.name,
                "name_en": kind.name_en,
                "code": kind.type_code,
                "fields": [
                    {
                        "key": f.key,
                        "label": f.label,
                        "label_en": f.label_en,
                        "kind": f.kind,
                        "required": f.required,
                        "choices": list(f.choices),
                    }
                    for f in kind.fields
                ],
            }
            for kind in catalogue().values()
        ]

    def appoint(self, actor: Actor, type: str, *, seal_id: str) -> dict[str, Any]:
        """Let the owner of a seal issue a type of licence: its seal goes on them, a P-256 key of its own signs the codes."""
        kind, seal = licence_type(type), self.seals.show(actor, seal_id)
        self.authoriser.require(actor, "licence.issue", self._facts("", seal["owner_uscc"], kind.id))
        row = self._appointed(kind, seal["id"], lambda _: None)
        return {"type": kind.id, "issuer": row.issuer_name, "issuer_uscc": row.issuer_uscc, "seal_id": row.seal_id}

    def issuing_roles(self) -> list[tuple[str, str]]:
        """``(issuer's name, key role)`` of the keys that sign codes, for the trust list; one role once."""
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(AuthorityRow).where(AuthorityRow.region == self.region).order_by(AuthorityRow.created_at)
            )
            roles = {row.role_id: row.issuer_name for row in rows}
        return [(name, role) for role, name in roles.items()]

    def _authority(self, kind: LicenceType, seal_id: str | None, permit: Callable[[str], object]) -> AuthorityRow:
        """Who issues this type: the organ of the seal named, the one appointed, else the only one that by its name does.

        :param permit: raises unless the caller may issue for the organ with this code; asked before an organ is appointed
        :raises NoAuthority: none, or several
        """
        if seal_id is not None:
            return self._appointed(kind, seal_id, permit)
        with self.db.read() as session:
            known = session.scalars(
                sa.select(AuthorityRow).where(AuthorityRow.type_id == kind.id, AuthorityRow.region == self.region)
            ).all()
            if len(known) == 1:
                return known[0]
            fitting = session.scalars(
                sa.select(SealRow).where(
                    SealRow.region == self.region,
                    SealRow.status == "in-force",
                    SealRow.kind.startswith("statutory"),
                    SealRow.owner_name.contains(kind.issued_by),
                )
            ).all()
        if not known and len(fitting) == 1:
            return self._appointed(kind, fitting[0].id, permit)
        raise NoAuthority(
            f"Name the seal of the organ that issues the {kind.name_en.lower()} (--seal ID): "
            + ("several could." if known or fitting else "none here does yet."),
            f"请指明签发{kind.name}的机关印章（--seal 编号）："
            + ("有多枚可用。" if known or fitting else "本节点尚无可用印章。"),
        )

    def _appointed(self, kind: LicenceType, seal_id: str, permit: Callable[[str], object]) -> AuthorityRow:
        with self.db.read() as session:
            seal = session.scalars(
                sa.select(SealRow).where(sa.or_(SealRow.id == seal_id, SealRow.es_id == seal_id))
            ).one_or_none()
            if seal is None or seal.region != self.region:
                raise NoAuthority(
                    "There is no such seal; `xinyin seal list` shows them.", "没有该印章；可用 `xinyin seal list` 查看。"
                )
            found = session.get(AuthorityRow, (kind.id, seal.owner_uscc))
        if found is not None and found.seal_id == seal.id:
            return found
        permit(seal.owner_uscc)
        row = AuthorityRow(
            type_id=kind.id,
            issuer_uscc=seal.owner_uscc,
            issuer_name=seal.owner_name,
            seal_id=seal.id,
            role_id=found.role_id if found else self._code_key(seal.owner_name, seal.owner_uscc),
            region=self.region,
            created_at=self._now(),
        )
        try:
            return self.db.run(lambda session: session.merge(row))
        except IntegrityError:  # appointed by another request at the same moment: theirs counts
            with self.db.read() as session:
                return session.get_one(AuthorityRow, (kind.id, seal.owner_uscc))

    def _code_key(self, name: str, uscc: str) -> str:
        """The organ's role for codes, the one that is there or a new one with its first key and certificate."""
        role = self.keys.create_role("licence_issuer", Suite.P256, f"licence codes of {uscc}")
        with suppress(XinyinError):
            self.keys.active(role.id)
            return role.id
        generation = self.keys.stage(role.id)
        subject = Subject(f"{name[:54]} 证照签发", organization=name[:64], organization_identifier=uscc)
        self.seals.ca.issue(profile="licence-issuer", generation=generation, subject=subject)
        self.keys.activate(generation.id)
        return role.id

    # -- issuing ----------------------------------------------------------------------------------------------------------

    def issue(
        self,
        actor: Actor,
        type: str,
        data: Mapping[str, Any],
        *,
        seal_id: str | None = None,
        matter: str = "default",
        application: str | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Issue a licence: check, authorise, number, render, sign its code, seal, commit. As plain JSON, and the document.

        :param type: id, Chinese name or type code
        :raises BadLicenceData: every problem with the data at once
        :raises NoAuthority: it is not clear who issues it; name ``seal_id``
        :raises NotAllowed: the rules say no; :raises SealNotInForce: the authority's seal is stopped
        """
        kind = licence_type(type)
        checked = kind.check(data, issued=self._now().astimezone(BEIJING).date())
        authority = self._authority(kind, seal_id, partial(self._permit, actor, "licence.issue", kind, matter, application))
        people = persons.named_by(kind, checked, self._person_key)
        wish = _Wish(kind, checked, kind.kept(data), authority, matter, application, None, people)
        return self._issue(actor, "licence.issue", wish, idempotency_key)

    def change(
        self,
        actor: Actor,
        licence_id: str,
        data: Mapping[str, Any],
        *,
        matter: str = "default",
        application: str | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """变更: a new version with the same serial number; the old one is superseded when the new one is issued.

        :raises LicenceStateRefused: it has ended, or is suspended
        """
        old = self._licence(licence_id, actor)
        kind = licence_type(old.type_id)
        checked = kind.check(data, issued=self._now().astimezone(BEIJING).date())
        with self.db.read() as session:
            authority = session.get_one(AuthorityRow, (old.type_id, old.issuer_uscc))
            people = persons.named_by(kind, checked, self._person_key) or persons.carried_over(session, old, kind, checked)
        wish = _Wish(kind, checked, kind.kept(data), authority, matter, application, old, people)
        return self._issue(actor, "licence.change", wish, idempotency_key)

    def _permit(
        self, actor: Actor, action: str, kind: LicenceType, matter: str, application: str | None, issuer_uscc: str
    ) -> str:
        """The rule that lets the caller issue for this organ. :raises NotAllowed: none does"""
        context = self.seals.applications.circumstances(application, purpose="issue-licence", department=issuer_uscc)
        facts = self._facts("", issuer_uscc, kind.id)
        return self.authoriser.require(actor, action, facts, {"matter": matter, **context}).rule

    def _issue(self, actor: Actor, action: str, wish: _Wish, idempotency_key: str | None) -> tuple[dict[str, Any], bytes]:
        authority = wish.authority
        rule = self._permit(actor, action, wish.kind, wish.matter, wish.application, authority.issuer_uscc)
        use = self.seals.plan(
            actor,
            seal_id=authority.seal_id,
            format=None,
            suite=None,
            level=LEVEL,
            matter=wish.matter,
            application=wish.application,
            rule=rule,
        )
        code_key = self.keys.active(authority.role_id)
        order = _Order(wish.kind, wish.data, wish.raw, authority, code_key, use, wish.replaces, wish.people)
        request: dict[str, Any] = {
            "type": wish.kind.id,
            "data": wish.raw,
            "seal": authority.seal_id,
            "matter": wish.matter,
            "application": wish.application,
            "replaces": wish.replaces.id if wish.replaces else None,
        }
        if wish.people:
            request["persons"] = [[one.relation, one.person] for one in wish.people]

        def work(attempt: Attempt) -> Outcome:
            made = self._make(order, attempt)
            return Outcome(artefact=made.sealed.data, value=made)

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            assert outcome.blob is not None
            return {"id": self._commit(session, order, outcome.value, attempt, outcome.blob)}

        result = self.intents.perform(
            account=actor.id,
            operation=action,
            key=idempotency_key,
            request_digest=canonical_digest(request),
            subject={"type": wish.kind.id, "issuer": authority.issuer_uscc},
            generation_ids=[use.generation.id, order.code_key.id],
            work=work,
            commit=commit,
        )
        assert result.blob is not None
        return self._shown(self._licence(result.result["id"])), self.blobs.get(result.blob)

    def _make(self, order: _Order, attempt: Attempt) -> _Issued:
        """The work of an attempt: number, code, page, seal; PDF/A-3b is checked before the seal and after it."""
        if order.replaces is not None:
            with self.db.read() as session:
                self._check_may_change(session, order.replaces)
        number, status = self._number_and_place(order, attempt)
        version = order.replaces.version + 1 if order.replaces else 1
        now = self._now().replace(microsecond=0)
        issuer = Issuer(order.authority.issuer_name, order.authority.issuer_uscc)
        identifier = LicenceIdentifier.build(
            type_code=order.kind.type_code, issuer_code=issuer.uscc, serial=f"{number:010d}", version=version
        )
        claims = replace(_claims(order, identifier, now, sample=self.sample), status=status, region=self.region)
        code = codes.encode(claims, self.keys.signer(order.code_key.id, attempt), self.host)
        page = render(
            order.kind,
            order.data,
            identifier=identifier,
            issuer=issuer,
            issued=now,
            code_url=code,
            status=status,
            sample=self.sample,
        )
        check_archivable(page)
        sealed = self.seals.seal_within(attempt, order.use, page, Placement(*order.kind.seal_at_mm))
        check_archivable(sealed.data)
        return _Issued(sealed, page, identifier, number, code, status, now)

    def _number_and_place(self, order: _Order, attempt: Attempt) -> tuple[int, StatusRef]:
        """The serial number of this intent and its place in a status list: given once, and found again by whoever carries on
        after a crash. A new version keeps the number of the one before it.
        """

        def allocate(session: Session) -> tuple[int, StatusRef]:
            number = order.replaces.serial if order.replaces else self._number(session, order, attempt)
            return number, self.statuses.allot(session, attempt.intent_id)

        for _ in range(5):
            try:
                return self.db.run(allocate)
            except IntegrityError:
                continue  # another request took that number first (PostgreSQL); take the next
        raise Conflict("Too many licences are being numbered at once; try again.", "同时编号的证照过多，请重试。")

    def _number(self, session: Session, order: _Order, attempt: Attempt) -> int:
        of = (SerialRow.type_id == order.kind.id, SerialRow.issuer_uscc == order.authority.issuer_uscc)
        found = session.scalars(sa.select(SerialRow).where(SerialRow.intent_id == attempt.intent_id)).one_or_none()
        if found is not None and (found.type_id, found.issuer_uscc) == (order.kind.id, order.authority.issuer_uscc):
            return found.number
        if found is not None:  # the request was mended to another authority before anything was signed
            session.delete(found)
            session.flush()
        number = (session.scalar(sa.select(sa.func.max(SerialRow.number)).where(*of)) or 0) + 1
        session.add(
            SerialRow(
                type_id=order.kind.id,
                issuer_uscc=order.authority.issuer_uscc,
                number=number,
                intent_id=attempt.intent_id,
                allocated_at=self._now(),
            )
        )
        session.flush()
        return number

    def _commit(self, session: Session, order: _Order, made: _Issued, attempt: Attempt, blob: str) -> str:
        impression = self.seals.record(session, order.use, attempt, made.sealed, source=made.page, document_sha256=blob)
        session.flush()
        start, end = order.data.day(order.kind.valid_from), order.data.day(order.kind.valid_to)
        row = LicenceRow(
            id=new_id("licence"),
            region=self.region,
            identifier=str(made.identifier),
            type_id=order.kind.id,
            issuer_uscc=order.authority.issuer_uscc,
            issuer_name=order.authority.issuer_name,
            serial=made.number,
            version=made.identifier.version,
            holder_name=order.data.text(order.kind.holder_name),
            holder_code=order.data.text(order.kind.holder_code),
            data=order.raw,
            valid_from=_day_start(start or made.at.astimezone(BEIJING).date()),
            valid_to=_day_start(end) + timedelta(days=1, seconds=-1) if end else None,
            impression_id=impression.id,
            document_sha256=blob,
            code=made.code,
            replaces=order.replaces.id if order.replaces else None,
            intent_id=attempt.intent_id,
            sample=self.sample,
            issued_at=made.at,
            status_uri=made.status.uri,
            status_index=made.status.index,
        )
        session.add(row)
        session.flush()
        persons.write(session, row, order.people)
        self._event(session, row, IN_FORCE, "有效", made.at, "", order.use.account)
        if order.replaces is not None:
            self._check_may_change(session, order.replaces)
            self._event(session, order.replaces, SUPERSEDED, "变更", made.at, row.identifier, order.use.account)
            self._tell(session, order.replaces, "licence.superseded", SUPERSEDED, made.at, replaced_by=row.id)
        if order.use.application is not None:
            self.seals.applications.use_up(session, order.use.application)
        self._audit_issue(session, order, made, row, impression.id, attempt)
        self._tell(session, row, "licence.changed" if order.replaces else "licence.issued", IN_FORCE, made.at)
        return row.id

    def _audit_issue(
        self, session: Session, order: _Order, made: _Issued, row: LicenceRow, impression_id: str, attempt: Attempt
    ) -> None:
        subject = {"licence": row.id, "impression": impression_id, "seal": order.use.seal.id, "document": row.document_sha256}
        self.audit.append(
            session,
            kind="licence.changed" if order.replaces else "licence.issued",
            actor=order.use.account,
            subject=subject | ({"replaces": order.replaces.id} if order.replaces else {}),
            data={
                "identifier": row.identifier,
                "data": canonical_digest(order.raw),
                "unsealed": hashlib.sha256(made.page).hexdigest(),
                "code": hashlib.sha256(made.code.encode()).hexdigest(),
                "generation": order.use.generation.id,
                "code_generation": order.code_key.id,
                "remarks": [r.code for r in order.data.remarks],
                "matter": order.use.matter,
                "application": order.use.application,
                "status": {"uri": row.status_uri, "index": row.status_index},
                "intent": attempt.intent_id,
                "attempt": attempt.number,
            },
            rule=order.use.rule,
        )

    # -- life -------------------------------------------------------------------------------------------------------------

    def suspend(self, actor: Actor, licence_id: str, *, basis: str) -> dict[str, Any]:
        """暂扣, from now."""
        return self._decide(actor, licence_id, "licence.suspend", basis, partial(self._toggle, SUSPENDED))

    def resume(self, actor: Actor, licence_id: str, *, basis: str) -> dict[str, Any]:
        """发还: in force again, from now."""
        return self._decide(actor, licence_id, "licence.resume", basis, partial(self._toggle, IN_FORCE))

    def revoke(
        self, actor: Actor, licence_id: str, *, kind: str, basis: str, effective: datetime | date | None = None
    ) -> dict[str, Any]:
        """End a licence: 撤销, 撤回, 吊销 or 注销, for good.

        :param effective: from when it counts (now by default); only 撤销 may reach back, as far as the issue
        :raises BadEffectiveTime: a past day for a kind that acts forward; :raises LicenceStateRefused: ended already
        """

        def decide(row: LicenceRow, events: Sequence[LicenceEventRow]) -> tuple[str, str, datetime]:
            moment = effective_time(kind, effective, issued_at=row.issued_at, now=self._now())
            check_may_end(events, kind, moment)
            return WITHDRAWN, kind, moment

        return self._decide(actor, licence_id, "licence.revoke", basis, decide)

    def _toggle(self, target: str, row: LicenceRow, events: Sequence[LicenceEventRow]) -> tuple[str, str, datetime]:
        check_alive(events)
        now = self._now()
        present = state_at(row, "", events, now)
        if (present is not None and present.status == SUSPENDED) == (target == SUSPENDED):
            raise LicenceStateRefused(
                "The licence is suspended already." if target == SUSPENDED else "The licence is not suspended.",
                "该证照已处于暂扣状态。" if target == SUSPENDED else "该证照未被暂扣。",
            )
        return target, "暂扣" if target == SUSPENDED else "有效", now

    def _decide(
        self,
        actor: Actor,
        licence_id: str,
        action: str,
        basis: str,
        decide: Callable[[LicenceRow, Sequence[LicenceEventRow]], tuple[str, str, datetime]],
    ) -> dict[str, Any]:
        """Record what was decided about a licence, with its audit leaf."""
        found = self._licence(licence_id, actor)
        rule = self.authoriser.require(actor, action, self._facts(found.id, found.issuer_uscc, found.type_id)).rule

        def write(session: Session) -> None:
            row = session.scalars(sa.select(LicenceRow).where(LicenceRow.id == found.id).with_for_update()).one()
            state, state_zh, moment = decide(row, self._events(session, row.id))
            self._event(session, row, state, state_zh, moment, basis, actor.id)
            self.audit.append(
                session,
                kind=f"{action}{'d' if action.endswith('e') else 'ed'}",
                actor=actor.id,
                subject={"licence": row.id, "document": row.document_sha256},
                data={
                    "identifier": row.identifier,
                    "state": state,
                    "kind": state_zh,
                    "effective": rfc3339(moment),
                    "basis": hashlib.sha256(basis.encode()).hexdigest(),
                },
                rule=rule,
            )
            self._tell(session, row, f"{action}{'d' if action.endswith('e') else 'ed'}", state, moment)

        self.db.run(write)
        return self._shown(found)

    def _tell(self, session: Session, row: LicenceRow, kind: str, state: str, since: datetime, **more: str) -> None:
        """Tell other systems how a licence stands: its identifier and state, nothing of what it says."""
        subject = {"licence": row.id, "impression": row.impression_id, "document": row.document_sha256}
        told = {"status": state, "identifier": row.identifier, "effective_at": rfc3339(since), **more}
        self.seals.outbox.add(session, kind, subject, told, department=row.issuer_uscc)

    # -- reading ----------------------------------------------------------------------------------------------------------

    def show(self, actor: Actor, licence_id: str, *, at: datetime | None = None) -> dict[str, Any]:
        """One licence by ID or identifier; ``at``: its state as of that time.

        :raises NoSuchLicence: none that the caller may know of
        """
        return self._shown(self._licence(licence_id, actor), at)

    def list(self, actor: Actor, *, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see."""
        self.authoriser.require(actor, "licence.list")
        statement = sa.select(LicenceRow).where(LicenceRow.region == self.region).order_by(LicenceRow.id.desc())
        if cursor:
            statement = statement.where(LicenceRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement.limit(limit + 1)).all()

        def shown(row: LicenceRow) -> dict[str, Any] | None:
            return self._shown(row) if self._sees(actor, row) else None

        return page_of(rows, limit, lambda row: str(row.id), shown)

    def status(self, identifier: str, at: datetime) -> LicenceStatus | None:
        """For verifiers: how a licence of ours stood at a time, as known now; None where none was issued here by then."""
        return self.status_at(identifier, at)

    def status_at(self, identifier: str, at: datetime, *, known_at: datetime | None = None) -> LicenceStatus | None:
        """How a licence stood at ``at``; with ``known_at``, as the register had it then."""
        with self.db.read() as session:
            row = session.scalars(sa.select(LicenceRow).where(LicenceRow.identifier == identifier)).one_or_none()
            if row is None:
                return None
            events = self._events(session, row.id)
            copies = session.scalars(
                sa.select(AnnotatedCopyRow.document_sha256).where(AnnotatedCopyRow.licence_id == row.id)
            ).all()
        found = state_at(row, licence_type(row.type_id).name, events, at, known_at=known_at)
        # A copy made for one purpose is this licence too; what it may be used for it says itself.
        return replace(found, documents=(*found.documents, *copies)) if found is not None else None

    def of_person(self, person: str) -> Sequence[dict[str, Any]]:
        """The licences that belong to somebody, newest first, with ``relation`` (representative or holder); no events.

        A version that was superseded is not among them, whoever it names.

        :param person: the person key
        """
        with self.db.read() as session:
            found = persons.licences_of(session, self.region, person)
        return [_without(self._shown(row), "events", "code", "data") | {"relation": relation} for row, relation in found]

    def people(self, licence_id: str) -> Sequence[persons.LicencePerson]:
        """To whom a licence belongs, by its ID or identifier. :raises NoSuchLicence: there is none"""
        row = self._licence(licence_id)
        with self.db.read() as session:
            return persons.of_licence(session, row.id)

    def row(self, licence_id: str, actor: Actor | None = None) -> LicenceRow:
        """The row of a licence, by its ID or identifier, for the rest of this room.

        :raises NoSuchLicence: none, or none that ``actor`` may know of
        """
        return self._licence(licence_id, actor)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _sees(self, actor: Actor, row: LicenceRow) -> bool:
        return self.authoriser.decide(actor, "licence.show", self._facts(row.id, row.issuer_uscc, row.type_id)).allowed

    def _licence(self, licence_id: str, actor: Actor | None = None) -> LicenceRow:
        """:raises NoSuchLicence: none, or none that ``actor`` may know of"""
        with suppress(BadIdentifier):
            licence_id = str(LicenceIdentifier.parse(licence_id))
        with self.db.read() as session:
            row = session.scalars(
                sa.select(LicenceRow).where(
                    sa.or_(LicenceRow.id == licence_id, LicenceRow.identifier == licence_id), LicenceRow.region == self.region
                )
            ).one_or_none()
        if row is None or (actor is not None and not self._sees(actor, row)):
            raise NoSuchLicence(
                "There is no such licence; `xinyin licence list` shows them.", "没有该证照；可用 `xinyin licence list` 查看。"
            )
        return row

    def _check_may_change(self, session: Session, old: LicenceRow) -> None:
        events = self._events(session, old.id)
        check_alive(events)
        present = state_at(old, "", events, self._now())
        if present is not None and present.status == SUSPENDED:
            raise LicenceStateRefused(
                "The licence is suspended; resume it before it is changed.", "该证照处于暂扣状态；请先发还再变更。"
            )

    def _events(self, session: Session, licence_id: str) -> Sequence[LicenceEventRow]:
        return session.scalars(
            sa.select(LicenceEventRow).where(LicenceEventRow.licence_id == licence_id).order_by(LicenceEventRow.id)
        ).all()

    def _event(
        self, session: Session, row: LicenceRow, state: str, state_zh: str, effective: datetime, basis: str, actor: str
    ) -> None:
        """What was decided, in the register, in the published list, and for whatever rests on the licence."""
        session.add(
            LicenceEventRow(
                id=new_id("event"),
                licence_id=row.id,
                state=state,
                state_zh=state_zh,
                effective_at=effective,
                recorded_at=self._now(),
                basis=basis,
                actor=actor,
            )
        )
        session.flush()
        if row.status_uri is not None and row.status_index is not None:
            self.statuses.set(session, StatusRef(row.status_uri, row.status_index), VALUES[state], at=effective)
        for follow in self.followers:
            follow(session, row)

    def _facts(self, licence_id: str, issuer_uscc: str, type_id: str) -> dict[str, Any]:
        """What the rules are told of a licence."""
        return {"id": licence_id, "region": self.region, "department": issuer_uscc, "kind": type_id, "sample": self.sample}

    def _shown(self, row: LicenceRow, at: datetime | None = None) -> dict[str, Any]:
        kind = licence_type(row.type_id)
        with self.db.read() as session:
            events = self._events(session, row.id)
        status = state_at(row, kind.name, events, at or self._now())
        return {
            "id": row.id,
            "identifier": row.identifier,
            "type": row.type_id,
            "type_name": kind.name,
            "status": status.status if status else "not-yet-issued",
            "state_zh": status.state_zh if status else "未签发",
            "since": shown_time(status.since) if status and status.since else None,
            "holder": row.holder_name,
            "holder_code": row.holder_code,
            "issuer": row.issuer_name,
            "issuer_uscc": row.issuer_uscc,
            "serial": f"{row.serial:010d}",
            "version": row.version,
            "issued_at": shown_time(row.issued_at),
            "valid_from": shown_time(row.valid_from),
            "valid_to": shown_time(row.valid_to) if row.valid_to else None,
            "data": row.data,
            "sample": row.sample,
            "impression": row.impression_id,
            "document_sha256": row.document_sha256,
            "blob": row.document_sha256,
            "code": row.code,
            "status_list": {"uri": row.status_uri, "idx": row.status_index} if row.status_uri else None,
            "replaces": row.replaces,
            "events": [
                {
                    "state": e.state,
                    "state_zh": e.state_zh,
                    "effective_at": shown_time(e.effective_at),
                    "recorded_at": shown_time(e.recorded_at),
                    "basis": e.basis,
                    "actor": e.actor,
                }
                for e in events
            ],
        }


def _claims(order: _Order, identifier: LicenceIdentifier, now: datetime, *, sample: bool) -> codes.Claims:
    end = order.data.day(order.kind.valid_to)
    holder, number = order.data.text(order.kind.holder_name), order.data.text(order.kind.number)
    if order.kind.of_a_person:  # a code is read by any telephone that passes: enough to compare, too little to copy
        holder, number = masking.name(holder), masking.number(number)
    return codes.Claims(
        issuer=order.authority.issuer_name,
        subject=str(identifier),
        licence_type=order.kind.name,
        holder=holder,
        number=number,
        issued=now,
        token_id=secrets.token_bytes(8),
        expires=_day_start(end) + timedelta(days=1) if end else None,
        sample=sample,
    )


def _without(shown: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in shown.items() if key not in keys}


def check_archivable(document: bytes) -> None:
    """:raises NotArchivable: it breaks a rule of PDF/A-3b"""
    findings = pdfa.check(document)
    if findings:
        rules = ", ".join(sorted({f.rule for f in findings}))
        raise NotArchivable(
            f"The document breaks rules of PDF/A-3b ({rules}); mend the template. Nothing was issued.",
            f"文件不符合 PDF/A-3b 规则（{rules}）；请修正模板。未签发任何证照。",
            findings=[vars(f) for f in findings[:20]],
        )


def _day_start(day: date) -> datetime:
    return datetime.combine(day, time(), BEIJING)
