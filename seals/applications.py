"""Applications 申请: handled 经办 by one, signed off 签发 by another; production wants one before a seal is made or used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from formats.canonical import canonical_digest, rfc3339
from policies.authorise import Authoriser
from seals.models import ApplicationRow
from seals.ports import Actor
from seals.schemas import ApplicationNeeded, ApplicationStateRefused, BadApplication, NoSuchApplication, Page, page_of
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

PURPOSES = {"make-seal": "印章制作", "use-seal": "用印", "issue-licence": "办证"}


class ApplicationService:
    """Puts, signs off and refuses applications. A signed-off application to make a seal serves once."""

    def __init__(
        self, db: Database, audit: AuditLog, authoriser: Authoriser, region: str, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.region = region
        self._now = now

    def submit(
        self,
        actor: Actor,
        *,
        purpose: str,
        department: str,
        matter: str = "default",
        seal_id: str | None = None,
        document_sha256: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Put an application to a department (its social credit code).

        :param purpose: ``make-seal``, ``use-seal`` or ``issue-licence``
        :param document_sha256: of the document to be sealed; without it any document of the matter
        :param facts: what is applied for, plain JSON: for a seal ``{"owner_name", "owner_uscc", "name", "kind"}``
        :raises BadApplication: an unknown purpose, or no seal named where one is to be used
        """
        if purpose not in PURPOSES or (purpose == "use-seal" and not seal_id):
            raise BadApplication(
                f"An application is to {', '.join(PURPOSES)}; one to use a seal names the seal.",
                f"申请用途为{'、'.join(PURPOSES.values())}；用印申请须指明印章。",
            )
        if document_sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", document_sha256):
            raise BadApplication("The document's digest is 64 hex digits.", "文件摘要应为 64 位十六进制数。")
        decision = self.authoriser.require(actor, "application.submit", self._facts("", department))

        def write(session: Session) -> ApplicationRow:
            row = ApplicationRow(
                id=new_id("application"),
                region=self.region,
                purpose=purpose,
                status="submitted",
                department=department,
                matter=matter,
                seal_id=seal_id,
                document_sha256=document_sha256,
                facts=dict(facts or {}),
                handler=actor.id,
                created_at=self._now(),
            )
            session.add(row)
            self._record(session, "application.submitted", actor, row, decision.rule)
            return row

        return _shown(self.db.run(write))

    def sign_off(self, actor: Actor, application_id: str) -> dict[str, Any]:
        """签发. :raises ApplicationStateRefused: not waiting for it"""
        return self._decide(actor, application_id, "application.sign-off", "signed-off", None)

    def refuse(self, actor: Actor, application_id: str, *, reason: str) -> dict[str, Any]:
        """退回, with the reason. :raises ApplicationStateRefused: not waiting for a decision"""
        return self._decide(actor, application_id, "application.refuse", "refused", reason)

    def show(self, actor: Actor, application_id: str) -> dict[str, Any]:
        """:raises NoSuchApplication: none that the caller may know of"""
        with self.db.read() as session:
            row = self.row(session, application_id)
        if not self._sees(actor, row):
            raise _none(application_id)
        return _shown(row)

    def list(self, actor: Actor, *, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see."""
        self.authoriser.require(actor, "application.list")
        statement = sa.select(ApplicationRow).order_by(ApplicationRow.id.desc()).limit(limit + 1)
        if cursor:
            statement = statement.where(ApplicationRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement).all()
        return page_of(rows, limit, lambda row: str(row.id), lambda row: _shown(row) if self._sees(actor, row) else None)

    # -- for the rooms that act on applications --------------------------------------------------------------------------

    def row(self, session: Session, application_id: str) -> ApplicationRow:
        """:raises NoSuchApplication:"""
        row = session.get(ApplicationRow, application_id)
        if row is None or row.region != self.region:
            raise _none(application_id)
        return row

    def circumstances(
        self,
        application_id: str | None,
        *,
        purpose: str,
        department: str | None = None,
        seal_id: str | None = None,
        document_sha256: str | None = None,
    ) -> dict[str, Any]:
        """What the rules are told of a named application; {} where none is named.

        :param department: whose sign-off counts; the members of another one cannot lend theirs
        :raises ApplicationNeeded: it is for something else, another seal or document, or was put to another department
        """
        if application_id is None:
            return {}
        with self.db.read() as session:
            row = self.row(session, application_id)
        other_seal = row.seal_id is not None and seal_id is not None and row.seal_id != seal_id
        other_document = row.document_sha256 is not None and row.document_sha256 != document_sha256
        other_department = department is not None and row.department != department
        if row.purpose != purpose or other_seal or other_document or other_department:
            raise ApplicationNeeded(
                "The application named is for another purpose, department, seal or document; name the one for this.",
                "所指申请的用途、部门、印章或文件与本次不符；请指明对应的申请。",
                application=application_id,
            )
        return {
            "application": row.id,
            "application_state": row.status,
            "handler": row.handler,
            "matter": row.matter,
        }

    def use_up(self, session: Session, application_id: str) -> None:
        """Mark a signed-off application as used, in the caller's transaction.

        :raises ApplicationNeeded: it is not signed off (any more)
        """
        row = self.row(session, application_id)
        if row.status != "signed-off":
            raise ApplicationNeeded(
                f"The application is {row.status}; it must be signed off and not used yet.",
                "该申请尚未签发或已使用；须为已签发且未使用的申请。",
                application=application_id,
            )
        row.status = "used"

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _decide(self, actor: Actor, application_id: str, action: str, status: str, reason: str | None) -> dict[str, Any]:
        with self.db.read() as session:
            row = self.row(session, application_id)
        decision = self.authoriser.require(actor, action, self._facts(row.id, row.department), {"handler": row.handler})

        def write(session: Session) -> ApplicationRow:
            row = self.row(session, application_id)
            if row.status != "submitted":
                raise ApplicationStateRefused(
                    f"The application is {row.status} already.", "该申请已处理，不能再次签发或退回。", status=row.status
                )
            row.status, row.signer_off, row.reason, row.decided_at = status, actor.id, reason, self._now()
            self._record(session, f"application.{status}", actor, row, decision.rule)
            return row

        return _shown(self.db.run(write))

    def _sees(self, actor: Actor, row: ApplicationRow) -> bool:
        return self.authoriser.decide(actor, "application.show", self._facts(row.id, row.department)).allowed

    def _facts(self, application_id: str, department: str) -> dict[str, Any]:
        return {"id": application_id, "region": self.region, "department": department}

    def _record(self, session: Session, kind: str, actor: Actor, row: ApplicationRow, rule: str) -> None:
        data = {"purpose": row.purpose, "matter": row.matter, "document": row.document_sha256, "facts": _digest(row.facts)}
        subject = {"application": row.id} | ({"seal": row.seal_id} if row.seal_id else {})
        self.audit.append(session, kind=kind, actor=actor.id, subject=subject, data=data, rule=rule)


def _digest(facts: Mapping[str, Any]) -> str:
    return canonical_digest(dict(facts))


def _none(application_id: str) -> NoSuchApplication:
    return NoSuchApplication("There is no such application.", "没有该申请。", application=application_id[:64])


def _shown(row: ApplicationRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "purpose": row.purpose,
        "department": row.department,
        "matter": row.matter,
        "seal_id": row.seal_id,
        "document_sha256": row.document_sha256,
        "facts": row.facts,
        "handler": row.handler,
        "signer_off": row.signer_off,
        "reason": row.reason,
        "created_at": rfc3339(row.created_at),
        "decided_at": rfc3339(row.decided_at) if row.decided_at else None,
    }
