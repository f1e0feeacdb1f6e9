"""Tables of what was verified: receipts, uses of licences, going on with something outstanding, and codes seen lately."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID

SLIP = sa.String(20)
"""Twenty characters of Crockford's base 32: 100 bits."""


class SeenCodeRow(RegionMixin, Base):
    """A code that a phone showed, remembered for as long as it could be shown again; then the row goes."""

    __tablename__ = "seen_codes"
    __table_args__ = (sa.Index("ix_seen_codes_until", "until"),)

    token_sha256: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    until: Mapped[datetime]


class ReceiptRow(RegionMixin, Base):
    """A signed receipt 核验回执 for the file: what was verified, with which answer. ``jws`` says it; the columns find it."""

    __tablename__ = "receipts"
    __table_args__ = (
        sa.CheckConstraint("decision IN ('accept', 'check', 'refuse')", name="decision"),
        sa.UniqueConstraint("slip"),
        sa.Index("ix_receipts_department_id", "department", "id"),
        sa.Index("ix_receipts_account_id", "account", "id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account: Mapped[str] = mapped_column(sa.String(255))
    department: Mapped[str] = mapped_column(ID)
    """Identifier of the department that verified; "" for the local operator and for accounts without one."""
    organ: Mapped[str] = mapped_column(sa.String(200))
    decision: Mapped[str] = mapped_column(sa.String(16))
    matter: Mapped[str | None] = mapped_column(sa.String(64))
    channel: Mapped[str] = mapped_column(sa.String(16))
    licence_type: Mapped[str | None] = mapped_column(sa.String(200))
    licence_region: Mapped[str | None] = mapped_column(sa.String(6))
    presented_sha256: Mapped[str] = mapped_column(DIGEST)
    jws: Mapped[str]
    slip: Mapped[str | None] = mapped_column(SLIP)
    """The applicant's code; null until a slip is printed."""
    created_at: Mapped[datetime]


class UseRow(RegionMixin, Base):
    """A licence of this region was used: by which organ, for what, with which answer. Its holder sees it."""

    __tablename__ = "licence_uses"
    __table_args__ = (
        sa.UniqueConstraint("message"),
        sa.Index("ix_licence_uses_licence_id", "licence_id", "id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"))
    token_sha256: Mapped[str | None] = mapped_column(DIGEST)
    """Of the code or copy that was shown; null where the document itself was."""
    organ: Mapped[str] = mapped_column(sa.String(200))
    organ_region: Mapped[str] = mapped_column(sa.String(6))
    matter: Mapped[str | None] = mapped_column(sa.String(64))
    decision: Mapped[str] = mapped_column(sa.String(16))
    channel: Mapped[str] = mapped_column(sa.String(16))
    at: Mapped[datetime]
    message: Mapped[str | None] = mapped_column(sa.String(80))
    """Of another region's notice, which counts once; null for uses recorded here."""


class ProvisionalRow(RegionMixin, Base):
    """Going on although something is outstanding 容缺受理: why, under whom, and what the applicant brings until when."""

    __tablename__ = "provisionals"
    __table_args__ = (
        sa.CheckConstraint("status IN ('waiting', 'confirmed', 'refused', 'fulfilled')", name="status"),
        sa.UniqueConstraint("receipt_id"),
        sa.Index("ix_provisionals_supervisor_status", "supervisor", "status"),
        sa.Index("ix_provisionals_department_id", "department", "id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    receipt_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("receipts.id"))
    department: Mapped[str] = mapped_column(ID)
    clerk: Mapped[str] = mapped_column(ID)
    supervisor: Mapped[str] = mapped_column(ID)
    reason: Mapped[str] = mapped_column(sa.String(500))
    bring: Mapped[str] = mapped_column(sa.String(500))
    until: Mapped[datetime]
    """End of the last day, local time of the region, in UTC."""
    status: Mapped[str] = mapped_column(sa.String(16))
    note: Mapped[str | None] = mapped_column(sa.String(500))
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    fulfilled_at: Mapped[datetime | None]
