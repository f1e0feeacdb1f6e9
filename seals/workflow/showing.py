"""An application as people and programs see it: one shape for lists, pages and HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from policies.matters import Matters
from seals.models import (
    ApplicationDeliveryRow,
    ApplicationDocumentRow,
    ApplicationRow,
    ApplicationStepRow,
    ImpressionRow,
    SealRow,
)
from seals.ports import Actor
from seals.schemas import shown_time
from seals.workflow.directory import Directory
from seals.workflow.states import APPROVING


def shown_or_none(moment: Any) -> str | None:
    """A time as text, or None."""
    return None if moment is None else shown_time(moment)


def masked(name: str | None) -> str | None:
    """A name for those who need not know it: 张**."""
    return f"{name[:1]}**" if name else name


def belongs(actor: Actor, department: str) -> bool:
    """Whether somebody works where an application was put to, and so with the people whom it is about."""
    return actor.kind == "local-operator" or department in actor.reach


def for_reader(shown: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """What auditors and countersigning departments see: who outside applied, and who received it, they need not know."""
    if belongs(actor, shown["department"]):
        return shown
    applicant = shown["applicant"] and {"name": masked(shown["applicant"].get("name"))}
    hidden = [{**one, "recipient": masked(one["recipient"]), "receipt": None} for one in shown["deliveries"]]
    return {**shown, "applicant": applicant, "deliveries": hidden}


class Showing:
    """Applications with their steps, documents and names, read for many at once."""

    def __init__(self, session: Session, rows: Sequence[ApplicationRow], matters: Matters, region: str) -> None:
        self._session = session
        self._matters = matters
        self.directory = Directory(session, region)
        ids = [row.id for row in rows]
        self._steps = self._by_application(ApplicationStepRow, ids)
        self._documents = self._by_application(ApplicationDocumentRow, ids)
        self._deliveries = self._by_application(ApplicationDeliveryRow, ids)
        self._seals = self._named(SealRow, [row.seal_id for row in rows])
        used = [one.impression_id for listed in self._documents.values() for one in listed]
        self._impressions = self._named(ImpressionRow, used)
        people = [row.handler for row in rows] + [row.signer_off for row in rows]
        people += [who for listed in self._steps.values() for one in listed for who in (one.actor, one.on_behalf_of)]
        self.directory.learn(people)

    def steps(self, row: ApplicationRow) -> list[ApplicationStepRow]:
        """Of the present round, in order."""
        return [one for one in self._steps[row.id] if one.round == row.round]

    def shown(self, row: ApplicationRow) -> dict[str, Any]:
        """All but ``can``, which depends on who looks."""
        matter, names, steps = self._matters.of(row.matter), self.directory, self.steps(row)
        seal = self._seals.get(row.seal_id or "")
        return {
            "id": row.id,
            "status": row.status,
            "purpose": row.purpose,
            "title": row.title,
            "number": row.number,
            "copies": row.copies,
            "department": row.department,
            "department_name": names.department(row.department),
            "matter": row.matter,
            "matter_name": matter.en,
            "matter_name_zh": matter.zh,
            "seal_id": row.seal_id,
            "seal": {"id": row.seal_id, "name": seal.name if seal is not None else row.seal_id} if row.seal_id else None,
            "document_sha256": row.document_sha256,
            "documents": [self._document(one) for one in self._documents[row.id] if one.round == row.round],
            "facts": row.facts,
            "applicant": row.applicant,
            "handler": {"id": row.handler, "name": names.person(row.handler)},
            "signer_off": row.signer_off,
            "signer_off_name": names.person(row.signer_off),
            "steps": [self._step(one) for one in steps],
            "waiting": self._waiting(row, steps),
            "round": row.round,
            "content_sha256": row.content_sha256,
            "reason": row.reason,
            "returned_reason": row.reason if row.status == "returned" else None,
            "deliveries": [self._delivery(one) for one in self._deliveries[row.id]],
            "replaces": row.replaces,
            "track_code": row.track_code,
            "created_at": shown_time(row.created_at),
            "decided_at": shown_or_none(row.decided_at),
            "since": shown_time(row.since),
        }

    # -- parts -----------------------------------------------------------------------------------------------------------

    def _document(self, row: ApplicationDocumentRow) -> dict[str, Any]:
        impression = self._impressions.get(row.impression_id or "")
        return {
            "n": row.n,
            "name": row.name,
            "sha256": row.sha256,
            "size": row.size,
            "placement": row.placement,
            "format": row.format,
            "suite": row.suite,
            "level": row.level,
            "status": "sealed" if row.impression_id else "waiting",
            "impression_id": row.impression_id,
            "impression_status": impression.status if impression is not None else None,
            "replaced_by": impression.replaced_by if impression is not None else None,
            "sealed_sha256": row.sealed_sha256,
            "sealed_at": shown_or_none(row.sealed_at),
        }

    def _step(self, row: ApplicationStepRow) -> dict[str, Any]:
        return {
            "step": row.step,
            "state": row.state,
            "department": row.department,
            "department_name": self.directory.department(row.department),
            "who": row.actor,
            "who_name": self.directory.person(row.actor),
            "on_behalf_of": row.on_behalf_of,
            "on_behalf_of_name": self.directory.person(row.on_behalf_of),
            "since": shown_or_none(row.since),
            "at": shown_or_none(row.at),
            "note": row.note,
            "rule": row.rule,
        }

    def _waiting(self, row: ApplicationRow, steps: Sequence[ApplicationStepRow]) -> dict[str, Any] | None:
        """Which step it waits for, since when, and the people who could take it."""
        current = [one for one in steps if one.state == "current"]
        if not current:
            return None
        first = current[0]
        if first.step == "handle":
            whom = [self.directory.person(row.handler) or row.handler]
        else:
            barred = row.handlers if first.step in APPROVING else ()
            whom = [name for one in current for name in self.directory.holders(one.roles, one.department, other_than=barred)]
        return {
            "step": first.step,
            "since": shown_or_none(first.since),
            "whom": list(dict.fromkeys(whom)),
            "departments": [self.directory.department(one.department) for one in current],
        }

    def _delivery(self, row: ApplicationDeliveryRow) -> dict[str, Any]:
        return {
            "id": row.id,
            "recipient": row.recipient,
            "method": row.method,
            "receipt": row.receipt,
            "receipt_sha256": row.receipt_sha256,
            "who": row.actor,
            "who_name": self.directory.person(row.actor),
            "at": shown_time(row.at),
        }

    # -- reading ---------------------------------------------------------------------------------------------------------

    def _by_application(self, table: Any, ids: Sequence[str]) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        if ids:
            statement = sa.select(table).where(table.application_id.in_(ids)).order_by(*table.__table__.primary_key)
            for row in self._session.scalars(statement):
                found[row.application_id].append(row)
        return found

    def _named(self, table: Any, ids: Sequence[str | None]) -> dict[str, Any]:
        wanted = sorted({one for one in ids if one})
        if not wanted:
            return {}
        return {row.id: row for row in self._session.scalars(sa.select(table).where(table.id.in_(wanted)))}
