"""Signed-in browsers, whoever sits at them: random tokens kept as their digests, ended by sign-out, idleness or age.

Staff and citizens have tables of their own, so that no token of one kind opens anything of the other; how a session begins,
lives and ends is the same for both.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.citizen_models import CitizenSessionRow
from people.models import SessionRow
from people.room import digest
from store.db import Database
from store.ids import new_id

Row = TypeVar("Row", SessionRow, CitizenSessionRow)

_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Browsers(Generic[Row]):
    """The sessions of one table.

    :ivar idle: a session ends after this long without a request
    :ivar longest: a session ends after this long in any case
    """

    db: Database
    table: type[Row]
    idle: timedelta
    longest: timedelta
    now: Callable[[], datetime]

    def open(self, *, agent: str, replacing: str | None, **whose: Any) -> tuple[str, datetime]:
        """A new session: its token, which is kept nowhere, and when it ends at the latest.

        :param agent: the browser, in its own words
        :param replacing: the token of the session that this browser had, which ends
        :param whose: the columns of this table alone
        """
        token, now = secrets.token_urlsafe(32), self.now()
        expires = now + self.longest
        over = sa.or_(self.table.expires_at <= now, self.table.token_digest == digest(replacing or ""))
        kept = {"token_digest": digest(token), "id": new_id("session"), "agent": agent[:200]}

        def insert(session: Session) -> None:
            session.execute(sa.delete(self.table).where(over))
            session.add(self.table(**kept, created_at=now, seen_at=now, expires_at=expires, **whose))

        self.db.run(insert)
        return token, expires

    def alive(self, session: Session, token: str) -> Row | None:
        """The row of a session; None if it is unknown, idle too long, or over."""
        now = self.now()
        row = session.get(self.table, digest(token))
        return None if row is None or row.expires_at <= now or row.seen_at + self.idle <= now else row

    def seen(self, row: Row) -> None:
        """Note that a session is in use, once a minute at most."""
        now = self.now()
        if now - row.seen_at >= _SEEN_EVERY:
            noted = sa.update(self.table).where(self.table.token_digest == row.token_digest).values(seen_at=now)
            self.db.run(lambda session: session.execute(noted))

    def end(self, token: str) -> None:
        """End a session; ending one that is over is no error."""
        self.db.run(lambda session: session.execute(sa.delete(self.table).where(self.table.token_digest == digest(token))))

    def end_all(self, whose: sa.ColumnElement[bool], *, keep: str | None) -> int:
        """End every session of somebody but the one with the token ``keep``; how many."""
        others = sa.and_(whose, self.table.token_digest != digest(keep or ""))

        def delete(session: Session) -> int:
            return len(session.execute(sa.delete(self.table).where(others).returning(self.table.id)).all())

        return self.db.run(delete)
