"""Tables of what nodes of other regions are told and tell: messages both ways, and enquiries 协查 with their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID

REGION = sa.String(6)


class PeerMessageRow(RegionMixin, Base):
    """A message to another region's node. ``id`` is its ``jti``, the same at every attempt."""

    __tablename__ = "peer_messages"
    __table_args__ = (
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'dead')", name="status"),
        sa.Index("ix_peer_messages_status_next_at", "status", "next_at"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    peer: Mapped[str] = mapped_column(REGION)
    kind: Mapped[str] = mapped_column(sa.String(64))
    body: Mapped[dict[str, Any]]
    """Emptied once the message has arrived: what it said is kept by whoever sent it."""
    about: Mapped[str | None] = mapped_column(ID)
    """The object here that it is about, in whose history its way is told."""
    status: Mapped[str] = mapped_column(sa.String(16))
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    """Not tried before; while an attempt is on its way, when it counts as lost."""
    first_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(sa.String(500))
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class PeerReceivedRow(RegionMixin, Base):
    """A message that was taken: by its ``jti`` a second copy is known, by its digest a forged second one."""

    __tablename__ = "peer_received"
    __table_args__ = (sa.UniqueConstraint("peer", "jti"),)

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    peer: Mapped[str] = mapped_column(REGION)
    jti: Mapped[str] = mapped_column(ID)
    kind: Mapped[str] = mapped_column(sa.String(64))
    digest: Mapped[str] = mapped_column(DIGEST)
    """SHA-256 of kind and body as canonical JSON."""
    received_at: Mapped[datetime]


class EnquiryRow(RegionMixin, Base):
    """A question about a licence, ours to another region (``out``) or theirs to us (``in``), and its answer.

    No particulars are kept: ``particulars`` are digests with the salt of this enquiry, answered by yes or no each.
    """

    __tablename__ = "enquiries"
    __table_args__ = (
        sa.CheckConstraint("direction IN ('out', 'in')", name="direction"),
        sa.CheckConstraint("status IN ('open', 'answered')", name="status"),
        sa.UniqueConstraint("direction", "peer", "reference"),
        sa.Index("ix_enquiries_region_status_id", "region", "status", "id"),
        sa.Index("ix_enquiries_slip", "slip"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    direction: Mapped[str] = mapped_column(sa.String(3))
    peer: Mapped[str] = mapped_column(REGION)
    reference: Mapped[str] = mapped_column(ID)
    """Its number at the asking node: the same on both sides."""
    status: Mapped[str] = mapped_column(sa.String(16))
    department: Mapped[str] = mapped_column(sa.String(64))
    """Of ours: who asks (``out``), or whose licence it is (``in``); "" where no organ here is known to have issued it."""
    organ: Mapped[str] = mapped_column(sa.String(200))
    """The asking organ by name."""
    matter: Mapped[str | None] = mapped_column(sa.String(64))
    identifier: Mapped[str | None] = mapped_column(sa.String(200))
    document_sha256: Mapped[str | None] = mapped_column(DIGEST)
    salt: Mapped[str] = mapped_column(sa.String(64))
    particulars: Mapped[dict[str, Any]]
    remark: Mapped[str | None] = mapped_column(sa.String(300))
    slip: Mapped[str | None] = mapped_column(ID)
    """The applicant's slip, where one was handed out."""
    message_id: Mapped[str | None] = mapped_column(ID)
    """The message that carried it there (``out``), or carried the answer back (``in``)."""
    asked_by: Mapped[str | None] = mapped_column(ID)
    asked_at: Mapped[datetime]
    due_at: Mapped[datetime]
    considered_at: Mapped[datetime | None]
    """When the rules were asked whether the node may answer by itself: once."""
    answer: Mapped[dict[str, Any] | None]
    letter: Mapped[str | None] = mapped_column(DIGEST)
    """Blob of the sealed letter."""
    letter_verdict: Mapped[dict[str, Any] | None]
    """What our own verifier said of a letter that came."""
    answered_by: Mapped[str | None] = mapped_column(ID)
    answered_at: Mapped[datetime | None]
