"""Table of annotated copies 加注件: a licence printed for one purpose."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID


class AnnotatedCopyRow(RegionMixin, Base):
    """An annotated copy; changed only by being withdrawn."""

    __tablename__ = "annotated_copies"
    __table_args__ = (
        sa.CheckConstraint("channel IN ('staff', 'holder', 'counter')", name="channel"),
        sa.Index("ix_annotated_copies_licence_id", "licence_id"),
        sa.Index("ix_annotated_copies_check_code", "check_code", unique=True),
        sa.Index("ix_annotated_copies_person", "person"),
        sa.Index("ix_annotated_copies_grant_id", "grant_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    licence_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("licences.id"))
    purpose: Mapped[str] = mapped_column(sa.String(100))
    matter: Mapped[str] = mapped_column(sa.String(64))
    """Code of the matter it is for (policies/presenting.toml); empty: only the words of the purpose."""
    until: Mapped[datetime]
    """End of the last day on which it may be used, local time of the region, in UTC."""
    maker: Mapped[str] = mapped_column(sa.String(200))
    """Who made it, as printed."""
    channel: Mapped[str] = mapped_column(sa.String(16))
    """staff: by the authority; holder: by whoever holds the licence or is authorised; counter: for such a person, present."""
    person: Mapped[str | None] = mapped_column(sa.String(64))
    """For whom, by person key; null where the authority made it."""
    grant_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("licence_grants.id"))
    """The authorisation by which it was made, and with which it ends; null where no authorisation was needed."""
    actor: Mapped[str] = mapped_column(sa.String(255))
    check_code: Mapped[str] = mapped_column(sa.String(12))
    """查验码, without separators."""
    code: Mapped[str]
    """What the QR code says."""
    status_uri: Mapped[str] = mapped_column(sa.String(300))
    status_index: Mapped[int]
    impression_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("impressions.id"))
    document_sha256: Mapped[str] = mapped_column(DIGEST)
    intent_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("intents.id"))
    sample: Mapped[bool]
    created_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None] = mapped_column(sa.String(255))
