"""Receipts 核验回执: what was verified, when, by which organ, with which answer; signed, for the file, and nothing personal.

A receipt is a compact JWS (RFC 7515, ES256) by the node's receipt key, which its trust list names. It holds digests of what was
presented and of the licence's identifier: whoever kept the file can show that the receipt belongs to it, nobody else learns
whose licence it was. A receipt is a routine signature: losing one costs a second signature, nothing else.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import NotFound
from crypto.keys import Signer
from formats import jose
from formats.dates import shown_time
from people.models import DepartmentRow
from people.schemas import Actor
from policies.authorise import Authoriser
from records.uses import Uses
from records.verified_models import ReceiptRow
from seals.schemas import Page, page_of
from seals.workflow import tracking
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id
from verify.receipt import MAX_BYTES, TYPE

_PARTS = ("document", "seal", "licence", "matter")
_MOST_LISTS = 40


class NoSuchReceipt(NotFound):
    """No receipt that the caller may know of has this identifier or code."""

    code = "no-such-receipt"


@dataclass(frozen=True)
class Presented:
    """What was verified.

    :ivar sha256: of the file, or of a code's content, hex
    :ivar channel: one of :data:`records.uses.CHANNELS`
    :ivar noted: its use is on record already (:meth:`Receipts.note`)
    """

    sha256: str
    channel: str
    matter: str | None = None
    at: datetime | None = None
    token: bytes | None = None
    noted: bool = False


class Receipts:
    """Issues receipts for verdicts that this node reached, and finds them again."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        authoriser: Authoriser,
        uses: Uses,
        region: str,
        *,
        name: str,
        issuer: str,
        signer: Callable[[], Signer],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.authoriser = authoriser
        self.uses = uses
        self.region = region
        self._name = name
        self._issuer = issuer
        self._signer = signer
        self._now = now

    def issue(self, actor: Actor, verdict: Mapping[str, Any], presented: Presented) -> dict[str, Any]:
        """Sign a receipt for a verdict, and record the use of the licence in it.

        :param verdict: as the verifier of this node gave it, never as somebody sent it
        :raises NotAllowed: receipts are for those who work here, and for systems with an account
        """
        rule = self.authoriser.require(actor, "receipt.issue", self._facts(actor.department or "")).rule
        now = self._now().replace(microsecond=0)
        receipt_id = new_id("receipt")
        with self.db.read() as session:
            organ = self._organ(session, actor)
        claims = self._claims(receipt_id, organ, verdict, presented, now)
        signer = self._signer()
        compact = jose.sign({"typ": TYPE, "kid": signer.public_key.fingerprint}, claims, signer)
        licence = claims["licence"] or {}
        identifier = (verdict.get("licence") or {}).get("identifier")

        def write(session: Session) -> ReceiptRow:
            row = ReceiptRow(
                id=receipt_id,
                region=self.region,
                account=actor.id,
                department=actor.department or "",
                organ=organ,
                decision=claims["answer"]["decision"],
                matter=presented.matter,
                channel=presented.channel,
                licence_type=licence.get("type"),
                licence_region=licence.get("region"),
                presented_sha256=presented.sha256,
                jws=compact,
                slip=None,
                created_at=now,
            )
            session.add(row)
            data = {
                "receipt": hashlib.sha256(compact.encode()).hexdigest(),
                "presented": presented.sha256,
                "decision": row.decision,
                "matter": row.matter,
                "channel": row.channel,
                "key": signer.public_key.fingerprint,
            }
            self.audit.append(session, kind="receipt.issued", actor=actor.id, subject={"receipt": row.id}, data=data, rule=rule)
            if identifier and not presented.noted:
                self._use(session, actor, organ, verdict, presented, now)
            return row

        return _shown(self.db.run(write))

    def note(self, actor: Actor, verdict: Mapping[str, Any], presented: Presented) -> bool:
        """Record that whoever works here verified a licence, without a receipt: its holder sees who looked, and for what.

        Only what is genuine counts: with the rest, anybody could write into a holder's list. Whether there was a use to record.
        """
        genuine = verdict["verdict"] == "TOTAL-PASSED" and (verdict.get("licence") or {}).get("identifier")
        facts = self._facts(actor.department or "")
        if not genuine or not self.authoriser.decide(actor, "receipt.issue", facts).allowed:
            return False
        now = self._now().replace(microsecond=0)

        def write(session: Session) -> None:
            self._use(session, actor, self._organ(session, actor), verdict, presented, now)

        self.db.run(write)
        return True

    def _use(
        self, session: Session, actor: Actor, organ: str, verdict: Mapping[str, Any], presented: Presented, now: datetime
    ) -> None:
        self.uses.record(
            session,
            verdict["licence"]["identifier"],
            token=presented.token,
            organ=organ,
            region=self.region,
            matter=presented.matter,
            decision=verdict["answer"]["decision"],
            channel=presented.channel,
            at=now,
            actor=actor.id,
            issued_in=licence_region(verdict),
        )

    def show(self, actor: Actor, receipt_id: str) -> dict[str, Any]:
        """A receipt with its JWS. :raises NoSuchReceipt: none that the caller may know of"""
        with self.db.read() as session:
            return _shown(self.row(session, actor, receipt_id))

    def list(self, actor: Actor, *, limit: int = 100, cursor: str | None = None) -> Page[dict[str, Any]]:
        """Newest first, those that the caller may see."""
        self.authoriser.require(actor, "receipt.list", self._facts(actor.department or ""))
        statement = sa.select(ReceiptRow).where(ReceiptRow.region == self.region).order_by(ReceiptRow.id.desc())
        if actor.kind != "local-operator" and "auditor" not in actor.roles:
            own = sa.or_(ReceiptRow.account == actor.id, ReceiptRow.department.in_(sorted(actor.departments)))
            statement = statement.where(own)
        if cursor:
            statement = statement.where(ReceiptRow.id < cursor)
        with self.db.read() as session:
            rows = session.scalars(statement.limit(limit + 1)).all()
        return page_of(rows, limit, lambda row: str(row.id), lambda row: _shown(row) if self._sees(actor, row) else None)

    def slip(self, actor: Actor, receipt_id: str) -> str:
        """The applicant's code of a receipt, drawn when it is first asked for.

        :raises NoSuchReceipt: none that the caller may know of
        """

        def write(session: Session) -> str:
            row = self.row(session, actor, receipt_id)
            rule = self.authoriser.require(actor, "receipt.slip", self._facts(row.department)).rule
            return self.draw_slip(session, row, actor, rule)

        return self.db.run(write)

    def draw_slip(self, session: Session, row: ReceiptRow, actor: Actor, rule: str) -> str:
        """As :meth:`slip`, in the caller's transaction."""
        if row.slip is None:
            row.slip = tracking.new_code(secrets.choice)
            data = {"code": hashlib.sha256(row.slip.encode()).hexdigest()}
            self.audit.append(session, kind="receipt.slip", actor=actor.id, subject={"receipt": row.id}, data=data, rule=rule)
        return row.slip

    def by_slip(self, session: Session, code: str) -> ReceiptRow:
        """The receipt behind an applicant's code. :raises NoSuchReceipt: none"""
        wanted = tracking.normal(code)
        found = sa.select(ReceiptRow).where(ReceiptRow.slip == wanted, ReceiptRow.region == self.region)
        row = session.scalars(found).one_or_none() if len(wanted) == tracking.LENGTH else None
        if row is None:
            raise NoSuchReceipt("No slip has this code; look at it again.", "没有此编码的办理单，请核对后重新输入。")
        return row

    def row(self, session: Session, actor: Actor, receipt_id: str) -> ReceiptRow:
        """The row, if the caller may know of it. :raises NoSuchReceipt:"""
        row = session.get(ReceiptRow, receipt_id)
        if row is None or row.region != self.region or not self._sees(actor, row):
            raise NoSuchReceipt(f"There is no receipt {receipt_id[:64]}.", f"没有回执 {receipt_id[:64]}。")
        return row

    def _sees(self, actor: Actor, row: ReceiptRow) -> bool:
        facts = self._facts(row.department)
        return self.authoriser.decide(actor, "receipt.show", facts, {"own": row.account == actor.id}).allowed

    def _facts(self, department: str) -> dict[str, Any]:
        return {"region": self.region, "department": department}

    def _organ(self, session: Session, actor: Actor) -> str:
        row = session.get(DepartmentRow, actor.department) if actor.department else None
        return row.name if row is not None else self._name

    def _claims(
        self, receipt_id: str, organ: str, verdict: Mapping[str, Any], presented: Presented, now: datetime
    ) -> dict[str, Any]:
        answer, licence = verdict["answer"], verdict.get("licence") or {}
        region = licence_region(verdict)
        lists = [one for one in verdict["trust"]["lists"] if not region or one["region"] == region][:_MOST_LISTS]
        shown = {
            "sha256": _digest(str(licence["identifier"])),
            "type": licence.get("type"),
            "region": region,
            "status": licence.get("status"),
            "as_of": licence.get("as_of"),
        }
        return {
            "iss": self._issuer,
            "iat": int(now.timestamp()),
            "jti": receipt_id,
            "by": {"organ": organ, "region": self.region},
            "presented": {"sha256": presented.sha256, "channel": presented.channel},
            "licence": shown if licence.get("identifier") else None,
            "matter": presented.matter,
            "judged_at": shown_time((presented.at or now).astimezone(UTC)),
            "verdict": verdict["verdict"],
            "answer": {"decision": answer["decision"], **{name: answer[name]["state"] for name in _PARTS}},
            "lists": lists,
            "engine": verdict["engine"],
        }


def licence_region(verdict: Mapping[str, Any]) -> str | None:
    """The region whose list vouches for the signer of a verdict's licence; None where none does."""
    for signature in verdict["signatures"]:
        recognition = signature.get("recognition") or {}
        presented = signature["format"] in ("CODE", "SHOWN-CODE", "SD-JWT")
        found = recognition.get("region") or (signature["signer"]["issuer"] if presented else "")
        if re.fullmatch(r"\d{6}", str(found)):
            return str(found)
    return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _shown(row: ReceiptRow) -> dict[str, Any]:
    _, claims = jose.claimed(row.jws, max_payload=MAX_BYTES)
    return {
        "id": row.id,
        "status": row.decision,
        "at": shown_time(row.created_at),
        "organ": row.organ,
        "decision": row.decision,
        "matter": row.matter,
        "channel": row.channel,
        "licence_type": row.licence_type,
        "licence_region": row.licence_region,
        "presented_sha256": row.presented_sha256,
        "slip": row.slip,
        "account": row.account,
        "department": row.department,
        "claims": claims,
        "jws": row.jws,
    }
