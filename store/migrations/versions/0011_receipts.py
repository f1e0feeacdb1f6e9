"""Receipts, uses, and going on in spite of a doubt"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=False),
        sa.Column("organ", sa.String(length=200), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("licence_type", sa.String(length=200), nullable=True),
        sa.Column("licence_region", sa.String(length=6), nullable=True),
        sa.Column("presented_sha256", sa.String(length=64), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("slip", sa.String(length=20), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("decision IN ('accept', 'check', 'refuse')", name=op.f("ck_receipts_decision")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipts")),
        sa.UniqueConstraint("slip", name=op.f("uq_receipts_slip")),
    )
    with op.batch_alter_table("receipts", schema=None) as batch_op:
        batch_op.create_index("ix_receipts_account_id", ["account", "id"], unique=False)
        batch_op.create_index("ix_receipts_department_id", ["department", "id"], unique=False)

    op.create_table(
        "seen_codes",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_seen_codes")),
    )
    with op.batch_alter_table("seen_codes", schema=None) as batch_op:
        batch_op.create_index("ix_seen_codes_until", ["until"], unique=False)

    op.create_table(
        "provisionals",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("receipt_id", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=False),
        sa.Column("clerk", sa.String(length=64), nullable=False),
        sa.Column("supervisor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("bring", sa.String(length=500), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("fulfilled_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'confirmed', 'refused', 'fulfilled')", name=op.f("ck_provisionals_status")),
        sa.ForeignKeyConstraint(["receipt_id"], ["receipts.id"], name=op.f("fk_provisionals_receipt_id_receipts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisionals")),
        sa.UniqueConstraint("receipt_id", name=op.f("uq_provisionals_receipt_id")),
    )
    with op.batch_alter_table("provisionals", schema=None) as batch_op:
        batch_op.create_index("ix_provisionals_department_id", ["department", "id"], unique=False)
        batch_op.create_index("ix_provisionals_supervisor_status", ["supervisor", "status"], unique=False)

    op.create_table(
        "licence_uses",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("organ", sa.String(length=200), nullable=False),
        sa.Column("organ_region", sa.String(length=6), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("message", sa.String(length=80), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_licence_uses_licence_id_licences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licence_uses")),
        sa.UniqueConstraint("message", name=op.f("uq_licence_uses_message")),
    )
    with op.batch_alter_table("licence_uses", schema=None) as batch_op:
        batch_op.create_index("ix_licence_uses_licence_id", ["licence_id", "id"], unique=False)
