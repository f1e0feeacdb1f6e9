"""Annotated copies, and what was done at the counter"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counter_visits",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("clerk", sa.String(length=255), nullable=False),
        sa.Column("department", sa.String(length=64), nullable=True),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("reader", sa.String(length=32), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter_visits")),
    )
    with op.batch_alter_table("counter_visits", schema=None) as batch_op:
        batch_op.create_index("ix_counter_visits_clerk", ["clerk"], unique=False)
        batch_op.create_index("ix_counter_visits_person", ["person"], unique=False)

    op.create_table(
        "annotated_copies",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=100), nullable=False),
        sa.Column("matter", sa.String(length=64), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("maker", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("person", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("check_code", sa.String(length=12), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("status_uri", sa.String(length=300), nullable=False),
        sa.Column("status_index", sa.Integer(), nullable=False),
        sa.Column("impression_id", sa.String(length=64), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("withdrawn_at", UtcDateTime(), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=255), nullable=True),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint("channel IN ('staff', 'holder', 'counter')", name=op.f("ck_annotated_copies_channel")),
        sa.ForeignKeyConstraint(
            ["impression_id"], ["impressions.id"], name=op.f("fk_annotated_copies_impression_id_impressions")
        ),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_annotated_copies_intent_id_intents")),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_annotated_copies_licence_id_licences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotated_copies")),
    )
    with op.batch_alter_table("annotated_copies", schema=None) as batch_op:
        batch_op.create_index("ix_annotated_copies_check_code", ["check_code"], unique=True)
        batch_op.create_index("ix_annotated_copies_licence_id", ["licence_id"], unique=False)
        batch_op.create_index("ix_annotated_copies_person", ["person"], unique=False)

    op.create_table(
        "counter_acts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("visit_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("type_id", sa.String(length=64), nullable=False),
        sa.Column("licence_id", sa.String(length=64), nullable=True),
        sa.Column("matter", sa.String(length=64), nullable=False),
        sa.Column("ref", sa.String(length=64), nullable=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.CheckConstraint(
            "kind IN ('asked', 'seen', 'used', 'copied', 'authorised', 'withdrawn')", name=op.f("ck_counter_acts_kind")
        ),
        sa.ForeignKeyConstraint(["licence_id"], ["licences.id"], name=op.f("fk_counter_acts_licence_id_licences")),
        sa.ForeignKeyConstraint(["visit_id"], ["counter_visits.id"], name=op.f("fk_counter_acts_visit_id_counter_visits")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counter_acts")),
    )
    with op.batch_alter_table("counter_acts", schema=None) as batch_op:
        batch_op.create_index("ix_counter_acts_visit_id", ["visit_id"], unique=False)
