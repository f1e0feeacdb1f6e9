"""Tables of key roles, their generations, and the counts of routine uses."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)


class KeyRoleRow(RegionMixin, Base):
    """One purpose in one suite under one name; its generations follow one another."""

    __tablename__ = "key_roles"
    __table_args__ = (
        sa.UniqueConstraint("purpose", "suite", "name"),
        sa.CheckConstraint("custody IN ('token', 'software')", name="custody"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    purpose: Mapped[str] = mapped_column(sa.String(32))
    suite: Mapped[str] = mapped_column(sa.String(8))
    bits: Mapped[int]
    """RSA modulus length; 256 for the others."""
    name: Mapped[str] = mapped_column(sa.String(255))
    custody: Mapped[str] = mapped_column(sa.String(16))
    created_at: Mapped[datetime]


class KeyGenerationRow(RegionMixin, Base):
    """One key. The database holds where it is, never what it is: no PIN, no private value."""

    __tablename__ = "key_generations"
    __table_args__ = (
        sa.UniqueConstraint("role_id", "number"),
        sa.UniqueConstraint("key_id"),
        sa.CheckConstraint("state IN ('staged', 'active', 'draining', 'retired', 'destroyed')", name="state"),
        sa.CheckConstraint("custody IN ('token', 'software')", name="custody"),
        sa.Index(
            "uq_key_generations_one_active",
            "role_id",
            unique=True,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        ),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    role_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("key_roles.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(sa.String(16))
    custody: Mapped[str] = mapped_column(sa.String(16))
    token_label: Mapped[str] = mapped_column(sa.String(32))
    key_id: Mapped[str] = mapped_column(sa.String(64))
    """CKA_ID of both halves, lower-case hex."""
    public_key: Mapped[bytes | None]
    """DER SubjectPublicKeyInfo; null until the token has made the key."""
    token_model: Mapped[str | None] = mapped_column(sa.String(64))
    """How the token that made the key calls itself."""
    created_at: Mapped[datetime]
    activated_at: Mapped[datetime | None]
    draining_at: Mapped[datetime | None]
    retired_at: Mapped[datetime | None]
    destroyed_at: Mapped[datetime | None]
    made_under: Mapped[dict[str, Any] | None]
    """What allowed the key to be made: ``{"rule", "approval"}``; on record before the token makes it."""
    destroyed_under: Mapped[dict[str, Any] | None]
    """The same for its end: the approval is spent before the token destroys the key, and a retry needs no other."""


class KeyUseCountRow(Base):
    """How often a key was used for what needs no intent. A kill of the signer may lose the last second's counts."""

    __tablename__ = "key_use_counts"

    generation_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("key_generations.id"), primary_key=True)
    use: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    count: Mapped[int] = mapped_column(sa.BigInteger)
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
