"""Uses of licences: who verified one, for what, with which answer. Holders see them; another region's are told to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from crypto.errors import BadInput
from formats.dates import shown_time
from licences.models import LicenceRow
from records.peers import Message, PeerMail, Take, UnknownPeer
from records.verified_models import UseRow
from store.audit import AuditLog
from store.db import Database, utc_now
from store.ids import new_id

KIND = "use"
"""Of the message by which one region tells another that a licence of its was used."""
DECISIONS = ("accept", "check", "refuse")
CHANNELS = ("file", "photo", "camera", "code", "typed", "counter", "copy")
_FIELDS = {"licence", "token", "organ", "matter", "decision", "channel", "at"}


class BadUse(BadInput):
    """A notice of a use that cannot be taken."""

    code = "bad-use"


class Uses:
    """Records uses in the caller's transaction, each with its leaf."""

    def __init__(
        self,
        db: Database,
        audit: AuditLog,
        region: str,
        *,
        mail: Callable[[], PeerMail],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.db = db
        self.audit = audit
        self.region = region
        self._mail = mail
        self._now = now

    def record(
        self,
        session: Session,
        licence_identifier: str,
        *,
        token: bytes | None,
        organ: str,
        region: str,
        matter: str | None,
        decision: str,
        channel: str,
        at: datetime | None = None,
        actor: str = "node",
        issued_in: str | None = None,
    ) -> str | None:
        """A licence was used; the use's identifier, None where it is not this region's licence.

        :param token: identifies the code or copy that was shown; only its digest is kept
        :param organ: the organ that used it, by its name; ``region`` is the organ's
        :param decision: accept, check or refuse
        :param channel: how it was presented: one of :data:`CHANNELS`
        :param issued_in: region of the licence's issuer: another region is told by a signed message
        """
        moment = (at or self._now()).astimezone(UTC)
        digest = hashlib.sha256(token).hexdigest() if token is not None else None
        row = self._licence(session, licence_identifier)
        if row is not None:
            return self._add(session, row, digest, organ, region, matter, decision, channel, moment, actor)
        if issued_in and issued_in != self.region:
            body = {
                "licence": licence_identifier,
                "token": digest,
                "organ": organ,
                "matter": matter,
                "decision": decision,
                "channel": channel,
                "at": shown_time(moment),
            }
            with suppress(UnknownPeer):  # known by a plain certificate only: nobody can be told
                self._mail().send(session, region=issued_in, kind=KIND, body=body)
        return None

    def handle(self, message: Message) -> Take:
        """Another region's node tells of a use; a message counts once (:mod:`records.peers`).

        :raises BadUse: not a notice of a use
        """
        body = message.body
        texts = [body.get(name) for name in ("licence", "organ", "decision", "channel", "at")]
        if set(body) - _FIELDS or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in texts):
            raise _bad()
        licence, organ, decision, channel, at = (str(one) for one in texts)
        matter, token = body.get("matter"), body.get("token")
        if decision not in DECISIONS or channel not in CHANNELS or not _text(matter, 64) or not _text(token, 64):
            raise _bad()
        try:
            moment = min(datetime.fromisoformat(at).astimezone(UTC), self._now())
        except (ValueError, OverflowError) as exc:
            raise _bad() from exc

        def take(session: Session) -> None:
            row = self._licence(session, licence)
            if row is not None:
                sender, message_id = f"region_{message.region}", f"{message.region}:{message.id}"
                self._add(session, row, token, organ, message.region, matter, decision, channel, moment, sender, message_id)

        return take

    def of_licence(self, licence_id: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """Uses of a licence in all its versions, newest first."""
        with self.db.read() as session:
            row = session.get(LicenceRow, licence_id)
            return [] if row is None else self._shown(session, _versions(session, row), limit)

    def of_licences(self, licence_ids: Sequence[str], *, limit: int = 100) -> list[dict[str, Any]]:
        """Uses of several licences in all their versions, newest first: a holder's own."""
        with self.db.read() as session:
            rows = session.scalars(sa.select(LicenceRow).where(LicenceRow.id.in_(licence_ids)))
            every = {version for row in rows for version in _versions(session, row)}
            return self._shown(session, sorted(every), limit)

    def _shown(self, session: Session, ids: Sequence[str], limit: int) -> list[dict[str, Any]]:
        statement = sa.select(UseRow).where(UseRow.licence_id.in_(ids)).order_by(UseRow.at.desc(), UseRow.id.desc())
        return [_plain(row) for row in session.scalars(statement.limit(limit))]

    def _licence(self, session: Session, identifier: str) -> LicenceRow | None:
        found = sa.select(LicenceRow).where(LicenceRow.identifier == identifier, LicenceRow.region == self.region)
        return session.scalars(found).one_or_none()

    def _add(
        self,
        session: Session,
        licence: LicenceRow,
        token: str | None,
        organ: str,
        region: str,
        matter: str | None,
        decision: str,
        channel: str,
        at: datetime,
        actor: str,
        message: str | None = None,
    ) -> str:
        row = UseRow(
            id=new_id("use"),
            region=self.region,
            licence_id=licence.id,
            token_sha256=token,
            organ=organ[:200],
            organ_region=region[:6],
            matter=matter,
            decision=decision,
            channel=channel,
            at=at,
            message=message,
        )
        session.add(row)
        subject = {"licence": licence.id, "use": row.id}
        data = {"matter": matter, "decision": decision, "channel": channel, "region": region[:6], "token": token}
        data["organ"] = hashlib.sha256(organ.encode()).hexdigest()
        self.audit.append(session, kind="licence.used", actor=actor, subject=subject, data=data)
        return row.id


def _versions(session: Session, row: LicenceRow) -> list[str]:
    of = sa.select(LicenceRow.id).where(
        LicenceRow.type_id == row.type_id,
        LicenceRow.issuer_uscc == row.issuer_uscc,
        LicenceRow.serial == row.serial,
        LicenceRow.region == row.region,
    )
    return list(session.scalars(of))


def _plain(row: UseRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.decision,
        "licence": row.licence_id,
        "organ": row.organ,
        "region": row.organ_region,
        "matter": row.matter,
        "decision": row.decision,
        "channel": row.channel,
        "at": shown_time(row.at),
    }


def _text(value: Any, most: int) -> bool:
    return value is None or (isinstance(value, str) and len(value) <= most)


def _bad() -> BadUse:
    return BadUse("This is not a notice of a licence's use.", "这不是证照使用情况的通知。")
