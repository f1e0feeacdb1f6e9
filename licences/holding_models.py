"""Tables of what holders do with their licences: whom they authorise, and the copies on phones."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID

LINE = sa.String(160)
"""A licence through all its versions: ``type/issuer/serial``."""
PERSON = sa.String(64)
"""A person key: the keyed digest of an identity number."""


class GrantRow(RegionMixin, Base):
    """An authorisation 授权: who may use whose licence, for what and until when. It belongs to the licence through all its
    versions and is never changed but by being withdrawn.
    """

    __tablename__ = "licence_grants"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('manager', 'staff', 'agent')", name="kind"),
        sa.CheckConstraint("basis IN ('phone', 'presence')", name="basis"),
        sa.Index("ix_licence_grants_line", "line"),
        sa.Index("ix_licence_grants_person", "person"),
        sa.Index("ix_licence_grants_parent", "parent"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    line: Mapped[str] = mapped_column(LINE)
    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"))
    """The version that was in force when it was given."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    """manager 证照管理员, staff 办事人, agent 代办人."""
    person: Mapped[str] = mapped_column(PERSON)
    name: Mapped[str] = mapped_column(sa.String(100))
    matters: Mapped[list[str]]
    """Codes; empty: every matter."""
    until: Mapped[datetime]
    giver: Mapped[str] = mapped_column(PERSON)
    """The person key of whoever gave it."""
    giver_name: Mapped[str] = mapped_column(sa.String(100))
    parent: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("licence_grants.id"))
    """The grant by which a manager gave it onward; null where the representative or holder did."""
    basis: Mapped[str] = mapped_column(sa.String(16))
    """phone: given on the giver's phone; presence: at a counter, the giver present."""
    actor: Mapped[str] = mapped_column(sa.String(255))
    """Who recorded it: the citizen, or the clerk at the counter."""
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None] = mapped_column(sa.String(255))
    withdrawn_why: Mapped[str | None] = mapped_column(sa.String(32))


class CopyRow(RegionMixin, Base):
    """A copy 副本: a licence on one phone, bound to a key that the phone holds."""

    __tablename__ = "licence_copies"
    __table_args__ = (
        sa.CheckConstraint("status IN ('active', 'removed', 'lost', 'withdrawn', 'superseded')", name="status"),
        sa.CheckConstraint("role IN ('representative', 'holder', 'manager', 'staff', 'agent')", name="role"),
        sa.Index("ix_licence_copies_licence_id", "licence_id"),
        sa.Index("ix_licence_copies_line", "line"),
        sa.Index("ix_licence_copies_person", "person"),
        sa.Index("ix_licence_copies_grant_id", "grant_id"),
        sa.Index("ix_licence_copies_phone", "phone"),
        sa.Index("ix_licence_copies_status_expires_at", "status", "expires_at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    line: Mapped[str] = mapped_column(LINE)
    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"))
    citizen: Mapped[str] = mapped_column(sa.String(255))
    person: Mapped[str] = mapped_column(PERSON)
    bearer: Mapped[str] = mapped_column(sa.String(100))
    """The name of whoever carries it, as shown."""
    role: Mapped[str] = mapped_column(sa.String(16))
    grant_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("licence_grants.id"))
    device: Mapped[str] = mapped_column(sa.String(60))
    """What its owner calls the phone."""
    phone: Mapped[str] = mapped_column(DIGEST)
    """Which phone: SHA-256 of its key's SubjectPublicKeyInfo."""
    public_jwk: Mapped[dict[str, Any]]
    status_uri: Mapped[str] = mapped_column(sa.String(300))
    status_index: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(16))
    """active, or how it ended: removed, lost, withdrawn (the authorisation), superseded (the licence changed)."""
    issued_at: Mapped[datetime]
    renewed_at: Mapped[datetime]
    """When its present credential was made."""
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    generation_id: Mapped[str] = mapped_column(ID)
    """The credential issuer's key that signed the present credential."""
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"))
    sample: Mapped[bool]


class ChallengeRow(RegionMixin, Base):
    """A nonce that a phone's proof must name; good once, for minutes."""

    __tablename__ = "copy_challenges"
    __table_args__ = (sa.Index("ix_copy_challenges_expires_at", "expires_at"),)

    nonce_sha256: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    person: Mapped[str] = mapped_column(PERSON)
    expires_at: Mapped[datetime]
