"""Impressions 电子签章: the register of use, its states, and what verifiers are told of a sealed document."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from seals.models import ImpressionRow, SealRow
from seals.ports import Actor
from seals.registry import SealRegistry
from seals.schemas import ImpressionStateRefused, NoSuchImpression, Page, page_of, shown_time
from store.db import Database
from verify.schemas import ImpressionStatus


class Impressions(SealRegistry):
    """The registry of seals with what was sealed by them."""

    @cached_property
    def impression_statuses(self) -> ImpressionStatuses:
        """Tells verifiers whether a sealed document still stands."""
        return ImpressionStatuses(self.db)

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
            seen = self._sees_impression(actor, row.ImpressionRow, row.SealRow)
            return impression_json(row.ImpressionRow) if seen else None

        return page_of(rows, limit, lambda row: str(row.ImpressionRow.id), shown)

    def show_impression(self, actor: Actor, impression_id: str) -> dict[str, Any]:
        """:raises NoSuchImpression: none that the caller may know of"""
        return impression_json(self._seen_impression(actor, impression_id)[0])

    def void(self, actor: Actor, impression_id: str, *, reason: str, replaced_by: str | None = None) -> dict[str, Any]:
        """Void a sealed document, or name the impression that replaces it. Nothing is deleted; verifiers see it at once.

        :raises ImpressionStateRefused: voided or replaced already
        """
        found, seal = self._seen_impression(actor, impression_id)
        facts, context = self._facts(seal) | {"id": found.id}, {"matter": found.matter}
        rule = self.authoriser.require(actor, "impression.void", facts, context).rule
        if replaced_by is not None:
            other, its_seal = self._seen_impression(actor, replaced_by)
            if other.id == found.id or other.status != "valid" or its_seal.owner_uscc != seal.owner_uscc:
                raise ImpressionStateRefused(
                    "The impression that replaces it must be another one of the same department that is valid.",
                    "替换件须为同一部门另一份有效的用印文件。",
                )

        def write(session: Session) -> ImpressionRow:
            row = session.get_one(ImpressionRow, found.id, with_for_update=True)
            self._end(session, row, seal, actor.id, rule, reason, replaced_by)
            return row

        return impression_json(self.db.run(write))

    def void_within(self, session: Session, impression_id: str, *, by: str, rule: str | None, reason: str) -> None:
        """Void a sealed document as part of what another room does under a rule of its own. One that ended before stays."""
        row = session.get_one(ImpressionRow, impression_id, with_for_update=True)
        if row.status == "valid":
            self._end(session, row, session.get_one(SealRow, row.seal_id), by, rule, reason, None)

    def _end(
        self,
        session: Session,
        row: ImpressionRow,
        seal: SealRow,
        by: str,
        rule: str | None,
        reason: str,
        replaced_by: str | None,
    ) -> None:
        """Void or replace, in the caller's transaction, with the leaf and the event that tells relying parties.

        :raises ImpressionStateRefused: voided or replaced already
        """
        if row.status != "valid":
            raise ImpressionStateRefused(
                f"The impression is {row.status} already.", "该用印文件已作废或已被替换。", status=row.status
            )
        row.status = "replaced" if replaced_by else "voided"
        row.reason, row.replaced_by, row.voided_at = reason, replaced_by, self._now()
        kind, subject = f"impression.{row.status}", {"impression": row.id, "seal": row.seal_id, "document": row.document_sha256}
        if row.application_id:
            subject["application"] = row.application_id
        data = {"reason": hashlib.sha256(reason.encode()).hexdigest(), "replaced_by": replaced_by}
        self.audit.append(session, kind=kind, actor=by, subject=subject, data=data, rule=rule)
        told = {
            "status": row.status,
            "reason": reason[:2000],
            "replaced_by": replaced_by,
        }  # the reason is as public as the state
        self.outbox.add(session, kind, subject, told, department=seal.owner_uscc, matter=row.matter)

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _seen_impression(self, actor: Actor, impression_id: str) -> tuple[ImpressionRow, SealRow]:
        """:raises NoSuchImpression: also for one of another department, which the caller may not know of"""
        row, seal = self._impression(impression_id)
        if not self._sees_impression(actor, row, seal):
            raise _none_such()
        return row, seal

    def _sees_impression(self, actor: Actor, row: ImpressionRow, seal: SealRow) -> bool:
        facts = self._facts(seal) | {"id": row.id}
        return self.authoriser.decide(actor, "impression.show", facts, {"matter": row.matter}).allowed

    def _impression(self, impression_id: str) -> tuple[ImpressionRow, SealRow]:
        with self.db.read() as session:
            row = session.get(ImpressionRow, impression_id)
            if row is None or row.region != self.region:
                raise _none_such()
            return row, session.get_one(SealRow, row.seal_id)


def _none_such() -> NoSuchImpression:
    return NoSuchImpression("There is no such impression.", "没有该用印记录。")


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


def impression_json(row: ImpressionRow) -> dict[str, Any]:
    """One use of a seal as plain JSON."""
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
        "voided_at": shown_time(row.voided_at) if row.voided_at else None,
        "created_at": shown_time(row.created_at),
    }
