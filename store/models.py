"""Tables of the path of a signature and of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)
DIGEST = sa.String(64)


class IntentRow(RegionMixin, Base):
    """What an account asked to have sealed or issued: the idempotency key, the present attempt with its lease, the result."""

    __tablename__ = "intents"
    __table_args__ = (
        sa.UniqueConstraint("account", "key"),
        sa.CheckConstraint("status IN ('running', 'done', 'failed')", name="status"),
        sa.Index("ix_intents_status_lease_until", "status", "lease_until"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account: Mapped[str] = mapped_column(ID)
    operation: Mapped[str] = mapped_column(sa.String(64))
    key: Mapped[str] = mapped_column(sa.String(255))
    request_digest: Mapped[str] = mapped_column(DIGEST)
    subject: Mapped[dict[str, Any]]
    generation_ids: Mapped[list[str]]
    """The key generations this intent may use: a draining generation signs only for the intents that name it."""
    status: Mapped[str] = mapped_column(sa.String(16))
    attempt: Mapped[int]
    lease_token: Mapped[str] = mapped_column(sa.String(64))
    lease_owner: Mapped[str]
    lease_until: Mapped[datetime]
    result: Mapped[dict[str, Any] | None]
    blob: Mapped[str | None] = mapped_column(DIGEST)
    leaf_id: Mapped[str | None] = mapped_column(ID)
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class AttemptRow(Base):
    """One numbered attempt of an intent, kept for good: what it was asked, when it began, how it ended."""

    __tablename__ = "intent_attempts"
    __table_args__ = (
        sa.CheckConstraint("outcome IS NULL OR outcome IN ('committed', 'failed', 'superseded')", name="outcome"),
    )

    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(sa.String(6))
    request_digest: Mapped[str] = mapped_column(DIGEST)
    owner: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(sa.String(16))


class KeyUseRow(RegionMixin, Base):
    """A use of a key that seals or issues, written and committed before the token signs."""

    __tablename__ = "key_uses"
    __table_args__ = (
        sa.ForeignKeyConstraint(["intent_id", "attempt"], ["intent_attempts.intent_id", "intent_attempts.number"]),
        sa.Index("ix_key_uses_intent_id_attempt", "intent_id", "attempt"),
        sa.Index("ix_key_uses_generation_id_at", "generation_id", "at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    generation_id: Mapped[str] = mapped_column(ID)
    intent_id: Mapped[str] = mapped_column(ID)
    attempt: Mapped[int]
    message_digest: Mapped[str] = mapped_column(DIGEST)
    """SHA-256 of the message to be signed, lower-case hex."""
    at: Mapped[datetime]


class AuditLeafRow(RegionMixin, Base):
    """One leaf of the audit log. ``body`` is what is hashed; the other columns repeat it for queries, verification compares."""

    __tablename__ = "audit_leaves"
    __table_args__ = (
        sa.UniqueConstraint("region", "seq"),
        sa.Index("ix_audit_leaves_region_at", "region", "at"),
        sa.Index("ix_audit_leaves_region_kind_at", "region", "kind", "at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    """Number in the log, from 0; null while it waits for the sequencer."""
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(sa.String(64))
    actor: Mapped[str] = mapped_column(sa.String(255))
    rule: Mapped[str | None] = mapped_column(sa.String(255))
    body: Mapped[str]
    leaf_hash: Mapped[str] = mapped_column(DIGEST)


class AuditSubjectRow(Base):
    """Which leaves speak of which object: the history on every page."""

    __tablename__ = "audit_subjects"

    value: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    leaf_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("audit_leaves.id"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)


class AuditNodeRow(Base):
    """Hash of a complete subtree of two leaves and more; levels count from the leaves (level 0, kept in the leaves)."""

    __tablename__ = "audit_nodes"

    region: Mapped[str] = mapped_column(sa.String(6), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(DIGEST)


class AuditHeadRow(Base):
    """How far the log is numbered; the row that sequencers lock, and nothing in the path of a signature does."""

    __tablename__ = "audit_heads"

    region: Mapped[str] = mapped_column(sa.String(6), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger)
    root: Mapped[str] = mapped_column(DIGEST)
    updated_at: Mapped[datetime]


class AuditCheckpointRow(Base):
    """A signed statement of size and root; ``note`` is the signed text, the other columns repeat it."""

    __tablename__ = "audit_checkpoints"

    region: Mapped[str] = mapped_column(sa.String(6), primary_key=True)
    size: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    root: Mapped[str] = mapped_column(DIGEST)
    at: Mapped[datetime]
    key_id: Mapped[str] = mapped_column(ID)
    note: Mapped[str]


class EventRow(RegionMixin, Base):
    """Something that other systems may want to know, written in the transaction of what it tells of (``store.outbox``)."""

    __tablename__ = "events"
    __table_args__ = (
        sa.UniqueConstraint("region", "seq"),
        sa.Index("ix_events_region_department_seq", "region", "department", "seq"),
        sa.Index("ix_events_impression_id", "impression_id"),
        sa.Index("ix_events_seal_id", "seal_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    """Number among the region's events, from 1; null until the worker has handed it to whoever asked for it."""
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(sa.String(64))
    department: Mapped[str | None] = mapped_column(sa.String(64))
    """Whose members may know of it: identifier or unified social credit code."""
    matter: Mapped[str | None] = mapped_column(sa.String(64))
    impression_id: Mapped[str | None] = mapped_column(ID)
    seal_id: Mapped[str | None] = mapped_column(ID)
    subject: Mapped[dict[str, Any]]
    data: Mapped[dict[str, Any]]
