"""Going on although something is outstanding 容缺受理: from 需要核实, why, under which supervisor, what is brought until when.

The clerk records it, the supervisor who was named confirms it, the applicant's slip says what happens next. What is refused is
never gone on with. Who did what and why is on record; the slip names no person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput, Conflict, NotFound
from formats.dates import BEIJING, shown_time
from people.models import AccountRow, DepartmentRow
from people.schemas import Actor
from policies.authorise import Authoriser
from records.receipts import Receipts
from records.verified_models import ProvisionalRow, ReceiptRow
from seals.schemas import Page, page_of
from seals.workflow.directory import Directory
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

LONGEST = timedelta(days=60)
"""What is outstanding is brought within two months, or the application is made again."""


class NoSuchProvisional(NotFound):
    """Nothing that the caller may know of goes on under this identifier."""

    code = "no-such-provisional"


class BadProvisional(BadInput):
    """It cannot be gone on with like this."""

    code = "bad-provisional"


class ProvisionalStands(Conflict):
    """It is already recorded for this receipt."""

    code = "provisional-stands"


class Provisionals:
    """Records, confirms and ends going on provisionally."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        receipts: Receipts,
        region: str,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.receipts = receipts
        self.region = region
        self._now = now

    def supervisors(self, actor: Actor) -> list[dict[str, str]]:
        """Who could confirm what ``actor`` goes on with: those who sign off in the department, but not oneself."""
        with self.db.read() as session:
            reach = Directory(session, self.region).upwards(actor.department or "")
            rows = session.scalars(
                sa.select(AccountRow)
                .where(AccountRow.department_id.in_(reach), AccountRow.status == "active", AccountRow.kind == "staff")
                .where(AccountRow.id != actor.id)
                .order_by(AccountRow.display_name)
            ).all()
        return [{"id": row.id, "name": row.display_name} for row in rows if "signer_off" in row.roles]

    def record(self, actor: Actor, receipt_id: str, *, supervisor: str, reason: str, bring: str, until: date) -> dict[str, Any]:
        """Go on although the answer was to check; the supervisor is asked to confirm.

        :param supervisor: account identifier
        :param reason: why it goes on, for the record; never shown outside
        :param bring: what the applicant still has to bring, as the slip says it
        :param until: the last day for that, in the region's time
        :raises NoSuchReceipt: none that the caller may know of
        :raises BadProvisional: an empty sentence, or a day that is past or too far off
        :raises NotAllowed: the answer was another, or the supervisor is none or oneself
        :raises ProvisionalStands: it is recorded already
        """
        reason, bring = _sentence(reason), _sentence(bring)
        end = self._end(until)
        able = {one["id"] for one in self.supervisors(actor)}

        def write(session: Session) -> ProvisionalRow:
            receipt = self.receipts.row(session, actor, receipt_id)
            facts = {"region": self.region, "department": receipt.department, "status": receipt.decision}
            context = {"supervises": supervisor in able, "own": supervisor == actor.id}
            rule = self.authoriser.require(actor, "provisional.record", facts, context).rule
            if self._of(session, receipt.id) is not None:
                raise ProvisionalStands(
                    "This receipt is gone on with already; open it to see how it stands.",
                    "该回执已登记容缺受理，请打开查看办理情况。",
                )
            row = ProvisionalRow(
                id=new_id("provisional"),
                region=self.region,
                receipt_id=receipt.id,
                department=receipt.department,
                clerk=actor.id,
                supervisor=supervisor,
                reason=reason,
                bring=bring,
                until=end,
                status="waiting",
                note=None,
                created_at=self._now(),
                decided_at=None,
                fulfilled_at=None,
            )
            session.add(row)
            self.receipts.draw_slip(session, receipt, actor, rule)
            data = {"reason": _digest(reason), "bring": _digest(bring), "until": shown_time(end)}
            subject = {"provisional": row.id, "receipt": receipt.id, "supervisor": supervisor}
            self.audit.append(session, kind="provisional.recorded", actor=actor.id, subject=subject, data=data, rule=rule)
            return row

        row = self.db.run(write)
        return self.show(actor, row.id)

    def decide(self, actor: Actor, provisional_id: str, *, confirm: bool, note: str = "") -> dict[str, Any]:
        """The named supervisor confirms, or does not.

        :raises NoSuchProvisional: none that the caller may know of
        :raises NotAllowed: another supervisor was named, or it does not wait any more
        """

        def write(session: Session) -> None:
            row = self._row(session, actor, provisional_id)
            facts = self._facts(row)
            context = {"supervises": row.supervisor == actor.id, "own": row.clerk == actor.id}
            rule = self.authoriser.require(actor, "provisional.decide", facts, context).rule
            row.status, row.decided_at = ("confirmed" if confirm else "refused"), self._now()
            row.note = note.strip()[:500] or None
            self._leaf(session, row, actor, {"note": _digest(row.note) if row.note else None}, rule)

        self.db.run(write)
        return self.show(actor, provisional_id)

    def fulfil(self, actor: Actor, provisional_id: str) -> dict[str, Any]:
        """The applicant brought what was outstanding.

        :raises NoSuchProvisional: none that the caller may know of
        :raises NotAllowed: it is not outstanding, or the caller does not work at a window of the department
        """

        def write(session: Session) -> None:
            row = self._row(session, actor, provisional_id)
            rule = self.authoriser.require(actor, "provisional.fulfil", self._facts(row)).rule
            late = self._now() > row.until
            row.status, row.fulfilled_at = "fulfilled", self._now()
            self._leaf(session, row, actor, {"late": late}, rule)

        self.db.run(write)
        return self.show(actor, provisional_id)

    def show(self, actor: Actor, provisional_id: str) -> dict[str, Any]:
        """One, with the receipt. :raises NoSuchProvisional: none that the caller may know of"""
        with self.db.read() as session:
            return self._shown(session, self._row(session, actor, provisional_id), actor)

    def of_receipt(self, actor: Actor, receipt_id: str) -> dict[str, Any] | None:
        """What goes on from a receipt; None where nothing does, or the caller may not know."""
        with self.db.read() as session:
            row = self._of(session, receipt_id)
            return self._shown(session, row, actor) if row is not None and self._sees(actor, row) else None

    def list(self, actor: Actor, *, waiting: bool = False, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see; ``waiting``: those that wait for the caller's own decision."""
        facts = {"region": self.region, "department": actor.department or ""}
        self.authoriser.require(actor, "provisional.list", facts)
        statement = sa.select(ProvisionalRow).where(ProvisionalRow.region == self.region)
        if waiting:
            statement = statement.where(ProvisionalRow.supervisor == actor.id, ProvisionalRow.status == "waiting")
        elif actor.kind != "local-operator" and "auditor" not in actor.roles:
            statement = statement.where(ProvisionalRow.department.in_(sorted(actor.departments)))
        if cursor:
            statement = statement.where(ProvisionalRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement.order_by(ProvisionalRow.id.desc()).limit(limit + 1)).all()
            shown = {row.id: self._shown(session, row, actor) for row in rows if self._sees(actor, row)}
        return page_of(rows, limit, lambda row: str(row.id), lambda row: shown.get(row.id))

    def slip(self, code: str) -> dict[str, Any]:
        """What the applicant's slip says: nothing about persons, and not why.

        :raises NoSuchReceipt: no slip has the code
        """
        with self.db.read() as session:
            receipt = self.receipts.by_slip(session, code)
            row = self._of(session, receipt.id)
            return {
                "code": receipt.slip,
                "organ": receipt.organ,
                "at": shown_time(receipt.created_at),
                "decision": receipt.decision,
                "matter": receipt.matter,
                "licence_type": receipt.licence_type,
                "licence_region": receipt.licence_region,
                "status": self._status(row) if row is not None else receipt.decision,
                "bring": row.bring if row is not None else None,
                "until": shown_time(row.until) if row is not None else None,
                "history": _history(receipt, row),
            }

    def _row(self, session: Session, actor: Actor, provisional_id: str) -> ProvisionalRow:
        row = session.get(ProvisionalRow, provisional_id)
        if row is None or row.region != self.region or not self._sees(actor, row):
            raise NoSuchProvisional(
                f"There is no such matter gone on with: {provisional_id[:64]}.", f"没有容缺受理事项 {provisional_id[:64]}。"
            )
        return row

    def _of(self, session: Session, receipt_id: str) -> ProvisionalRow | None:
        return session.scalars(sa.select(ProvisionalRow).where(ProvisionalRow.receipt_id == receipt_id)).one_or_none()

    def _sees(self, actor: Actor, row: ProvisionalRow) -> bool:
        return self.authoriser.decide(actor, "provisional.show", self._facts(row)).allowed

    def _facts(self, row: ProvisionalRow) -> dict[str, Any]:
        return {"id": row.id, "region": self.region, "department": row.department, "status": row.status}

    def _status(self, row: ProvisionalRow) -> str:
        """``overdue`` is told by the clock, not kept."""
        return "overdue" if row.status in ("waiting", "confirmed") and self._now() > row.until else row.status

    def _end(self, day: date) -> datetime:
        """The end of a day, local time. :raises BadProvisional: past, or too far off"""
        today = self._now().astimezone(BEIJING).date()
        if not today <= day <= today + LONGEST:
            raise BadProvisional(
                f"Choose a day from today to {today + LONGEST} by which it is brought.",
                f"请选择补交截止日期：今天至 {today + LONGEST} 之间。",
            )
        return datetime.combine(day, time(23, 59, 59), BEIJING)

    def _leaf(self, session: Session, row: ProvisionalRow, actor: Actor, data: dict[str, Any], rule: str) -> None:
        kind = f"provisional.{row.status}"
        subject = {"provisional": row.id, "receipt": row.receipt_id}
        self.audit.append(session, kind=kind, actor=actor.id, subject=subject, data=data, rule=rule)

    def _shown(self, session: Session, row: ProvisionalRow, actor: Actor) -> dict[str, Any]:
        receipt = session.get_one(ReceiptRow, row.receipt_id)
        department = session.get(DepartmentRow, row.department)
        directory = Directory(session, self.region)
        own = row.clerk == actor.id
        facts = self._facts(row)
        decides = {"supervises": row.supervisor == actor.id, "own": own}
        can = []
        if self.authoriser.decide(actor, "provisional.decide", facts, decides).allowed:
            can.append("decide")
        if self.authoriser.decide(actor, "provisional.fulfil", facts).allowed:
            can.append("fulfil")
        return {
            "id": row.id,
            "status": self._status(row),
            "receipt": row.receipt_id,
            "slip": receipt.slip,
            "department_name": department.name if department is not None else receipt.organ,
            "clerk": row.clerk,
            "clerk_name": directory.person(row.clerk),
            "supervisor": row.supervisor,
            "supervisor_name": directory.person(row.supervisor),
            "reason": row.reason,
            "bring": row.bring,
            "until": shown_time(row.until),
            "note": row.note,
            "matter": receipt.matter,
            "licence_type": receipt.licence_type,
            "created_at": shown_time(row.created_at),
            "decided_at": shown_time(row.decided_at) if row.decided_at else None,
            "fulfilled_at": shown_time(row.fulfilled_at) if row.fulfilled_at else None,
            "can": can,
        }


def _history(receipt: ReceiptRow, row: ProvisionalRow | None) -> list[dict[str, str]]:
    """When it came to each state, oldest first."""
    found = [("verified", receipt.created_at)]
    if row is not None:
        found.append(("recorded", row.created_at))
        if row.decided_at is not None:
            found.append(("refused" if row.status == "refused" else "confirmed", row.decided_at))
        if row.fulfilled_at is not None:
            found.append(("fulfilled", row.fulfilled_at))
    return [{"status": status, "at": shown_time(at)} for status, at in found]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    if not 2 <= len(text) <= 500:
        raise BadProvisional(
            "Say in up to 500 characters why it goes on, and what the applicant brings.",
            "请写明容缺理由和申请人需补交的材料（各不超过 500 字）。",
        )
    return text


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
