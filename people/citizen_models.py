"""Tables of citizens: people from outside who sign in at the region's identity provider, and their signed-in browsers."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin

ID = sa.String(64)
DIGEST = sa.String(64)


class CitizenRow(RegionMixin, Base):
    """Somebody who has signed in from outside; one a person, whatever the provider calls them."""

    __tablename__ = "citizens"
    __table_args__ = (sa.UniqueConstraint("region", "person"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    person: Mapped[str] = mapped_column(DIGEST)
    """The person key: a keyed digest of the identity number, which itself is not kept."""
    name: Mapped[str] = mapped_column(sa.String(200))
    """As the provider said it last."""
    issuer: Mapped[str] = mapped_column(sa.String(500))
    subject: Mapped[str] = mapped_column(sa.String(255))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class CitizenSessionRow(Base):
    """A citizen's signed-in browser; the token itself is not kept."""

    __tablename__ = "citizen_sessions"
    __table_args__ = (
        sa.Index("ix_citizen_sessions_citizen_id", "citizen_id"),
        sa.Index("ix_citizen_sessions_expires_at", "expires_at"),
    )

    token_digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    id: Mapped[str] = mapped_column(ID, unique=True)
    citizen_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("citizens.id"))
    assurance: Mapped[str] = mapped_column(sa.String(200))
    """How the provider made sure of the person: the ``acr`` of its statement."""
    agent: Mapped[str] = mapped_column(sa.String(200))
    phone: Mapped[str | None] = mapped_column(DIGEST)
    """The phone's key that licences were downloaded to in this session; none yet: null. A session serves one phone."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
