"""Bearer tokens of systems: made by an administrator, or short-lived for a signed assertion (``clients.py``)."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from people.errors import BadToken
from people.models import AccountRow, ApiTokenRow
from people.room import Room, account_of, digest, find
from people.schemas import Account, ApiToken
from store.ids import new_id

_PREFIX = "xinyin_"  # lets secret scanners find one that leaked


class Tokens(Room):
    """Bearer tokens; only their SHA-256 is kept."""

    def issue_token(
        self, name_or_id: str, label: str, *, days: int = 365, actor: str = "local-operator"
    ) -> tuple[ApiToken, str]:
        """A bearer token for an account; the secret is returned this once."""
        secret, now = _PREFIX + secrets.token_urlsafe(32), self._now()

        def insert(session: Session) -> ApiToken:
            account = find(session, name_or_id)
            row = ApiTokenRow(
                id=new_id("token"),
                token_digest=digest(secret),
                account_id=account.id,
                name=label,
                created_at=now,
                expires_at=now + timedelta(days=days),
            )
            session.add(row)
            self._leaf(session, "people.token-issued", actor, {"account": account.id, "token": row.id}, {"days": days})
            return _api_token(row, now)

        return self.db.run(insert), secret

    def by_token(self, bearer: str) -> Account:
        """Who calls with this bearer token.

        :raises BadToken: unknown, expired, revoked, or its account is disabled
        """
        now = self._now()
        with self.db.read() as session:
            row = session.scalars(sa.select(ApiTokenRow).where(ApiTokenRow.token_digest == digest(bearer))).one_or_none()
            if row is not None and row.revoked_at is None and row.expires_at > now:
                account = session.get(AccountRow, row.account_id)
                if account is not None and account.status == "active":
                    return account_of(session, account, now)
        raise BadToken(
            "The bearer token is unknown, expired or revoked; ask the administrator for a new one.",
            "访问令牌无效、已过期或已撤销；请向系统管理员申请新令牌。",
        )

    def tokens(self, name_or_id: str) -> list[ApiToken]:
        """The tokens made for an account, oldest first, without their secrets; those given for an assertion are not listed."""
        with self.db.read() as session:
            account = find(session, name_or_id)
            rows = session.scalars(
                sa.select(ApiTokenRow)
                .where(ApiTokenRow.account_id == account.id, ApiTokenRow.key_id.is_(None))
                .order_by(ApiTokenRow.id)
            )
            return [_api_token(row, self._now()) for row in rows]

    def revoke_token(self, token_id: str, *, actor: str) -> None:
        """:raises BadToken: there is no such token"""

        def revoke(session: Session) -> None:
            row = session.get(ApiTokenRow, token_id)
            if row is None:
                raise BadToken("There is no such token; list the account's tokens.", "没有该令牌；请查看账户的令牌列表。")
            row.revoked_at = row.revoked_at or self._now()
            self._leaf(session, "people.token-revoked", actor, {"account": row.account_id, "token": row.id}, {})

        self.db.run(revoke)


def _api_token(row: ApiTokenRow, now: datetime) -> ApiToken:
    status = "revoked" if row.revoked_at is not None else "expired" if row.expires_at <= now else "active"
    return ApiToken(row.id, row.account_id, row.name, row.created_at, row.expires_at, status)
