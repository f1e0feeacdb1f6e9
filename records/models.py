"""Tables of notices to other systems: who asked for which, what was sent, and who relied on which sealed document."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from records import between_models as between_models
from records import counter_models as counter_models
from records import verified_models as verified_models
from store.db import Base, RegionMixin
from store.models import ID


class SubscriptionRow(RegionMixin, Base):
    """A system's wish to be told: of what, and where."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        sa.CheckConstraint("status IN ('active', 'ended')", name="status"),
        sa.Index("ix_subscriptions_account_id", "account_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"))
    url: Mapped[str] = mapped_column(sa.String(2000))
    audience: Mapped[str] = mapped_column(sa.String(255))
    """``aud`` of every token sent: by it the receiver knows that a token is meant for it."""
    kinds: Mapped[list[str]]
    """``impression.voided`` or ``impression.*``; empty: every kind."""
    department: Mapped[str | None] = mapped_column(sa.String(64))
    matter: Mapped[str | None] = mapped_column(sa.String(64))
    seal_id: Mapped[str | None] = mapped_column(ID)
    status: Mapped[str] = mapped_column(sa.String(16))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class DeliveryRow(RegionMixin, Base):
    """One event on its way to one subscription. ``id`` is the token's ``jti``, the same at every attempt."""

    __tablename__ = "deliveries"
    __table_args__ = (
        sa.UniqueConstraint("subscription_id", "event_id"),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'dead')", name="status"),
        sa.Index("ix_deliveries_status_next_at", "status", "next_at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    subscription_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("subscriptions.id"))
    event_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("events.id"))
    status: Mapped[str] = mapped_column(sa.String(16))
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    """Not tried before; while an attempt is on its way, when it counts as lost."""
    first_at: Mapped[datetime | None]
    """Of the first attempt of the present series: after so many hours of failing it is dead."""
    error: Mapped[str | None] = mapped_column(sa.String(500))
    """A code and what the receiver said, as the last attempt ended."""
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class RelianceRow(RegionMixin, Base):
    """A signed-in system verified this sealed document and may have relied on it: it is told when the document falls."""

    __tablename__ = "reliances"
    __table_args__ = (sa.Index("ix_reliances_impression_id", "impression_id"), sa.Index("ix_reliances_seal_id", "seal_id"))

    account_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("accounts.id"), primary_key=True)
    impression_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("impressions.id"), primary_key=True)
    seal_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("seals.id"))
    first_at: Mapped[datetime]
