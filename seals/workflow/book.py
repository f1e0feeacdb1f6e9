"""The book of applications: what other rooms, and the path of a signature, ask of it inside their own transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from policies.matters import Matters
from seals.models import ApplicationDocumentRow, ApplicationRow, ApplicationStepRow, ImpressionRow
from seals.placement import AnyPlacement
from seals.schemas import ApplicationChanged, ApplicationNeeded, NoSuchApplication
from seals.workflow.drafts import content_of, place_as_json, place_from_json
from seals.workflow.states import OPEN, advance, status_after
from store.audit import AuditLog
from store.db import Database, utc_now


@dataclass(frozen=True)
class Bound:
    """The use of a seal that an application allows for one document. Once: ``key`` names it among all uses."""

    application: str
    round: int
    n: int
    placement: AnyPlacement | None
    format: str | None
    suite: str | None
    level: str | None

    @property
    def key(self) -> str:
        return f"use-{self.round}-{self.n}"


class ApplicationBook:
    """Rows of applications, what the rules are told of them, and the mark that one was used."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        *,
        matters: Matters | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.region = region
        self.matters = matters or Matters.load()
        self._now = now

    def row(self, session: Session, application_id: str, *, lock: bool = False) -> ApplicationRow:
        """:raises NoSuchApplication:"""
        row = session.get(ApplicationRow, application_id, with_for_update=lock)
        if row is None or row.region != self.region:
            raise none_such(application_id)
        return row

    def steps(self, session: Session, row: ApplicationRow) -> list[ApplicationStepRow]:
        """Of the present round, in order."""
        table = ApplicationStepRow
        where = (table.application_id == row.id, table.round == row.round)
        return list(session.scalars(sa.select(table).where(*where).order_by(table.n)))

    def documents(self, session: Session, row: ApplicationRow) -> list[ApplicationDocumentRow]:
        """Of the present round, in order."""
        table = ApplicationDocumentRow
        where = (table.application_id == row.id, table.round == row.round)
        return list(session.scalars(sa.select(table).where(*where).order_by(table.n)))

    # -- what the rules are told -----------------------------------------------------------------------------------------

    def facts(self, row: ApplicationRow) -> dict[str, Any]:
        """The application as a resource."""
        return {"id": row.id, "region": row.region, "department": row.department, "status": row.status, "purpose": row.purpose}

    def context(self, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> dict[str, Any]:
        """The circumstances of an act on an application."""
        return {
            "matter": row.matter,
            "application": row.id,
            "handler": row.handler,
            "handlers": sorted(row.handlers),
            "countersigners": sorted({step.department for step in steps if step.step == "countersign"}),
            "sealers": list(self.matters.of(row.matter).sealers),
        }

    def circumstances(
        self,
        application_id: str | None,
        *,
        purpose: str,
        department: str | None = None,
        seal_id: str | None = None,
        document_sha256: str | None = None,
    ) -> dict[str, Any]:
        """What the rules on seals and licences are told of a named application; {} where none is named.

        :param department: whose sign-off counts; the members of another one cannot lend theirs
        :raises ApplicationNeeded: it is for something else, another seal or document, or was put to another department
        """
        if application_id is None:
            return {}
        with self.db.read() as session:
            row = self.row(session, application_id)
            digests = {one.sha256 for one in self.documents(session, row)} | {row.document_sha256} - {None}
        other_seal = row.seal_id is not None and seal_id is not None and row.seal_id != seal_id
        other_document = bool(digests) and document_sha256 not in digests
        other_department = department is not None and row.department != department
        if row.purpose != purpose or other_seal or other_document or other_department:
            raise ApplicationNeeded(
                "The application named is for another purpose, department, seal or document; name the one for this.",
                "所指申请的用途、部门、印章或文件与本次不符；请指明对应的申请。",
                application=application_id,
            )
        return {
            "application": row.id,
            # Sealed and delivered ones were signed off; that each document is sealed once is held elsewhere (take).
            "application_state": "signed-off" if row.status in ("sealed", "delivered") else row.status,
            "handler": row.handler,
            "handlers": sorted(row.handlers),
            "by_rule": (row.signer_off or "").startswith("rule:"),
            "bound": bool(digests),
            "sealers": list(self.matters.of(row.matter).sealers),
            "matter": row.matter,
        }

    def hand_over(self, session: Session, from_account: str, to_account: str, *, actor: str) -> int:
        """岗位交接: open applications pass to a successor, who may no more sign them off than the predecessor; how many."""
        mine = sa.and_(ApplicationRow.handler == from_account, ApplicationRow.status.in_(sorted(OPEN)))
        rows = session.scalars(sa.select(ApplicationRow).where(mine, ApplicationRow.region == self.region)).all()
        for row in rows:
            row.handler, row.handlers = to_account, sorted({*row.handlers, from_account, to_account})
            data = {"from": from_account, "to": to_account, "round": row.round, "content": row.content_sha256}
            subject = {"application": row.id}
            self.audit.append(session, kind="application.handed-over", actor=actor, subject=subject, data=data)
        return len(rows)

    # -- used ------------------------------------------------------------------------------------------------------------

    def use_up(self, session: Session, application_id: str) -> None:
        """Mark a signed-off application as used, in the caller's transaction.

        :raises ApplicationNeeded: it is not signed off (any more)
        """
        row = self.row(session, application_id, lock=True)
        _check_signed_off(row)
        row.status, row.since = "used", self._now()

    def bound(self, application_id: str, document_sha256: str, placement: AnyPlacement | None) -> Bound | None:
        """The use that a signed-off application allows for this document; None where it is for none in particular, or others.

        :raises ApplicationChanged: what was signed off is not what the tables say now, or another place was approved
        """
        with self.db.read() as session:
            row = self.row(session, application_id)
            document = self._document(session, row, document_sha256)
            if document is None:
                return None
            if document.impression_id is None and row.status == "signed-off":
                self._check_unchanged(session, row)
        if document.placement is not None and placement is not None and place_as_json(placement) != document.placement:
            raise _changed("the place of the seal", "盖章位置", application_id)
        place = None if document.placement is None else place_from_json(document.placement)
        fixed = document.size is not None
        level = document.level if fixed else None
        return Bound(row.id, row.round, document.n, place, document.format, document.suite, level)

    def take(self, session: Session, row: ApplicationRow, use: Bound | None, impression: ImpressionRow) -> bool:
        """Mark a document as sealed, in the transaction that commits its impression; whether it was the last one.

        :param use: None for an application that is for no document in particular, which is never used up
        :raises ApplicationNeeded: the application is not signed off any more, or this document was sealed meanwhile
        :raises ApplicationChanged: what was signed off is not what the tables say now
        """
        session.refresh(row, with_for_update=True)
        documents = self.documents(session, row)
        found = [one for one in documents if use and one.n == use.n and one.sha256 == impression.input_sha256]
        _check_signed_off(row)
        if use is None and not documents:
            return False
        if use is None or row.round != use.round or not found or found[0].impression_id is not None:
            raise ApplicationNeeded(
                "The application was changed, or this document sealed, in the meantime; look at it again.",
                "申请已被修改或该文件已经用印；请重新查看。",
                application=row.id,
            )
        self._check_unchanged(session, row)
        document, now = found[0], self._now()
        document.impression_id, document.sealed_sha256, document.sealed_at = impression.id, impression.document_sha256, now
        if any(one.impression_id is None for one in documents):
            return False
        steps = self.steps(session, row)
        for step in steps:
            if step.step == "seal":
                step.state, step.actor, step.at, step.rule = "done", impression.account, now, impression.rule
                step.content_sha256 = row.content_sha256
        advance(steps, now)
        row.status, row.since = status_after(steps), now
        return True

    def _document(self, session: Session, row: ApplicationRow, sha256: str) -> ApplicationDocumentRow | None:
        documents = self.documents(session, row)
        return next((one for one in documents if one.sha256 == sha256), None)

    def _check_unchanged(self, session: Session, row: ApplicationRow) -> None:
        """What the tables say now is what was signed off, as the audit log has it.

        :raises ApplicationChanged: somebody changed a row in the meantime
        """
        steps = self.steps(session, row)
        content = content_of(row, self.documents(session, row), [s.department for s in steps if s.step == "countersign"])
        signed = next((s for s in steps if s.step == "sign-off" and s.state == "done"), None)
        logged = None if signed is None or signed.leaf_id is None else self.audit.entry_in(session, signed.leaf_id)
        told = logged is not None and logged.subject.get("application") == row.id and logged.data.get("content") == content
        if signed is None or not told or content != row.content_sha256 or content != signed.content_sha256:
            raise _changed("something", "内容", row.id)


def _check_signed_off(row: ApplicationRow) -> None:
    if row.status != "signed-off":
        raise ApplicationNeeded(
            f"The application is {row.status}; it must be signed off and not used yet.",
            "该申请尚未签发或已使用；须为已签发且未使用的申请。",
            application=row.id,
        )


def none_such(application_id: str) -> NoSuchApplication:
    """For raising: also where there is one that the caller may not know of."""
    return NoSuchApplication("There is no such application.", "没有该申请。", application=application_id[:64])


def _changed(what: str, what_zh: str, application_id: str) -> ApplicationChanged:
    return ApplicationChanged(
        f"After the sign-off {what} was changed; nothing was sealed. Hand in the application again, and tell the auditor.",
        f"签发之后{what_zh}被改动，未予用印。请重新提交申请，并告知审计员。",
        application=application_id,
    )
