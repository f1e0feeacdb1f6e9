"""Messages between regions, and enquiries"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enquiries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=3), nullable=False),
        sa.Column("peer", sa.String(length=6), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=False),
        sa.Column("organ", sa.String(length=200), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("identifier", sa.String(length=200), nullable=True),
        sa.Column("document_sha256", sa.String(length=64), nullable=True),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("particulars", JsonType, nullable=False),
        sa.Column("remark", sa.String(length=300), nullable=True),
        sa.Column("slip", sa.String(length=64), nullable=True),
        sa.Column("message_id", sa.String(length=64), nullable=True),
        sa.Column("asked_by", sa.String(length=64), nullable=True),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("considered_at", UtcDateTime(), nullable=True),
        sa.Column("answer", JsonType, nullable=True),
        sa.Column("letter", sa.String(length=64), nullable=True),
        sa.Column("letter_verdict", JsonType, nullable=True),
        sa.Column("answered_by", sa.String(length=64), nullable=True),
        sa.Column("answered_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("direction IN ('out', 'in')", name=op.f("ck_enquiries_direction")),
        sa.CheckConstraint("status IN ('open', 'answered')", name=op.f("ck_enquiries_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enquiries")),
        sa.UniqueConstraint("direction", "peer", "reference", name=op.f("uq_enquiries_direction_peer_reference")),
    )
    with op.batch_alter_table("enquiries", schema=None) as batch_op:
        batch_op.create_index("ix_enquiries_region_status_id", ["region", "status", "id"], unique=False)
        batch_op.create_index("ix_enquiries_slip", ["slip"], unique=False)

    op.create_table(
        "peer_messages",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=6), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("body", JsonType, nullable=False),
        sa.Column("about", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'dead')", name=op.f("ck_peer_messages_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peer_messages")),
    )
    with op.batch_alter_table("peer_messages", schema=None) as batch_op:
        batch_op.create_index("ix_peer_messages_status_next_at", ["status", "next_at"], unique=False)

    op.create_table(
        "peer_received",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("peer", sa.String(length=6), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peer_received")),
        sa.UniqueConstraint("peer", "jti", name=op.f("uq_peer_received_peer_jti")),
    )
