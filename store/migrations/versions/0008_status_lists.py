"""Status lists, and the place of each licence in one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.db import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Licences that are there already get no place: what was printed of them names none."""
    op.create_table(
        "status_lists",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("region", sa.String(length=6), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_lists")),
    )
    op.create_table(
        "status_places",
        sa.Column("list_id", sa.String(length=16), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("intent_id", sa.String(length=64), nullable=True),
        sa.Column("value", sa.SmallInteger(), nullable=False),
        sa.Column("next_value", sa.SmallInteger(), nullable=True),
        sa.Column("next_at", UtcDateTime(), nullable=True),
        sa.Column("allotted_at", UtcDateTime(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("value BETWEEN 0 AND 3", name=op.f("ck_status_places_value")),
        sa.ForeignKeyConstraint(["intent_id"], ["intents.id"], name=op.f("fk_status_places_intent_id_intents")),
        sa.ForeignKeyConstraint(["list_id"], ["status_lists.id"], name=op.f("fk_status_places_list_id_status_lists")),
        sa.PrimaryKeyConstraint("list_id", "place", name=op.f("pk_status_places")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_status_places_intent_id")),
    )
    with op.batch_alter_table("status_places", schema=None) as batch_op:
        batch_op.create_index("ix_status_places_list_id_next_at", ["list_id", "next_at"], unique=False)
        batch_op.create_index("ix_status_places_list_id_value", ["list_id", "value"], unique=False)

    with op.batch_alter_table("licences", schema=None) as batch_op:
        batch_op.add_column(sa.Column("status_uri", sa.String(length=300), nullable=True))
        batch_op.add_column(sa.Column("status_index", sa.Integer(), nullable=True))
