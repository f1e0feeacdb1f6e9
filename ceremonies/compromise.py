"""A key that may be in wrong hands 失密: stopped at once, its certificates revoked, and everything in doubt listed.

One officer is enough, because waiting for a second one costs more than stopping a key for nothing. The key signs no more,
verifiers hear of it, what it signed is listed. Each part is tried even where another failed; asked again, it does what is left.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ceremonies.models import CeremonyRow
from ceremonies.rotation import key_facts
from ceremonies.steps import needed
from crypto.errors import BadInput, NotFound, XinyinError
from formats.dates import shown_time
from formats.tables import cell
from hsm.schemas import Generation, KeyState
from licences.models import LicenceRow
from people.gate import ApprovalNeeded
from seals.models import ImpressionRow, SealRow
from store.db import utc_now
from store.ids import new_id
from store.models import KeyUseRow

if TYPE_CHECKING:
    from ceremonies.node import Node
    from people.schemas import Actor

_COLUMNS = ("kind", "id", "at", "of", "document_sha256", "matter", "application", "account", "status")


class NoSuchCeremony(NotFound):
    """No compromise or drill has this identifier."""

    code = "no-such-ceremony"


class Compromise:
    """Declares keys compromised, and keeps the reports."""

    def __init__(self, node: Node, *, now: Callable[[], datetime] = utc_now) -> None:
        self.node = node
        self._now = now

    def declare(
        self,
        actor: Actor,
        generation_id: str,
        *,
        reason: str,
        since: datetime | None = None,
        approval: str | None = None,
    ) -> dict[str, Any]:
        """Stop a key and take back what vouches for it; the report, also of a compromise that was declared before.

        A seal goes on with its next key where that one is prepared (and, in production, the officers approved its activation),
        else it is suspended.

        :param since: since when the key is in doubt; by default since it was put to use
        :raises BadInput: a time in the future, or no reason
        :raises NotAllowed: not by this caller
        """
        generation = self.node.keys.generation(generation_id)
        rule = self.node.authorise(actor, "key.compromise", key_facts(generation))
        start = since or generation.activated_at or generation.created_at
        if start > self._now() or not 1 <= len(reason.strip()) <= 2000:
            raise BadInput(
                "Say why, in 1 to 2000 characters, and since when; not in the future.",
                "请说明原因（1 至 2000 字）和起始时间（不晚于现在）。",
            )
        row = self._open(actor, generation, reason.strip(), start, rule)
        if row.status == "done":
            return self.report(actor, row.id)
        parts = [self._tried(name, work) for name, work in self._parts(actor, generation, row, approval)]
        return self._close(actor, generation, row, parts)

    def _open(self, actor: Actor, generation: Generation, reason: str, since: datetime, rule: str) -> CeremonyRow:
        def write(session: Session) -> CeremonyRow:
            known = session.scalars(
                sa.select(CeremonyRow).where(CeremonyRow.kind == "compromise", CeremonyRow.generation_id == generation.id)
            ).first()
            if known is not None:
                return known
            row = CeremonyRow(
                id=new_id("ceremony"), region=self.node.region, kind="compromise", status="running",
                generation_id=generation.id, actor=actor.id, reason=reason, since=since, facts={}, report_blob=None,
                created_at=self._now(), ended_at=None,
            )  # fmt: skip
            session.add(row)
            subject = {"key": generation.id, "role": generation.role_id, "ceremony": row.id}
            data = {"since": shown_time(since), "reason_sha256": hashlib.sha256(reason.encode()).hexdigest()}
            self.node.audit.append(session, kind="key.compromised", actor=actor.id, subject=subject, data=data, rule=rule)
            return row

        return self.node.db.run(write)

    # -- the parts --------------------------------------------------------------------------------------------------------

    def _parts(
        self, actor: Actor, generation: Generation, row: CeremonyRow, approval: str | None
    ) -> list[tuple[str, Callable[[], str]]]:
        assert row.since is not None
        since = row.since
        return [
            ("switch", lambda: self._switch(actor, generation, approval)),
            ("stop", lambda: self._stop(actor, generation.id)),
            ("revoke", lambda: self._revoke(actor, generation, since)),
            ("seal", lambda: self._suspend(actor, generation, row)),
            ("publish", self._publish),
        ]

    def _tried(self, name: str, work: Callable[[], str]) -> dict[str, Any]:
        try:
            return {"part": name, "ok": True, "result": work()}
        except XinyinError as exc:
            return {"part": name, "ok": False, "result": exc.code, "message": exc.message, "message_zh": exc.message_zh}

    def _stop(self, actor: Actor, generation_id: str) -> str:
        state = self.node.keys.generation(generation_id).state
        if state in (KeyState.active, KeyState.draining):
            self.node.keys.retire(generation_id, actor=actor, compromised=True)
            return "stopped"
        return "stopped" if state is KeyState.retired else "never-used"

    def _revoke(self, actor: Actor, generation: Generation, since: datetime) -> str:
        """Ours are revoked with the date; of an outside CA it is asked, and the request is kept."""
        revoked = asked = 0
        for record in self.node.ca.records(generation_id=generation.id, limit=1000):
            if record.status not in ("good", "hold", "expired") or record.origin == "root":
                continue
            if record.origin == "outside":
                if not self.node.ca.outside.requests(record.id):
                    wish = {"what": "revoke", "reason": "keyCompromise", "since": shown_time(since)}
                    self.node.ca.outside.keep_request(record.id, wish)
                asked += 1
                continue
            if record.status != "expired":
                self.node.ca.revoke(record.id, "keyCompromise", actor=actor.id, invalidity_at=since)
                revoked += 1
        return "revoked-and-asked" if revoked and asked else "asked" if asked else "revoked"

    def _switch(self, actor: Actor, generation: Generation, approval: str | None) -> str:
        """The prepared key takes over, where there is one and the rules (or the officers beforehand) let it: first, because
        their approval says which key gives way, and because it takes a moment only.
        """
        heir = self._prepared(generation)
        if heir is None or generation.state is not KeyState.active:
            return "none-prepared"
        try:
            self.node.keys.activate(heir.id, actor=actor, approval=approval)
        except ApprovalNeeded:
            return "not-approved"
        return "switched"

    def _suspend(self, actor: Actor, generation: Generation, row: CeremonyRow) -> str:
        """A seal that is left without this key is suspended; the keys of its other suites are not asked."""
        seal = self.node.seals.remaker.seal_of(generation.role_id)
        if seal is None or self._taken_over(generation):
            return "goes-on"
        if seal.status == "in-force":
            self.node.seals.suspend(actor, seal.id, reason=row.reason)
        return "suspended"

    def _prepared(self, generation: Generation) -> Generation | None:
        """A staged key of the same role for which only the activation is left."""
        rotation = self.node.rotation
        for one in self.node.keys.generations(generation.role_id):
            if one.state is KeyState.staged and one.id not in rotation.compromised():
                before = needed(one.purpose)[: needed(one.purpose).index("activate")]
                if all(rotation.done(one, step) for step in before):
                    return one
        return None

    def _taken_over(self, generation: Generation) -> bool:
        return any(g.state is KeyState.active for g in self.node.keys.generations(generation.role_id))

    def _publish(self) -> str:
        self.node.publish_trust()
        return "published"

    def _close(self, actor: Actor, generation: Generation, row: CeremonyRow, parts: list[dict[str, Any]]) -> dict[str, Any]:
        assert row.since is not None
        items = list(self.doubtful(generation, row.since))
        blob = self.node.blobs.put(json.dumps(items, ensure_ascii=False).encode())
        counts: dict[str, int] = {}
        for item in items:
            counts[item["kind"]] = counts.get(item["kind"], 0) + 1

        def write(session: Session) -> None:
            kept = session.get_one(CeremonyRow, row.id)
            kept.status = "done" if all(part["ok"] for part in parts) else "incomplete"
            kept.facts, kept.report_blob, kept.ended_at = {"parts": parts, "counts": counts}, blob, self._now()
            subject = {"key": generation.id, "role": generation.role_id, "ceremony": row.id}
            data = {"parts": {p["part"]: p["result"] for p in parts}, "in_doubt": counts, "report": blob}
            self.node.audit.append(
                session, kind="key.compromise-reported", actor=actor.id, subject=subject, data=data, rule=None
            )

        self.node.db.run(write)
        return self.report(actor, row.id)

    # -- what is in doubt -------------------------------------------------------------------------------------------------

    def doubtful(self, generation: Generation, since: datetime) -> Iterator[dict[str, Any]]:
        """Everything that the key vouched for since then, oldest first: impressions, licences, certificates."""
        yield from self._impressions(generation.id, since)
        yield from self._licences(generation.id, since)
        for authority in self.node.ca.authorities():
            if authority.generation_id == generation.id:
                for record in reversed(self.node.ca.records(authority=authority.name, limit=100_000)):
                    if record.not_before >= since:
                        yield _item("certificate", record.serial, record.not_before, record.subject, status=record.status)

    def _impressions(self, generation_id: str, since: datetime) -> Iterator[dict[str, Any]]:
        statement = (
            sa.select(ImpressionRow, SealRow.name)
            .join(SealRow, SealRow.id == ImpressionRow.seal_id)
            .where(ImpressionRow.generation_id == generation_id, ImpressionRow.created_at >= since)
            .order_by(ImpressionRow.id)
        )
        with self.node.db.read() as session:
            for row, name in session.execute(statement.execution_options(yield_per=1000)):
                yield _item(
                    "impression", row.id, row.created_at, name, document_sha256=row.document_sha256, matter=row.matter,
                    application=row.application_id, account=row.account, status=row.status,
                )  # fmt: skip

    def _licences(self, generation_id: str, since: datetime) -> Iterator[dict[str, Any]]:
        """Licences whose document or code the key signed."""
        of_seal = sa.select(ImpressionRow.intent_id).where(ImpressionRow.generation_id == generation_id)
        of_code = sa.select(KeyUseRow.intent_id).where(KeyUseRow.generation_id == generation_id)
        statement = (
            sa.select(LicenceRow)
            .where(sa.or_(LicenceRow.intent_id.in_(of_seal), LicenceRow.intent_id.in_(of_code)))
            .where(LicenceRow.issued_at >= since)
            .order_by(LicenceRow.id)
        )
        with self.node.db.read() as session:
            for row in session.scalars(statement.execution_options(yield_per=1000)):
                yield _item("licence", row.id, row.issued_at, row.issuer_name, document_sha256=row.document_sha256)

    # -- reports ----------------------------------------------------------------------------------------------------------

    def reports(self, actor: Actor, *, kind: str | None = None) -> list[dict[str, Any]]:
        """Every compromise and drill, newest first, without what is in doubt."""
        self.node.authorise(actor, "key.list")
        statement = sa.select(CeremonyRow).where(CeremonyRow.region == self.node.region).order_by(CeremonyRow.id.desc())
        if kind is not None:
            statement = statement.where(CeremonyRow.kind == kind)
        with self.node.db.read() as session:
            return [_ceremony(row) for row in session.scalars(statement)]

    def report(self, actor: Actor, ceremony_id: str, *, items: bool = True) -> dict[str, Any]:
        """One ceremony; of a compromise with everything that is in doubt, as it was drawn up.

        :raises NoSuchCeremony: none
        """
        self.node.authorise(actor, "key.show")
        with self.node.db.read() as session:
            row = session.get(CeremonyRow, ceremony_id)
        if row is None or row.region != self.node.region:
            raise NoSuchCeremony("There is no such ceremony.", "没有该密钥仪式记录。")
        found = _ceremony(row)
        if items and row.kind == "compromise" and row.report_blob:
            found["items"] = json.loads(self.node.blobs.get(row.report_blob))
        return found

    def table(self, actor: Actor, ceremony_id: str) -> str:
        """What is in doubt as CSV, with a byte order mark for office programs."""
        out = io.StringIO()
        out.write("\ufeff")
        writer = csv.DictWriter(out, _COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.report(actor, ceremony_id).get("items", []))
        return out.getvalue()


def _item(kind: str, identifier: str, at: datetime, of: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "id": identifier, "at": shown_time(at), "of": cell(of), **more}


def _ceremony(row: CeremonyRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "status": row.status,
        "generation": row.generation_id,
        "actor": row.actor,
        "reason": row.reason,
        "since": shown_time(row.since) if row.since else None,
        "created_at": shown_time(row.created_at),
        "ended_at": shown_time(row.ended_at) if row.ended_at else None,
        **row.facts,
    }
