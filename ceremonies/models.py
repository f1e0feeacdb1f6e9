"""Tables of ceremonies: what was done with a key generation, step by step, and the reports of compromises and drills."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from store.db import Base, RegionMixin
from store.models import DIGEST, ID


class KeyStepRow(RegionMixin, Base):
    """A step of a key's rotation that the key's own state does not tell: proved, certified, filed, distributed.

    Written before the work begins (``done_at`` null), with the approval that allowed it; a step that was killed halfway is
    carried on under it.
    """

    __tablename__ = "key_steps"
    __table_args__ = (
        sa.UniqueConstraint("generation_id", "step"),
        sa.CheckConstraint("step IN ('prove', 'certify', 'file', 'distribute')", name="step"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    generation_id: Mapped[str] = mapped_column(ID, sa.ForeignKey("key_generations.id"))
    step: Mapped[str] = mapped_column(sa.String(16))
    actor: Mapped[str] = mapped_column(sa.String(255))
    rule: Mapped[str | None] = mapped_column(sa.String(255))
    facts: Mapped[dict[str, Any]]
    """What was approved, and what came of it."""
    begun_at: Mapped[datetime]
    done_at: Mapped[datetime | None]


class CeremonyRow(RegionMixin, Base):
    """A compromise or a drill: when, by whom, what came of each of its steps, and the report that was kept."""

    __tablename__ = "ceremonies"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('compromise', 'drill')", name="kind"),
        sa.CheckConstraint("status IN ('running', 'done', 'incomplete', 'failed')", name="status"),
        sa.Index("ix_ceremonies_generation_id", "generation_id"),
    )

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    status: Mapped[str] = mapped_column(sa.String(16))
    generation_id: Mapped[str | None] = mapped_column(ID)
    actor: Mapped[str] = mapped_column(sa.String(255))
    reason: Mapped[str] = mapped_column(sa.String(2000))
    since: Mapped[datetime | None]
    """Since when the key is in doubt."""
    facts: Mapped[dict[str, Any]]
    report_blob: Mapped[str | None] = mapped_column(DIGEST)
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
