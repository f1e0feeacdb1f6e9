"""The seal registry, the path of a sealed document, and the register of use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.suites import Suite, default_scheme
from formats.canonical import canonical_digest, rfc3339
from formats.identifiers import uscc_check
from formats.x509 import Certificate
from policies.authorise import Authoriser
from seals.applications import ApplicationService
from seals.making import Made, Order, Workshop, picture_of
from seals.models import ImpressionRow, SealEventRow, SealKeyRow, SealRow, SealVersionRow
from seals.picture import KINDS, Picture
from seals.ports import Actor, Certificates, Generation, Keys
from seals.schemas import (
    ApplicationNeeded,
    BadSeal,
    ImpressionStateRefused,
    NoCertificate,
    NoSuchImpression,
    NoSuchSeal,
    NoSuchSuite,
    Page,
    SealNotInForce,
    SealStateRefused,
    page_of,
)
from seals.sealing import AnyPlacement, SealedPdf, SealingMaterial, seal_pdf
from store.audit import AuditLog
from store.blobs import Blobs
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt, IntentService, Outcome, Result
from verify.schemas import ImpressionStatus, SealStatus

_CHANGES = {
    "suspend": ({"in-force"}, "suspended"),
    "resume": ({"suspended"}, "in-force"),
    "revoke": ({"in-force", "suspended"}, "revoked"),
}
_CERTIFICATE_KEPT_S = 5.0
_STATUS_ZH = {"preparing": "制作中", "in-force": "使用中", "suspended": "已停用", "revoked": "已注销", "expired": "已过期"}


Chain = list[Certificate]


@dataclass(frozen=True)
class SealUse:
    """A decided use of a seal: which key, which form, under which rule. Made by :meth:`SealService.plan`."""

    seal: SealRow
    suite: Suite
    format: str
    level: str
    generation: Generation
    matter: str
    application: str | None
    account: str
    rule: str


class SealService:
    """What the outside asks of seals. Also a ``SealStatusProvider`` for the verifier (:meth:`status`)."""

    def __init__(
        self,
        db: Database,
        keys: Keys,
        ca: Certificates,
        intents: IntentService,
        audit: AuditLog,
        blobs: Blobs,
        authoriser: Authoriser,
        region: str,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.keys = keys
        self.ca = ca
        self.intents = intents
        self.audit = audit
        self.blobs = blobs
        self.authoriser = authoriser
        self.region = region
        self._now = now
        self.applications = ApplicationService(db, audit, authoriser, region, now=now)
        self.impression_statuses = ImpressionStatuses(db)
        self._workshop = Workshop(db, keys, ca, blobs, region, now)
        self._chains: dict[str, tuple[Certificate, Chain, float]] = {}
        self._picture = lru_cache(maxsize=64)(self._load_picture)

    # -- registry -------------------------------------------------------------------------------------------------------

    def create(
        self,
        actor: Actor,
        *,
        owner_name: str,
        owner_uscc: str,
        name: str | None = None,
        kind: str = "statutory",
        label: str | None = None,
        centre: str | None = None,
        suites: Sequence[str] = ("sm2", "rsa", "p256"),
        sample: bool = True,
        approved_application: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Make a seal: a key in the token and a certificate for each suite, the picture, the signed SESeal.

        :param name: what is set on the arc; the owner's name by default
        :param label: the horizontal lower line, such as 行政审批专用章
        :param centre: text in place of the star (the tax number of an invoice seal)
        :param sample: the picture says 样本
        :raises ApplicationNeeded: without that mark and without an application to make this seal that was signed off
        :raises BadPicture: what cannot be drawn; :raises BadSeal: an owner or suite that makes no sense
        """
        order = _order(owner_name, owner_uscc, name, kind, label, centre, suites, sample, approved_application)
        picture = picture_of(order)
        rule = self._authorise_creation(actor, order)
        request = {**vars(order), "suites": [s.value for s in order.suites], "operation": "seal.create"}

        def work(attempt: Attempt) -> Outcome:
            return Outcome(value=self._workshop.make(order, picture, attempt))

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            return {"id": self._put_in_force(session, actor, order, outcome.value, rule)}

        result = self.intents.perform(
            account=actor.id,
            operation="seal.create",
            key=idempotency_key,
            request_digest=canonical_digest(request),
            subject={"owner": order.owner_uscc, "kind": order.kind},
            generation_ids=[],
            work=work,
            commit=commit,
        )
        return self.show(actor, result.result["id"])

    def _authorise_creation(self, actor: Actor, order: Order) -> str:
        context = self.applications.circumstances(order.application, purpose="make-seal")
        facts = {"region": self.region, "department": order.owner_uscc, "sample": order.sample, "kind": order.kind}
        if not order.sample and context.get("application_state") != "signed-off":
            raise ApplicationNeeded(
                "A seal without the mark 样本 is made on an application that was signed off; name it (approved_application).",
                "制作不带“样本”字样的印章须有已签发的制章申请；请指明申请编号。",
            )
        if order.application is not None:
            with self.db.read() as session:
                applied = self.applications.row(session, order.application).facts
            wanted = {"owner_uscc": order.owner_uscc, "name": order.name, "kind": order.kind}
            if any(key in applied and applied[key] != value for key, value in wanted.items()):
                raise ApplicationNeeded(
                    "The application is for another seal; name the one for this.", "该申请针对另一枚印章；请指明对应的申请。"
                )
        return self.authoriser.require(actor, "seal.create", facts, context).rule

    def _put_in_force(self, session: Session, actor: Actor, order: Order, made: Made, rule: str) -> str:
        seal = session.get_one(SealRow, made.seal_id)
        seal.status = "in-force"
        generations = [g.id for g in made.generations.values()]
        session.add(
            SealVersionRow(
                seal_id=seal.id, number=1, ses_blob=made.ses_blob, generation_ids=generations, created_at=self._now()
            )
        )
        self._event(session, seal, "in-force", actor, "made")
        if order.application is not None:
            self.applications.use_up(session, order.application)
        self.audit.append(
            session,
            kind="seal.created",
            actor=actor.id,
            subject={"seal": seal.id, "esid": seal.es_id},
            data={
                "owner": seal.owner_uscc,
                "kind": seal.kind,
                "sample": seal.sample,
                "picture": seal.picture_pdf,
                "ses": made.ses_blob,
                "generations": generations,
                "application": order.application,
            },
            rule=rule,
        )
        return seal.id

    def list(self, actor: Actor, *, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """The register, newest first: what the caller may see."""
        self.authoriser.require(actor, "seal.list")
        statement = sa.select(SealRow).where(SealRow.region == self.region).order_by(SealRow.id.desc()).limit(limit + 1)
        if cursor:
            statement = statement.where(SealRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement).all()

        def shown(row: SealRow) -> dict[str, Any] | None:
            return self._summary(row) if self.authoriser.decide(actor, "seal.show", self._facts(row)).allowed else None

        return page_of(rows, limit, lambda row: str(row.id), shown)

    def show(self, actor: Actor, seal_id: str) -> dict[str, Any]:
        """One seal with its versions and certificates, by identifier or esID.

        :raises NoSuchSeal: none; :raises NotAllowed: not for this caller
        """
        seal = self._seal(seal_id)
        self.authoriser.require(actor, "seal.show", self._facts(seal))
        with self.db.read() as session:
            versions = session.scalars(
                sa.select(SealVersionRow).where(SealVersionRow.seal_id == seal.id).order_by(SealVersionRow.number)
            ).all()
            keys = session.scalars(sa.select(SealKeyRow).where(SealKeyRow.seal_id == seal.id).order_by(SealKeyRow.suite)).all()
            events = session.scalars(
                sa.select(SealEventRow).where(SealEventRow.seal_id == seal.id).order_by(SealEventRow.id)
            ).all()
        return {
            **self._summary(seal),
            "suites": [key.suite for key in keys],
            "versions": [
                {
                    "number": v.number,
                    "ses_sha256": v.ses_blob,
                    "generations": v.generation_ids,
                    "created_at": _time(v.created_at),
                }
                for v in versions
            ],
            "certificates": [_certificate(record) for record in self.ca.records(es_id=seal.es_id)],
            "events": [
                {"status": e.status, "effective_at": _time(e.effective_at), "reason": e.reason, "actor": e.actor}
                for e in events
            ],
        }

    def picture(self, seal_id: str) -> Picture:
        """The seal's picture at true size."""
        return self._picture(self._seal(seal_id).id)

    def suspend(self, actor: Actor, seal_id: str, *, reason: str) -> dict[str, Any]:
        """停用: our own list acts at once, the seal's certificates go on hold. Can be resumed."""
        return self._change(actor, seal_id, "suspend", reason)

    def resume(self, actor: Actor, seal_id: str, *, reason: str) -> dict[str, Any]:
        """恢复 a suspended seal and release its certificates."""
        return self._change(actor, seal_id, "resume", reason)

    def revoke(self, actor: Actor, seal_id: str, *, reason: str) -> dict[str, Any]:
        """注销 for good, with every certificate of the seal."""
        return self._change(actor, seal_id, "revoke", reason)

    def _change(self, actor: Actor, seal_id: str, verb: str, reason: str) -> dict[str, Any]:
        """Record the new state, then bring the certificates along. Asked again after a crash it finishes the second half."""
        found = self._seal(seal_id)
        rule = self.authoriser.require(actor, f"seal.{verb}", self._facts(found)).rule
        allowed, status = _CHANGES[verb]

        def write(session: Session) -> None:
            seal = session.scalars(sa.select(SealRow).where(SealRow.id == found.id).with_for_update()).one()
            if seal.status == status:
                return
            if seal.status not in allowed:
                raise SealStateRefused(
                    f"The seal is {seal.status}; this cannot be done now.",
                    f"印章当前状态为{_STATUS_ZH[seal.status]}，不能执行此操作。",
                    status=seal.status,
                )
            seal.status = status
            self._event(session, seal, status, actor, reason)
            data = {"status": status, "reason": hashlib.sha256(reason.encode()).hexdigest()}
            self.audit.append(
                session,
                kind=f"seal.{status}",
                actor=actor.id,
                subject={"seal": seal.id, "esid": seal.es_id},
                data=data,
                rule=rule,
            )

        self.db.run(write)
        self._bring_certificates_along(actor, found.es_id, verb, reason)
        return self.show(actor, found.id)

    def _bring_certificates_along(self, actor: Actor, es_id: str, verb: str, reason: str) -> None:
        for record in self.ca.records(es_id=es_id, limit=1000):
            if record.origin == "outside":
                continue  # only its own CA can do that; the request to it is kept by the one who sends it
            if verb == "suspend" and record.status == "good":
                self.ca.hold(record.serial, actor=actor.id, reason=reason)
            elif verb == "resume" and record.status == "hold":
                self.ca.release(record.serial, actor=actor.id, reason=reason)
            elif verb == "revoke" and record.status in ("good", "hold"):
                self.ca.revoke(record.serial, "cessationOfOperation", actor=actor.id)

    # -- status for verifiers -------------------------------------------------------------------------------------------

    def status(self, es_id: str, at: datetime) -> SealStatus | None:
        """How a seal of ours stood at a time; None for one that was not made here, or not yet."""
        with self.db.read() as session:
            seal = session.scalars(sa.select(SealRow).where(SealRow.es_id == es_id)).one_or_none()
            if seal is None or seal.status == "preparing":
                return None
            event = session.scalars(
                sa.select(SealEventRow)
                .where(SealEventRow.seal_id == seal.id, SealEventRow.effective_at <= at)
                .order_by(SealEventRow.effective_at.desc(), SealEventRow.id.desc())
                .limit(1)
            ).one_or_none()
        if event is None:
            return None
        status, since = event.status, event.effective_at
        if status != "revoked" and at > seal.valid_to:
            status, since = "expired", seal.valid_to
        return SealStatus(seal.es_id, seal.name, seal.region, status, since, "register")

    # -- sealing --------------------------------------------------------------------------------------------------------

    def apply(
        self,
        actor: Actor,
        document: bytes,
        *,
        seal_id: str,
        format: str | None = None,
        suite: str | None = None,
        level: str = "B",
        placement: AnyPlacement,
        matter: str = "default",
        application: str | None = None,
        idempotency_key: str | None = None,
        attended: bool = True,
        reason: str | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        """Seal a PDF: authorise, intend, sign, commit. The impression as plain JSON, and the sealed document.

        :raises NotAllowed: the rules say no; :raises SealNotInForce: suspended, revoked, expired
        :raises NoSuchSuite: no key for that, or format and suite do not go together
        :raises XinyinError: by name, whatever :func:`seals.sealing.seal_pdf` finds wrong with document or place
        """
        digest = hashlib.sha256(document).hexdigest()
        use = self.plan(
            actor,
            seal_id=seal_id,
            format=format,
            suite=suite,
            level=level,
            matter=matter,
            application=application,
            attended=attended,
            document_sha256=digest,
        )
        request = {
            "document": digest,
            "seal": use.seal.id,
            "format": use.format,
            "suite": use.suite.value,
            "level": level,
            "placement": repr(placement),
            "matter": matter,
            "application": application,
            "reason": reason,
        }
        self.blobs.put(document)

        def work(attempt: Attempt) -> Outcome:
            sealed = self.seal_within(attempt, use, document, placement, reason=reason)
            return Outcome(artefact=sealed.data, value=sealed)

        def commit(session: Session, outcome: Outcome, attempt: Attempt) -> dict[str, Any]:
            assert outcome.blob is not None
            row = self.record(session, use, attempt, outcome.value, source=document, document_sha256=outcome.blob)
            self._audit_impression(session, use, row)
            return _impression(row)

        result = self.intents.perform(
            account=actor.id,
            operation="seal.apply",
            key=idempotency_key,
            request_digest=canonical_digest(request),
            subject={"document": digest, "seal": use.seal.id},
            generation_ids=[use.generation.id],
            work=work,
            commit=commit,
        )
        return result.result, self._artefact(result)

    def plan(
        self,
        actor: Actor,
        *,
        seal_id: str,
        format: str | None,
        suite: str | None,
        level: str,
        matter: str = "default",
        application: str | None = None,
        attended: bool = True,
        document_sha256: str | None = None,
        rule: str | None = None,
    ) -> SealUse:
        """Decide a use of a seal; nothing is written yet.

        :param rule: the rule by which another room (a licence being issued) has already allowed it
        """
        seal = self._seal(seal_id)
        chosen, form = self._form(seal, format, suite)
        if rule is None:
            context = self.applications.circumstances(
                application, purpose="use-seal", seal_id=seal.id, document_sha256=document_sha256
            )
            context = {"matter": matter, **context, "attended": attended, "format": form, "level": level}
            matter = context["matter"]  # an application is for one matter: that of the application counts
            rule = self.authoriser.require(actor, "seal.apply", self._facts(seal), context).rule
        with self.db.read() as session:
            key = session.get_one(SealKeyRow, (seal.id, chosen.value))
        generation = self.keys.active(key.role_id)
        return SealUse(seal, chosen, form, level, generation, matter, application, actor.id, rule)

    def seal_within(
        self, attempt: Attempt, use: SealUse, document: bytes, placement: AnyPlacement, *, reason: str | None = None
    ) -> SealedPdf:
        """The signing step of an attempt: the seal's state is looked at here, at the time of the signature."""
        self._check_in_force(self._seal(use.seal.id))
        certificate, chain = self._certified(use)
        material = SealingMaterial(
            signer=self.keys.signer(use.generation.id, attempt),
            scheme=default_scheme(use.suite),
            certificate=certificate,
            chain=chain,
            picture=self._picture(use.seal.id),
            es_id=use.seal.es_id,
            seal_name=use.seal.name,
        )
        return seal_pdf(
            document,
            material,
            placement,
            when=self._now(),
            format=use.format,  # type: ignore[arg-type]
            level=use.level,  # type: ignore[arg-type]
            reason=reason,
            timestamps=self.ca,
            revocation=self.ca,
        )

    def record(
        self,
        session: Session,
        use: SealUse,
        attempt: Attempt,
        sealed: SealedPdf,
        *,
        source: bytes,
        document_sha256: str,
    ) -> ImpressionRow:
        """The row of an impression, in the transaction that commits it; a seal that was stopped meanwhile seals nothing.

        :param source: the document as it came
        :param document_sha256: of the sealed file
        """
        self._check_in_force(session.scalars(sa.select(SealRow).where(SealRow.id == use.seal.id)).one())
        row = ImpressionRow(
            id=new_id("impression"),
            region=self.region,
            seal_id=use.seal.id,
            intent_id=attempt.intent_id,
            attempt=attempt.number,
            generation_id=use.generation.id,
            certificate_sha256=self._certified(use)[0].sha256,
            suite=use.suite.value,
            format=use.format,
            level=use.level,
            input_sha256=hashlib.sha256(source).hexdigest(),
            document_sha256=document_sha256,
            revision_sha256=_signed_revision(sealed.data, source),
            field=sealed.field_name,
            page=sealed.page,
            writer=sealed.writer,
            matter=use.matter,
            application_id=use.application,
            account=use.account,
            rule=use.rule,
            status="valid",
            created_at=self._now(),
        )
        session.add(row)
        return row

    def _audit_impression(self, session: Session, use: SealUse, row: ImpressionRow) -> None:
        self.audit.append(
            session,
            kind="seal.applied",
            actor=use.account,
            subject={"impression": row.id, "seal": use.seal.id, "document": row.document_sha256},
            data={
                "input": row.input_sha256,
                "revision": row.revision_sha256,
                "generation": row.generation_id,
                "certificate": row.certificate_sha256,
                "suite": row.suite,
                "format": row.format,
                "level": row.level,
                "matter": row.matter,
                "application": row.application_id,
                "intent": row.intent_id,
                "attempt": row.attempt,
            },
            rule=use.rule,
        )

    def _form(self, seal: SealRow, format: str | None, suite: str | None) -> tuple[Suite, str]:
        """Suite and format, the defaults filled in: PAdES with RSA, else with P-256; gm where SM2 is the only suite."""
        with self.db.read() as session:
            keys = session.scalars(sa.select(SealKeyRow).where(SealKeyRow.seal_id == seal.id)).all()
        own = {Suite(key.suite) for key in keys}
        wanted = suite or ("sm2" if (format or "").startswith("gm") else None)
        fitting = [Suite.RSA, Suite.P256] if format == "pades" else [Suite.RSA, Suite.P256, Suite.SM2]
        chosen = (
            next((s for s in fitting if s in own), None)
            if wanted is None
            else next((s for s in own if s.value == wanted), None)
        )
        if chosen is None:
            have = ", ".join(sorted(s.value for s in own))
            raise NoSuchSuite(
                f"The seal has keys for {have}; choose one of them (and gm for sm2, pades for the others).",
                f"该印章的密钥为 {have}；请从中选择（sm2 用 gm，其他用 pades）。",
                suites=sorted(s.value for s in own),
            )
        form = format or ("gm" if chosen is Suite.SM2 else "pades")
        if (chosen is Suite.SM2) != form.startswith("gm"):
            raise NoSuchSuite(
                f"Format {form} does not go with {chosen.value}: gm and gm35275 take sm2, pades takes rsa and p256.",
                f"格式 {form} 不适用于 {chosen.value}：gm、gm35275 用 sm2，pades 用 rsa、p256。",
            )
        return chosen, form

    def _certified(self, use: SealUse) -> tuple[Certificate, Chain]:
        """The newest certificate of the key that is good and valid now, and its chain (issuer first). Asked again after five
        seconds: a certificate that was revoked by itself, without its seal, signs no longer than that.
        """
        kept, moment = self._chains.get(use.generation.id), monotonic()
        if kept is not None and moment - kept[2] < _CERTIFICATE_KEPT_S and kept[0].valid_at(self._now()):
            return kept[0], kept[1]
        for certificate in self.ca.usable(use.generation.id, es_id=use.seal.es_id)[:1]:
            chain = kept[1] if kept is not None and kept[0] == certificate else [*self.ca.chain(certificate)][1:]
            self._chains[use.generation.id] = certificate, chain, moment
            return certificate, chain
        raise NoCertificate(
            "The seal's key has no certificate that is valid now; have it renewed.", "印章密钥没有当前有效的证书；请更新证书。"
        )

    def _check_in_force(self, seal: SealRow) -> None:
        status = "expired" if seal.status == "in-force" and self._now() > seal.valid_to else seal.status
        if status != "in-force":
            raise SealNotInForce(
                f"The seal “{seal.name}” is {status}; it cannot be used.",
                f"印章“{seal.name}”{_STATUS_ZH[status]}，不能使用。",
                seal=seal.id,
                status=status,
            )

    # -- impressions ----------------------------------------------------------------------------------------------------

    def list_impressions(
        self, actor: Actor, *, seal_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[dict[str, Any]]:
        """The register of use, newest first: what the caller may see."""
        self.authoriser.require(actor, "impression.list")
        statement = (
            sa.select(ImpressionRow, SealRow)
            .join(SealRow, SealRow.id == ImpressionRow.seal_id)
            .where(ImpressionRow.region == self.region)
            .order_by(ImpressionRow.id.desc())
            .limit(limit + 1)
        )
        if seal_id:
            statement = statement.where(ImpressionRow.seal_id == self._seal(seal_id).id)
        if cursor:
            statement = statement.where(ImpressionRow.id < cursor)
        with self.db.read() as session:
            rows = session.execute(statement).all()

        def shown(row: Any) -> dict[str, Any] | None:
            facts = self._facts(row.SealRow) | {"id": row.ImpressionRow.id}
            return _impression(row.ImpressionRow) if self.authoriser.decide(actor, "impression.show", facts).allowed else None

        return page_of(rows, limit, lambda row: str(row.ImpressionRow.id), shown)

    def show_impression(self, actor: Actor, impression_id: str) -> dict[str, Any]:
        """:raises NoSuchImpression: none; :raises NotAllowed: not for this caller"""
        row, seal = self._impression(impression_id)
        self.authoriser.require(actor, "impression.show", self._facts(seal) | {"id": row.id})
        return _impression(row)

    def void(self, actor: Actor, impression_id: str, *, reason: str, replaced_by: str | None = None) -> dict[str, Any]:
        """Void a sealed document, or name the impression that replaces it. Nothing is deleted; verifiers see it at once.

        :raises ImpressionStateRefused: voided or replaced already
        """
        found, seal = self._impression(impression_id)
        rule = self.authoriser.require(actor, "impression.void", self._facts(seal) | {"id": found.id}).rule
        if replaced_by is not None and (replaced_by == found.id or self._impression(replaced_by)[0].status != "valid"):
            raise ImpressionStateRefused(
                "The impression that replaces it must be another one that is valid.", "替换件须为另一份有效的用印文件。"
            )

        def write(session: Session) -> ImpressionRow:
            row = session.get_one(ImpressionRow, found.id)
            if row.status != "valid":
                raise ImpressionStateRefused(
                    f"The impression is {row.status} already.", "该用印文件已作废或已被替换。", status=row.status
                )
            row.status = "replaced" if replaced_by else "voided"
            row.reason, row.replaced_by, row.voided_at = reason, replaced_by, self._now()
            self.audit.append(
                session,
                kind=f"impression.{row.status}",
                actor=actor.id,
                subject={"impression": row.id, "seal": row.seal_id, "document": row.document_sha256},
                data={"reason": hashlib.sha256(reason.encode()).hexdigest(), "replaced_by": replaced_by},
                rule=rule,
            )
            return row

        return _impression(self.db.run(write))

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _seal(self, seal_id: str) -> SealRow:
        with self.db.read() as session:
            row = session.scalars(
                sa.select(SealRow).where(sa.or_(SealRow.id == seal_id, SealRow.es_id == seal_id), SealRow.region == self.region)
            ).one_or_none()
        if row is None:
            raise NoSuchSeal(
                "There is no such seal; `xinyin seal list` shows them.", "没有该印章；可用 `xinyin seal list` 查看。"
            )
        return row

    def _impression(self, impression_id: str) -> tuple[ImpressionRow, SealRow]:
        with self.db.read() as session:
            row = session.get(ImpressionRow, impression_id)
            if row is None or row.region != self.region:
                raise NoSuchImpression("There is no such impression.", "没有该用印记录。")
            return row, session.get_one(SealRow, row.seal_id)

    def _facts(self, seal: SealRow) -> dict[str, Any]:
        """What the rules are told of a seal."""
        return {
            "id": seal.id,
            "region": seal.region,
            "department": seal.owner_uscc,
            "sample": seal.sample,
            "status": seal.status,
            "kind": seal.kind,
        }

    def _event(self, session: Session, seal: SealRow, status: str, actor: Actor, reason: str) -> None:
        now = self._now()
        session.add(
            SealEventRow(
                id=new_id("event"),
                seal_id=seal.id,
                status=status,
                effective_at=now,
                recorded_at=now,
                actor=actor.id,
                reason=reason,
            )
        )

    def _load_picture(self, seal_id: str) -> Picture:
        row = self._seal(seal_id)
        pdf, png, svg = (self.blobs.get(b) for b in (row.picture_pdf, row.picture_png, row.picture_svg))
        return Picture(row.width_mm, row.height_mm, pdf, png, svg, row.picture_pdf)

    def _artefact(self, result: Result) -> bytes:
        assert result.blob is not None
        return self.blobs.get(result.blob)

    def _summary(self, row: SealRow) -> dict[str, Any]:
        expired = row.status == "in-force" and self._now() > row.valid_to
        return {
            "id": row.id,
            "es_id": row.es_id,
            "name": row.name,
            "label": row.label,
            "kind": row.kind,
            "status": "expired" if expired else row.status,
            "sample": row.sample,
            "owner_name": row.owner_name,
            "owner_uscc": row.owner_uscc,
            "region": row.region,
            "picture": {"sha256": row.picture_pdf, "width_mm": row.width_mm, "height_mm": row.height_mm},
            "valid_from": _time(row.valid_from),
            "valid_to": _time(row.valid_to),
            "created_at": _time(row.created_at),
        }


class ImpressionStatuses:
    """The public state of sealed documents: an ``ImpressionStatusProvider`` for the verifier."""

    def __init__(self, db: Database) -> None:
        self.db = db

    def status(self, document_sha256: str) -> ImpressionStatus | None:
        """By the digest of the file up to the end of what a signature covers; None for what was not sealed here."""
        with self.db.read() as session:
            row = session.scalars(
                sa.select(ImpressionRow).where(ImpressionRow.revision_sha256 == document_sha256).limit(1)
            ).one_or_none()
        if row is None:
            return None
        return ImpressionStatus(row.status, row.voided_at, row.reason or "", row.replaced_by)


def _order(
    owner_name: str,
    owner_uscc: str,
    name: str | None,
    kind: str,
    label: str | None,
    centre: str | None,
    suites: Sequence[str],
    sample: bool,
    application: str | None,
) -> Order:
    owner_name, owner_uscc = owner_name.strip(), owner_uscc.strip().upper()
    if not owner_name or any(r.code == "uscc-form" for r in uscc_check(owner_uscc)):
        raise BadSeal(
            "A seal needs its owner's name and 18-character unified social credit code.",
            "须提供印章所有者名称和 18 位统一社会信用代码。",
        )
    known = [s.value for s in Suite]
    if not suites or any(s not in known for s in suites) or kind not in KINDS:
        raise BadSeal(
            f"Choose suites out of {', '.join(known)} and a kind out of {', '.join(KINDS)}.",
            f"算法套件请从 {'、'.join(known)} 中选择，类别请从 {'、'.join(KINDS)} 中选择。",
        )
    chosen = tuple(s for s in Suite if s.value in suites)
    return Order(
        owner_name, owner_uscc, (name or owner_name).strip(), kind, label or "", centre or "", chosen, sample, application
    )


_BYTE_RANGE = re.compile(rb"/ByteRange\s*\[\s*0+\s+\d+\s+(\d+)\s+(\d+)\s*\]")


def _signed_revision(sealed: bytes, source: bytes) -> str:
    """SHA-256 of the file up to the end of what the new signature covers: the first /ByteRange behind the document as it came.

    A damaged file was written anew before it was sealed: only unsigned files are, so the first one is ours there too.
    """
    found = _BYTE_RANGE.search(sealed, len(source) if sealed.startswith(source) else 0)
    end = int(found[1]) + int(found[2]) if found else len(sealed)
    return hashlib.sha256(memoryview(sealed)[:end]).hexdigest()


def _time(moment: datetime) -> str:
    return rfc3339(moment.replace(microsecond=0))


def _certificate(record: Any) -> dict[str, Any]:
    return {
        "serial": record.serial,
        "status": record.status,
        "suite": record.certificate.public_key.suite.value,
        "generation": record.generation_id,
        "subject": record.subject,
        "issuer": record.issuer,
        "origin": record.origin,
        "not_before": _time(record.not_before),
        "not_after": _time(record.not_after),
        "sha256": record.certificate.sha256,
    }


def _impression(row: ImpressionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "seal_id": row.seal_id,
        "suite": row.suite,
        "format": row.format,
        "level": row.level,
        "input_sha256": row.input_sha256,
        "document_sha256": row.document_sha256,
        "blob": row.document_sha256,
        "field": row.field,
        "page": row.page,
        "matter": row.matter,
        "application": row.application_id,
        "generation": row.generation_id,
        "intent": row.intent_id,
        "attempt": row.attempt,
        "rule": row.rule,
        "account": row.account,
        "reason": row.reason,
        "replaced_by": row.replaced_by,
        "voided_at": _time(row.voided_at) if row.voided_at else None,
        "created_at": _time(row.created_at),
    }
