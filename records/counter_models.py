"""Tables of the counter 窗口: who was there in person, and what was done for them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import ID


class VisitRow(RegionMixin, Base):
    """Somebody identified at a counter by identity card. Of the card only the person key and the masked name are kept."""

    __tablename__ = "counter_visits"
    __table_args__ = (sa.Index("ix_counter_visits_clerk", "clerk"), sa.Index("ix_counter_visits_person", "person"))

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    clerk: Mapped[str] = mapped_column(sa.String(255))
    """The account of the window clerk who looked at card and face."""
    department: Mapped[str | None] = mapped_column(ID)
    person: Mapped[str] = mapped_column(sa.String(64))
    name: Mapped[str] = mapped_column(sa.String(100))
    """Masked."""
    reader: Mapped[str] = mapped_column(sa.String(32))
    """What read the card; ``simulated`` outside production."""
    started_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    """After this the card has to be read again."""
    ended_at: Mapped[datetime | None]


class ActRow(RegionMixin, Base):
    """One thing that was done in a visit; what came of it is kept where it belongs, ``ref`` names it."""

    __tablename__ = "counter_acts"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('asked', 'seen', 'used', 'copied', 'authorised', 'withdrawn')", name="kind"),
        sa.Index("ix_counter_acts_visit_id", "visit_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    visit_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("counter_visits.id"))
    kind: Mapped[str] = mapped_column(sa.String(16))
    type_id: Mapped[str] = mapped_column(sa.String(64))
    """The type of licence that it was about."""
    licence_id: Mapped[str | None] = mapped_column(ID, sa.ForeignKey("licences.id"))
    """Null where the answer was that the person holds none."""
    matter: Mapped[str] = mapped_column(sa.String(64))
    ref: Mapped[str | None] = mapped_column(ID)
    at: Mapped[datetime]
