"""Signing in with a password, and the sessions of browsers.

A failed sign-in costs the same and says the same whether or not the name exists, and counts by name in either case. A session's
token (256 random bits) is kept as its SHA-256; a sign-in, whatever its method, always opens a new one, so that no token that
somebody knew before becomes a signed-in one (session fixation).
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import cached_property

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy.orm import Session

from people.browsers import Browsers
from people.errors import BadCredentials, NoSuchSession, SignInAgain, SignInLocked
from people.models import AccountRow, SessionRow, SignInFailureRow
from people.room import Room, account_of, bad_account, digest
from people.schemas import Account, OpenSession, SignedIn

PASSWORD_LENGTH = (12, 256)
FRESH = timedelta(minutes=30)


class SigningIn(Room):
    """Passwords and sessions. Limits: ``policies/limits.toml``."""

    failures: int
    lock: timedelta
    idle: timedelta
    longest: timedelta
    _hasher: PasswordHasher

    def authenticate(self, name: str, password: str) -> Account:
        """The account, if name and password fit.

        :raises BadCredentials: they do not, or the account is disabled
        :raises SignInLocked: too many failures under this name; the message says how long to wait
        """
        key = digest(name.strip().lower())
        # Counted as failed before the password is tried: a hundred guesses at once get no more tries than one after another.
        self.db.run(lambda session: self._count_failure(session, key))
        with self.db.read() as session:
            row = session.scalars(sa.select(AccountRow).where(AccountRow.name == name)).one_or_none()
            account = account_of(session, row) if row is not None else None
        stored = row.password_hash if row is not None and row.password_hash is not None else self._nobodys_hash
        fits = self._fits(stored, password)
        if row is None or account is None or row.password_hash is None or not fits or row.status != "active":
            raise BadCredentials("Name or password is wrong; try again.", "用户名或密码错误；请重试。")
        rehashed = self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None
        self.db.run(lambda session: self._succeeded(session, key, account.id, rehashed))
        return account

    def sign_in(self, name: str, password: str, *, agent: str = "", replacing: str | None = None) -> SignedIn:
        """:meth:`authenticate`, and a new session."""
        return self.open_session(self.authenticate(name, password), agent=agent, replacing=replacing)

    # -- sessions -------------------------------------------------------------------------------------------------------

    def open_session(
        self, account: Account, *, method: str = "password", agent: str = "", replacing: str | None = None
    ) -> SignedIn:
        """A session for an account that proved itself.

        :param method: how: ``password``, ``passkey`` or ``oidc``
        :param agent: the browser, in its own words
        :param replacing: the token of the session that this browser had, which ends
        """
        token, expires = self._browsers.open(agent=agent, replacing=replacing, account_id=account.id, method=method)
        return SignedIn(account, token, expires)

    def by_session(self, token: str) -> Account | None:
        """Who holds this session, with the roles of now; None if it is unknown, idle too long, or over."""
        with self.db.read() as session:
            row = self._browsers.alive(session, token)
            account = session.get(AccountRow, row.account_id) if row is not None else None
            if row is None or account is None or account.status != "active":
                return None
            result = account_of(session, account, self._now())
        self._browsers.seen(row)
        return result

    def need_fresh(self, token: str) -> None:
        """For what would outlast a stolen session: the person signed in a short while ago.

        :raises SignInAgain: that was too long ago
        """
        with self.db.read() as session:
            row = session.get(SessionRow, digest(token))
        if row is None or row.created_at + FRESH < self._now():
            minutes = FRESH // timedelta(minutes=1)
            raise SignInAgain(
                f"For this you must have signed in within the last {minutes} minutes; sign out, sign in again and repeat it.",
                f"此操作须在登录后 {minutes} 分钟内进行；请退出并重新登录后再操作。",
            )

    def sign_out(self, token: str) -> None:
        """End a session; ending one that is over is no error."""
        self._browsers.end(token)

    def sessions(self, account_id: str, *, current: str | None = None) -> list[OpenSession]:
        """An account's open sessions, the newest first. ``current``: the token of the session that asks."""
        now = self._now()
        with self.db.read() as session:
            rows = session.scalars(
                sa.select(SessionRow)
                .where(
                    SessionRow.account_id == account_id,
                    SessionRow.expires_at > now,
                    SessionRow.seen_at > now - self.idle,
                )
                .order_by(SessionRow.id.desc())
            )
            mine = digest(current) if current else ""
            return [
                OpenSession(r.id, r.method, r.agent, r.created_at, r.seen_at, r.expires_at, r.token_digest == mine)
                for r in rows
            ]

    def end_session(self, account_id: str, session_id: str) -> None:
        """End one of an account's sessions by its identifier.

        :raises NoSuchSession: the account has none of this identifier (any more)
        """

        def end(session: Session) -> int:
            mine = sa.and_(SessionRow.id == session_id, SessionRow.account_id == account_id)
            return len(session.execute(sa.delete(SessionRow).where(mine).returning(SessionRow.id)).all())

        if not self.db.run(end):
            raise NoSuchSession("That session is over already.", "该会话已经结束。")

    def end_sessions(self, account_id: str, *, keep: str | None = None) -> int:
        """End every session of an account but the one with the token ``keep``; how many."""
        return self._browsers.end_all(SessionRow.account_id == account_id, keep=keep)

    # -- inside ---------------------------------------------------------------------------------------------------------

    @property
    def _browsers(self) -> Browsers[SessionRow]:
        return Browsers(self.db, SessionRow, self.idle, self.longest, self._now)

    @cached_property
    def _nobodys_hash(self) -> str:
        """What a password is tried against when the name is unknown, at the same cost."""
        return self._hasher.hash(secrets.token_hex(16))

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password[: PASSWORD_LENGTH[1] + 1])
        except (Argon2Error, InvalidHashError):
            return False

    def _hash(self, name: str, password: str) -> str:
        if not PASSWORD_LENGTH[0] <= len(password) <= PASSWORD_LENGTH[1] or name in password.lower():
            raise bad_account(
                f"a password has {PASSWORD_LENGTH[0]} to {PASSWORD_LENGTH[1]} characters and does not contain the name",
                f"密码须为 {PASSWORD_LENGTH[0]} 至 {PASSWORD_LENGTH[1]} 个字符，且不得包含用户名",
            )
        return self._hasher.hash(password)

    def _count_failure(self, session: Session, key: str) -> None:
        now = self._now()
        row = session.get(SignInFailureRow, key, with_for_update=True)
        if row is None:
            # Guessed names must not fill the table: what is older than a lock counts for nothing any more.
            session.execute(sa.delete(SignInFailureRow).where(SignInFailureRow.last_at < now - self.lock))
            row = SignInFailureRow(name_digest=key, count=0, last_at=now)
            session.add(row)
        if row.locked_until is not None and row.locked_until > now:
            minutes = max(1, round((row.locked_until - now).total_seconds() / 60))
            raise SignInLocked(
                f"Too many failed sign-ins; wait {minutes} minutes or ask the administrator.",
                f"登录失败次数过多；请等待 {minutes} 分钟，或联系系统管理员。",
                minutes=minutes,
            )
        if row.locked_until is not None or now - row.last_at > self.lock:
            row.count, row.locked_until = 0, None
        row.count += 1
        row.last_at = now
        if row.count >= self.failures:
            row.locked_until = now + self.lock

    def _succeeded(self, session: Session, key: str, account_id: str, rehashed: str | None) -> None:
        session.execute(sa.delete(SignInFailureRow).where(SignInFailureRow.name_digest == key))
        if rehashed:
            session.execute(sa.update(AccountRow).where(AccountRow.id == account_id).values(password_hash=rehashed))
