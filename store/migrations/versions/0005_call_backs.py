"""Notices to other systems, and who relied on which document"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import JsonType, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=True),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("impression_id", sa.String(length=64), nullable=True),
        sa.Column("seal_id", sa.String(length=64), nullable=True),
        sa.Column("subject", JsonType, nullable=False),
        sa.Column("data", JsonType, nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("region", "seq", name=op.f("uq_events_region_seq")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_impression_id", ["impression_id"], unique=False)
        batch_op.create_index("ix_events_region_department_seq", ["region", "department", "seq"], unique=False)
        batch_op.create_index("ix_events_seal_id", ["seal_id"], unique=False)

    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("audience", sa.String(length=255), nullable=False),
        sa.Column("kinds", JsonType, nullable=False),
        sa.Column("department", sa.String(length=64), nullable=True),
        sa.Column("matter", sa.String(length=64), nullable=True),
        sa.Column("seal_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('active', 'ended')", name=op.f("ck_subscriptions_status")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_subscriptions_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.create_index("ix_subscriptions_account_id", ["account_id"], unique=False)

    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("subscription_id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'dead')", name=op.f("ck_deliveries_status")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_deliveries_event_id_events")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_deliveries_subscription_id_subscriptions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("subscription_id", "event_id", name=op.f("uq_deliveries_subscription_id_event_id")),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index("ix_deliveries_status_next_at", ["status", "next_at"], unique=False)

    op.create_table(
        "reliances",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("impression_id", sa.String(length=64), nullable=False),
        sa.Column("seal_id", sa.String(length=64), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_reliances_account_id_accounts")),
        sa.ForeignKeyConstraint(["impression_id"], ["impressions.id"], name=op.f("fk_reliances_impression_id_impressions")),
        sa.ForeignKeyConstraint(["seal_id"], ["seals.id"], name=op.f("fk_reliances_seal_id_seals")),
        sa.PrimaryKeyConstraint("account_id", "impression_id", name=op.f("pk_reliances")),
    )
    with op.batch_alter_table("reliances", schema=None) as batch_op:
        batch_op.create_index("ix_reliances_impression_id", ["impression_id"], unique=False)
        batch_op.create_index("ix_reliances_seal_id", ["seal_id"], unique=False)
