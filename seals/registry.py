"""The registry of seals: making them, their states, and what verifiers are told of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ca.ports import Keys
from crypto.suites import Suite
from formats.canonical import canonical_digest
from formats.identifiers import uscc_check
from policies.authorise import Authoriser
from policies.matters import Matters
from seals.making import Made, Order, Workshop, picture_of
from seals.models import SealEventRow, SealKeyRow, SealRow, SealVersionRow
from seals.picture import KINDS, SAMPLE_MARK, Picture
from seals.ports import Actor, Certificates
from seals.remaking import Remaker
from seals.schemas import (
    ApplicationNeeded,
    BadSeal,
    Page,
    SealNotInForce,
    SealStateRefused,
    no_such_seal,
    page_of,
    shown_time,
)
from seals.workflow.book import ApplicationBook
from store.audit import AuditLog
from store.blobs import Blobs
from store.db import Database, utc_now
from store.ids import new_id
from store.intents import Attempt, IntentService, Outcome
from store.outbox import Outbox
from verify.schemas import SealStatus

_CHANGES = {
    "suspend": ({"in-force"}, "suspended"),
    "resume": ({"suspended"}, "in-force"),
    "revoke": ({"in-force", "suspended"}, "revoked"),
}
# Asked for every sealed document, so made once.
_SEAL = sa.select(SealRow).where(
    sa.or_(SealRow.id == sa.bindparam("p_id"), SealRow.es_id == sa.bindparam("p_id")),
    SealRow.region == sa.bindparam("p_region"),
)
_SEALS = SealRow.__table__.c
_STANDING = sa.select(_SEALS.id, _SEALS.name, _SEALS.status, _SEALS.valid_to).where(_SEALS.id == sa.bindparam("p_id"))
_STATUS_ZH = {"preparing": "制作中", "in-force": "使用中", "suspended": "已停用", "revoked": "已注销", "expired": "已过期"}


class SealRegistry:
    """Seals as objects: made, shown, stopped. Also a ``SealStatusProvider`` for the verifier (:meth:`status`)."""

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
        matters: Matters | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.keys = keys
        self.ca = ca
        self.intents = intents
        self.audit = audit
        self.outbox = Outbox(region, now=now)
        self.blobs = blobs
        self.authoriser = authoriser
        self.region = region
        self._now = now
        self.book = ApplicationBook(db, audit, region, matters=matters, now=now)
        self._workshop = Workshop(db, keys, ca, blobs, region, now)
        self._picture = lru_cache(maxsize=64)(self._load_picture)
        self.remaker = Remaker(db, keys, ca, blobs, audit, self._workshop, self._picture, now)

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
        picture: Picture | None = None,
        approved_application: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Make a seal: a key in the token and a certificate for each suite, the picture, the signed SESeal.

        :param name: what is set on the arc; the owner's name by default
        :param label: the horizontal lower line, such as 行政审批专用章
        :param centre: text in place of the star (the tax number of an invoice seal)
        :param sample: the picture says 样本
        :param picture: of the real seal (:func:`seals.picture.imported`) in place of a drawn one; never a sample
        :raises ApplicationNeeded: without that mark and without an application to make this seal that was signed off
        :raises BadPicture: what cannot be drawn; :raises BadSeal: an owner or suite that makes no sense
        """
        order = _order(owner_name, owner_uscc, name, kind, label, centre, suites, sample, approved_application)
        if picture is not None and sample:
            raise BadSeal(
                "The picture of a real seal does not say 样本; such a seal is made on an approved application (sample=False).",
                "真实印章图像不带“样本”字样；此类印章须凭已签发的申请制作（sample=False）。",
            )
        drawn = picture or picture_of(order)
        rule = self._authorise_creation(actor, order)
        request = {**vars(order), "suites": [s.value for s in order.suites], "picture": drawn.sha256}

        def work(attempt: Attempt) -> Outcome:
            return Outcome(value=self._workshop.make(order, drawn, attempt))

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
        context = self.book.circumstances(order.application, purpose="make-seal")
        facts = {"region": self.region, "department": order.owner_uscc, "sample": order.sample, "kind": order.kind}
        if not order.sample and context.get("application_state") != "signed-off":
            raise ApplicationNeeded(
                "A seal without the mark 样本 is made on an application that was signed off; name it (approved_application).",
                "制作不带“样本”字样的印章须有已签发的制章申请；请指明申请编号。",
            )
        if order.application is not None:
            with self.db.read() as session:
                applied = self.book.row(session, order.application).facts
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
            self.book.use_up(session, order.application)
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
            return self._summary(row) if self._sees(actor, row) else None

        return page_of(rows, limit, lambda row: str(row.id), shown)

    def show(self, actor: Actor, seal_id: str) -> dict[str, Any]:
        """One seal with its versions and certificates, by identifier or esID.

        :raises NoSuchSeal: none that the caller may know of
        """
        seal = self._seal(seal_id)
        if not self._sees(actor, seal):
            raise no_such_seal()
        return self._told(seal)

    def _sees(self, actor: Actor, seal: SealRow) -> bool:
        return self.authoriser.decide(actor, "seal.show", self._facts(seal)).allowed

    def _told(self, seal: SealRow) -> dict[str, Any]:
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
                    "created_at": shown_time(v.created_at),
                    **({"record": v.record} if v.record else {}),
                }
                for v in versions
            ],
            "certificates": [_certificate(record) for record in self.ca.records(es_id=seal.es_id)],
            "events": [
                {"status": e.status, "effective_at": shown_time(e.effective_at), "reason": e.reason, "actor": e.actor}
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
        decision = self.authoriser.decide(actor, f"seal.{verb}", self._facts(found))
        if not decision.allowed and not self._sees(actor, found):
            raise no_such_seal()
        rule = decision.require().rule
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
            told = {"status": status, "es_id": seal.es_id, "reason": reason[:2000]}
            self.outbox.add(session, f"seal.{status}", {"seal": seal.id}, told, department=seal.owner_uscc)

        self.db.run(write)
        self._bring_certificates_along(actor, found.es_id, verb, reason)
        return self._told(self._seal(found.id))

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
            versions = session.scalars(sa.select(SealVersionRow.generation_ids).where(SealVersionRow.seal_id == seal.id)).all()
        if event is None:
            return None
        public = [self.keys.generation(g).public_key for g in dict.fromkeys(g for v in versions for g in v)]
        keys = tuple(key.fingerprint for key in public if key is not None)
        status, since = event.status, event.effective_at
        if status != "revoked" and at > seal.valid_to:
            status, since = "expired", seal.valid_to
        name = f"{SAMPLE_MARK} {seal.name}" if seal.sample else seal.name  # a verdict on a sample says so too
        return SealStatus(seal.es_id, name, seal.region, status, since, "register", keys)

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _check_in_force(self, session: Session, seal_id: str) -> None:
        """:raises SealNotInForce: as the register says at this moment"""
        seal = session.connection().execute(_STANDING, {"p_id": seal_id}).one()
        status = "expired" if seal.status == "in-force" and self._now() > seal.valid_to else seal.status
        if status != "in-force":
            raise SealNotInForce(
                f"The seal “{seal.name}” is {status}; it cannot be used.",
                f"印章“{seal.name}”{_STATUS_ZH[status]}，不能使用。",
                seal=seal.id,
                status=status,
            )

    def _seal(self, seal_id: str) -> SealRow:
        with self.db.read() as session:
            row = session.scalars(_SEAL, {"p_id": seal_id, "p_region": self.region}).one_or_none()
        if row is None:
            raise no_such_seal()
        return row

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
            "valid_from": shown_time(row.valid_from),
            "valid_to": shown_time(row.valid_to),
            "created_at": shown_time(row.created_at),
        }


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


def _certificate(record: Any) -> dict[str, Any]:
    return {
        "serial": record.serial,
        "status": record.status,
        "suite": record.certificate.public_key.suite.value,
        "generation": record.generation_id,
        "subject": record.subject,
        "issuer": record.issuer,
        "origin": record.origin,
        "not_before": shown_time(record.not_before),
        "not_after": shown_time(record.not_after),
        "sha256": record.certificate.sha256,
    }
