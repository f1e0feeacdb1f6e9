"""Tables of people: departments, accounts, sessions, tokens of systems, failed sign-ins."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)
DIGEST = sa.String(64)


class DepartmentRow(RegionMixin, Base):
    """A department; they form a tree."""

    __tablename__ = "departments"
    __table_args__ = (sa.UniqueConstraint("region", "name"), sa.Index("ix_departments_parent_id", "parent_id"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    uscc: Mapped[str | None] = mapped_column(sa.String(18), unique=True)
    """Unified social credit code (GB 32100)."""
    parent_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("departments.id"))
    created_at: Mapped[datetime]


class AccountRow(RegionMixin, Base):
    """Somebody who signs in, or a system that calls."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('staff', 'system')", name="kind"),
        sa.CheckConstraint("status IN ('active', 'disabled')", name="status"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64), unique=True)
    display_name: Mapped[str] = mapped_column(sa.String(200))
    kind: Mapped[str] = mapped_column(sa.String(16))
    status: Mapped[str] = mapped_column(sa.String(16))
    roles: Mapped[list[str]]
    department_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("departments.id"))
    password_hash: Mapped[str | None]
    """argon2id; None for a system, which has tokens."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SignInFailureRow(Base):
    """Failed sign-ins by name, whether or not an account has it: the answer must not tell."""

    __tablename__ = "sign_in_failures"
    __table_args__ = (sa.Index("ix_sign_in_failures_last_at", "last_at"),)

    name_digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime]
    locked_until: Mapped[datetime | None]


class SessionRow(Base):
    """A signed-in browser; the token itself is not kept."""

    __tablename__ = "sessions"
    __table_args__ = (sa.Index("ix_sessions_account_id", "account_id"), sa.Index("ix_sessions_expires_at", "expires_at"))

    token_digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiTokenRow(Base):
    """A bearer token of a system; the token itself is not kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (sa.Index("ix_api_tokens_account_id", "account_id"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    token_digest: Mapped[str] = mapped_column(DIGEST, unique=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(sa.String(200))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
