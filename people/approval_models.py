"""Tables of approvals: the keys that officers approve with, what they are asked, and what they signed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)
DIGEST = sa.String(64)


class OfficerKeyRow(RegionMixin, Base):
    """A passkey or a certificate that an officer approves with. Rows are never deleted: old evidence names them."""

    __tablename__ = "officer_keys"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('passkey', 'certificate')", name="kind"),
        sa.CheckConstraint("status IN ('proposed', 'confirmed', 'removed')", name="status"),
        sa.Index("ix_officer_keys_account_id", "account_id"),
        sa.Index(
            "uq_officer_keys_one_holder",
            "spki_sha256",
            unique=True,
            sqlite_where=sa.text("status <> 'removed'"),
            postgresql_where=sa.text("status <> 'removed'"),
        ),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    kind: Mapped[str] = mapped_column(sa.String(16))
    name: Mapped[str] = mapped_column(sa.String(200))
    spki: Mapped[bytes]
    """DER SubjectPublicKeyInfo."""
    spki_sha256: Mapped[str] = mapped_column(DIGEST)
    credential_id: Mapped[str | None] = mapped_column(sa.Text)
    """Of a passkey: base64url, as browsers name it."""
    rp_id: Mapped[str | None] = mapped_column(sa.String(255))
    certificate: Mapped[bytes | None]
    status: Mapped[str] = mapped_column(sa.String(16))
    proposed_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    confirmed_by: Mapped[str | None] = mapped_column(ID)
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str | None] = mapped_column(ID)


class ApprovalRow(RegionMixin, Base):
    """A step that officers are asked to approve. ``document`` is the text whose bytes they sign."""

    __tablename__ = "approvals"
    __table_args__ = (
        sa.CheckConstraint("status IN ('open', 'used', 'refused', 'withdrawn')", name="status"),
        sa.Index("ix_approvals_region_status", "region", "status"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    action: Mapped[str] = mapped_column(sa.String(64))
    document: Mapped[str]
    digest: Mapped[str] = mapped_column(DIGEST)
    words_en: Mapped[str]
    words_zh: Mapped[str]
    needed: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(16))
    """``granted`` and ``expired`` are not stored: who still counts and what the clock says decide each time."""
    requested_by: Mapped[str] = mapped_column(ID)
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    closed_by: Mapped[str | None] = mapped_column(ID)
    closed_at: Mapped[datetime | None]
    reason: Mapped[str | None]
    evidence: Mapped[str | None]
    """Canonical JSON of the evidence, once used; the audit leaf holds the same."""


class ApprovalSignatureRow(Base):
    """One officer's approval: one a person, and one a key."""

    __tablename__ = "approval_signatures"
    __table_args__ = (sa.UniqueConstraint("approval_id", "spki_sha256"),)

    approval_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("approvals.id"), primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"), primary_key=True)
    key_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("officer_keys.id"))
    spki_sha256: Mapped[str] = mapped_column(DIGEST)
    at: Mapped[datetime]
    entry: Mapped[dict[str, Any]]
    """As it will stand in the evidence (:mod:`formats.approvals`)."""
